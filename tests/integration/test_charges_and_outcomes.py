"""Declared money and late outcomes: on the wire, and as rows of the lake."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import spanledger
from otlp_sink import OtlpSink
from spanledger import delivery, faults
from spanledger_cli import cli
from spanledger_collector.rows import convert
from tracing import Traced, switched_on


@pytest.fixture
def traced(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Traced]:
    with switched_on(monkeypatch, tmp_path) as traced:
        yield traced


def _money(span: dict[str, Any]) -> tuple[object, ...]:
    known = span["attributes"]
    keys = ("gen_ai.tool.name", "spanledger.cost.pico_usd", "spanledger.cost.source", "spanledger.charge.name")
    return tuple(known.get(key) for key in keys)


def test_charges_sit_on_the_tool_span_and_add_up(traced: Traced) -> None:
    with spanledger.span("agent", kind="agent"), spanledger.span("geocode", kind="tool"):
        spanledger.charge("maps api", "0.005")
        spanledger.charge("maps api", 0.1)

    tool, agent = traced.spans()
    assert _money(tool) == ("geocode", 105_000_000_000, "declared", "maps api")
    assert _money(agent) == (None, None, None, None)


def test_a_charge_outside_a_tool_has_a_tool_span_of_its_own(traced: Traced) -> None:
    with spanledger.tags(user_id="u-1"), spanledger.span("agent", kind="agent"):
        spanledger.charge("serp", Decimal("0.01"))

    tool, agent = traced.spans()
    assert _money(tool) == ("serp", 10_000_000_000, "declared", "serp")
    assert (tool["parent_span_id"], tool["attributes"]["user.id"]) == (agent["span_id"], "u-1")


def test_threads_of_a_tool_add_to_its_charges(traced: Traced) -> None:
    with spanledger.span("search", kind="tool"), ThreadPoolExecutor(8) as pool:
        for _ in range(100):
            pool.submit(spanledger.charge, "serp", "0.01")

    assert _money(traced.span()) == ("search", 1_000_000_000_000, "declared", "serp")


def test_what_a_thread_says_after_its_tool_has_ended_is_not_lost(traced: Traced) -> None:
    ended = threading.Event()

    def late() -> None:
        ended.wait(60)
        spanledger.charge("serp", "0.01")
        spanledger.outcome("found", success=True)

    with spanledger.span("search", kind="tool"):
        thread = threading.Thread(target=late)
        thread.start()
    ended.set()
    thread.join()

    tool, charge, outcome = traced.spans()
    assert (_money(tool)[1], tool["events"]) == (None, [])
    assert _money(charge) == ("serp", 10_000_000_000, "declared", "serp")
    assert [event["name"] for event in outcome["events"]] == ["gen_ai.evaluation.result"]
    assert [span["parent_span_id"] for span in (charge, outcome)] == [tool["span_id"]] * 2


@pytest.mark.parametrize("amount", ["-1", "nan", "much", "1e7"])
def test_an_amount_that_is_none_is_left_out(amount: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    before = sum(faults.counts().values())
    with switched_on(monkeypatch, tmp_path, faultless=False) as traced:
        spanledger.charge("serp", amount)
        assert traced.spans() == []
    assert sum(faults.counts().values()) == before + 1


def test_the_collector_books_declared_money_as_other_cost_of_the_tool(traced: Traced) -> None:
    with spanledger.span("geocode", kind="tool"):
        spanledger.charge("maps api", "0.005")
    traced.spans()
    body = traced.sink.received[-1].body.SerializeToString()

    (row,) = convert([body], [time.time_ns()]).rows.to_pylist()

    zero = Decimal(0)
    assert {key: row[key] for key in row if key.startswith("cost_")} == {
        "cost_usd": Decimal("0.005"),
        "cost_input": zero,
        "cost_cache_read": zero,
        "cost_cache_write": zero,
        "cost_output": zero,
        "cost_other": Decimal("0.005"),
        "cost_source": "declared",
    }
    assert (row["role"], row["tool_name"], row["unpriced_reason"]) == ("tool", "geocode", None)


def test_an_outcome_comes_later_from_another_process(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SPANLEDGER_HOME", str(tmp_path))
    monkeypatch.setattr(delivery, "HURRY_TIMEOUT_S", 20.0)
    with OtlpSink() as sink:
        words = ["outcome", "--session", "s-9", "--name", "resolved", "--success", "--value-usd", "12.50"]
        result = CliRunner().invoke(cli, [*words, "--endpoint", sink.url])
        (span,) = sink.spans()

    assert (result.exit_code, result.output) == (0, "")
    assert (span["name"], span["attributes"]) == ("outcome resolved", {"session.id": "s-9"})
    assert span["events"] == [
        {
            "name": "gen_ai.evaluation.result",
            "attributes": {
                "gen_ai.evaluation.name": "resolved",
                "gen_ai.evaluation.score.label": "success",
                "gen_ai.evaluation.score.value": 1.0,
                "spanledger.outcome.value_usd": "12.50",
            },
        }
    ]


@pytest.mark.parametrize("words", [[], ["--trace", "beef"], ["--trace", "0" * 32]])
def test_an_outcome_of_nothing_is_a_usage_error(words: list[str]) -> None:
    result = CliRunner().invoke(cli, ["outcome", "--name", "resolved", *words])

    assert result.exit_code == 2


def test_an_outcome_names_a_trace(traced: Traced) -> None:
    spanledger.outcome("resolved", success=False, trace_id="0af7651916cd43dd8448eb211c80319c")

    span = traced.span()
    assert (span["trace_id"], span["parent_span_id"]) == ("0af7651916cd43dd8448eb211c80319c", "")
