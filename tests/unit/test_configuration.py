"""Settings said in code: what they win over, when they may be said, and that a wrong one changes nothing."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import _spanledger_boot as switch
import spanledger
from otlp_sink import OtlpSink
from spanledger import settings
from spanledger.errors import SettingError
from spanledger.otel import SpanledgerInstrumentor


@pytest.fixture(autouse=True)
def _bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    for row in settings.SETTINGS:
        monkeypatch.delenv(row.env, raising=False)
    monkeypatch.setenv("SPANLEDGER_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    yield
    settings.said.clear()
    SpanledgerInstrumentor().uninstrument()


def test_what_is_said_wins_over_environment_and_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "spanledger.toml").write_text('environment = "file"\nservice = "file"\n')
    monkeypatch.setenv("SPANLEDGER_ENVIRONMENT", "variable")

    spanledger.configure(environment="said", home=tmp_path / "home", batch_size=7, service=None)
    spanledger.configure(headers={"Authorization": "Bearer a,b"}, enabled=None)
    found = settings.load()

    assert (found.environment, found.service, found.home, found.batch_size) == ("said", "file", tmp_path / "home", 7)
    assert settings.parse_pairs(found.headers, "") == {"authorization": "Bearer a,b"}
    assert settings.load(environment="flag").environment == "flag"


def test_it_leaves_the_switch_alone_unless_told(tmp_path: Path) -> None:
    spanledger.configure(environment="said")
    assert not switch.on
    spanledger.configure(enabled=True)
    assert switch.on
    spanledger.configure(enabled=False)
    assert not switch.on


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"endpiont": "http://x"}, "configure(endpiont): unknown setting; known: alerts, backlog_bytes, "),
        ({"batch_size": 0}, "configure(batch_size) = '0': expected a whole number above 0"),
        ({"enabled": "perhaps"}, "configure(enabled) = 'perhaps': expected 1/true/yes/on"),
        ({"endpoint": "localhost:4318"}, "SPANLEDGER_ENDPOINT = 'localhost:4318': expected http://"),
        ({"headers": "no pairs"}, "headers = 'no pairs': expected key=value"),
        ({"flush": "often"}, "configure(flush) = 'often': expected auto, batch or call"),
        ({"service": 3}, "configure(service) = '3': expected text"),
    ],
)
def test_a_value_that_cannot_be_read_is_refused_and_changes_nothing(values: dict[str, Any], words: str) -> None:
    spanledger.configure(environment="said")

    with pytest.raises(SettingError) as caught:
        spanledger.configure(environment="other", **values)
    assert str(caught.value).startswith(words)
    assert settings.said == {"environment": "said"}


def test_after_the_first_call_only_the_same_may_be_said_until_switched_off(tmp_path: Path) -> None:
    with OtlpSink() as sink, OtlpSink() as other:
        spanledger.configure(endpoint=sink.url, home=tmp_path, environment="one", enabled=True)
        with spanledger.span("first"):
            pass
        assert spanledger.flush(20)
        spanledger.configure(endpoint=sink.url, environment="one")

        with pytest.raises(SettingError, match=r"configure\(endpoint, environment\): spans are being sent already"):
            spanledger.configure(endpoint=other.url, environment="two")
        spanledger.configure(enabled=False, endpoint=other.url, environment="two")
        spanledger.configure(enabled=True)
        with spanledger.span("second"):
            pass
        assert spanledger.flush(20)

        named = [[span["name"] for span in found.spans()] for found in (sink, other)]
        resource = other.received[0].body.resource_spans[0].resource
        assert named == [["invoke_agent first"], ["invoke_agent second"]]
        assert [item.value.string_value for item in resource.attributes if "environment" in item.key] == ["two"]


def test_it_imports_no_sdk_and_starts_no_thread() -> None:
    code = (
        "import sys, threading, spanledger; spanledger.configure(environment='x', enabled=True);"
        "print(threading.active_count(), [m for m in ('opentelemetry', 'openai') if m in sys.modules])"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=180, check=True)
    assert ran.stdout == "1 []\n"
