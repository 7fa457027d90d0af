"""Every way to call an SDK, against a provider whose bill is the truth: the ledger says what the bill says.

The application's part is checked by running each case twice, switched off and on: it must get the same.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from matrix_anthropic import ANTHROPIC
from matrix_cases import Bench, Broken, Case, usage_of
from matrix_openai import OPENAI
from spanledger import call, names
from spanledger.pricing import price
from spanledger_cli.demo.provider import LocalProvider
from tracing import switched_on

CASES = [*OPENAI, *ANTHROPIC]
FREE = frozenset({"batches", "count_tokens", "moderation"})


@pytest.fixture(scope="module")
def providers() -> Iterator[tuple[LocalProvider, LocalProvider]]:
    """Two that are alike, prompt caches included, as long as both see the same requests."""
    with LocalProvider(seed=7) as one, LocalProvider(seed=7) as other:
        yield one, other


def _run(case: Case, provider: LocalProvider) -> object:
    result: Any = case.run(Bench(provider))
    return asyncio.run(result) if inspect.iscoroutine(result) else result


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_ledger_says_what_the_bill_says(
    case: Case, providers: tuple[LocalProvider, LocalProvider], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    other, provider = providers
    alone, before = _run(case, other), len(provider.billed)
    with switched_on(monkeypatch, tmp_path) as traced:
        result = _run(case, provider)
        spans = traced.spans()

    bill = provider.billed[before:]
    charged = [span for span in spans if span["attributes"][names.OPERATION] not in FREE]
    assert result == alone
    assert call.open_streams() == 0
    assert spans
    if case.broken is not None:
        assert [_ending(span) for span in charged] == list(case.broken)
        return
    assert [usage_of(span) for span in charged] == [billed.usage for billed in bill]
    assert [span["attributes"][names.RESPONSE_MODEL] for span in charged if _has_model(span)] == [
        billed.model for billed in bill if _tells_model(billed.endpoint)
    ]
    for span, billed in zip(charged, bill, strict=True):
        known = span["attributes"]
        truth = price(known[names.PROVIDER], billed.model, billed.usage, 1_790_000_000 * 10**9)
        assert truth.cost_pico is not None
        assert known[names.COST_PICO_USD] == truth.cost_pico


def _has_model(span: dict[str, Any]) -> bool:
    return names.RESPONSE_MODEL in span["attributes"]


def _tells_model(endpoint: str) -> bool:
    return "/audio/" not in endpoint and "/images/" not in endpoint


def _ending(span: dict[str, Any]) -> Broken:
    known = span["attributes"]
    tokens = known.get(names.INPUT_TOKENS), known.get(names.OUTPUT_TOKENS)
    return Broken(span["status"], known[names.USAGE_STATE], *tokens)


def test_the_matrix_is_whole() -> None:
    assert (len(OPENAI), len(ANTHROPIC)) == (34, 22)
