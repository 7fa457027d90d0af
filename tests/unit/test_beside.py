"""The resource of our spans names the other instrumentations in the process, as it is when the spans are sent."""

from __future__ import annotations

import sys
import time
from types import ModuleType

import pytest

from spanledger import names, settings
from spanledger.beside import _KNOWN
from spanledger.record import Place, Record
from spanledger.tracing import SpanMaker
from spanledger_collector.dialects import dialect_of
from spanledger_collector.rows import convert


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forget those that other tests have loaded."""
    for module in _KNOWN:
        monkeypatch.delitem(sys.modules, module, raising=False)


def told(maker: SpanMaker) -> str | None:
    now_ns = time.time_ns()
    record = Record("chat", "client", Place(1, 2, None), now_ns, now_ns, {names.OPERATION: "chat"})
    (row,) = convert([maker.encode([record])], [now_ns]).rows.to_pylist(maps_as_pydicts="strict")
    found: str | None = row["resource"].get(names.BESIDE)
    return found


def test_process_without_others_says_nothing() -> None:
    assert told(SpanMaker(settings.load())) is None


def test_one_that_is_loaded_later_is_told_from_then_on(monkeypatch: pytest.MonkeyPatch) -> None:
    maker = SpanMaker(settings.load())
    told(maker)
    for name in ("logfire", "anthropic._tracing"):
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    assert told(maker) == '"com.anthropic.sdk,logfire"'


@pytest.mark.parametrize(
    "scope",
    [
        "com.anthropic.sdk.python",
        "logfire.openai",
        "openinference.instrumentation.langchain",
        "opentelemetry.instrumentation.genai.openai",
        "opentelemetry.instrumentation.openai.v1",
        "opentelemetry.instrumentation.botocore.bedrock-runtime",
        "pydantic-ai",
    ],
)
def test_scopes_that_the_collector_knows_begin_as_they_are_told(scope: str) -> None:
    assert dialect_of(scope) is not None
    assert scope.replace("-", "_").startswith(tuple(_KNOWN.values()))
