"""Rows as OTLP spans: taken in again, they are the same rows, value by value."""

from __future__ import annotations

import random
import time
from typing import Any

import pytest

from otlp_bodies import Value, recorded_bodies, request, span
from spanledger_collector.dialects import DIALECTS
from spanledger_collector.emission import request_of
from spanledger_collector.rows import convert
from spanledger_collector.vocabulary import COUNTS, FIRSTS, FLAGS, NUMBERS, SPAN_KEYS, TEXTS

RECORDED = recorded_bodies()


def rows_of(*bodies: bytes) -> list[dict[str, Any]]:
    """Return rows without what depends on when they were taken in, maps as dicts."""
    converted = convert(bodies, [time.time_ns()] * len(bodies), any_date=True)
    assert converted.dead == []
    rows: list[dict[str, Any]] = converted.rows.drop_columns(["ingested_at"]).to_pylist(maps_as_pydicts="strict")
    return rows


def again(*bodies: bytes) -> list[dict[str, Any]]:
    converted = convert(bodies, [time.time_ns()] * len(bodies), any_date=True)
    return rows_of(request_of(converted.rows).SerializeToString())


def by_id(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return sorted(rows, key=lambda row: (row["trace_id"], row["span_id"], row["name"]))


@pytest.mark.parametrize("name", RECORDED)
def test_a_recorded_body_gives_the_same_rows_again(name: str) -> None:
    assert by_id(again(RECORDED[name])) == by_id(rows_of(RECORDED[name]))


def test_all_recorded_bodies_together_give_the_same_rows_again() -> None:
    bodies = tuple(RECORDED.values())
    assert by_id(again(*bodies)) == by_id(rows_of(*bodies))


ODD: dict[str, dict[str, Value]] = {
    "zeros alone": {"gen_ai.request.model": "gpt-4o", "gen_ai.usage.input_tokens": 0, "gen_ai.usage.output_tokens": 0},
    "an absurd count": {"gen_ai.operation.name": "chat", "gen_ai.usage.input_tokens": -5},
    "parts that don't fit": {
        "gen_ai.operation.name": "chat",
        "gen_ai.usage.input_tokens": 5,
        "gen_ai.usage.output_tokens": 5,
        "gen_ai.usage.reasoning.output_tokens": 9,
    },
    "two keys that differ": {"user.id": "a", "enduser.id": "b", "gen_ai.usage.cost": 0.25, "llm.cost.total": 0.5},
    "values of every kind": {"a": [1, "b", None, {"c": [2.5]}], "b": b"\xff", "c": {}, "d": [], "e": float("nan")},
    "an unreadable count": {"gen_ai.usage.input_tokens": "many", "llm.token_count.prompt": 5},
    "several reasons to finish": {"gen_ai.response.finish_reasons": ["stop", "length"], "gen_ai.request.model": "m"},
    "an operation in other words": {"traceloop.span.kind": "workflow"},
    "who pays is unknown": {"gen_ai.operation.name": "chat", "spanledger.billing_basis": "unknown"},
}


@pytest.mark.parametrize("scope", ["spanledger", "openinference.instrumentation.openai", "somebody", ""])
@pytest.mark.parametrize("name", ODD)
def test_odd_spans_give_the_same_rows_again(name: str, scope: str) -> None:
    body = request(
        span(ODD[name]), scope=scope, resource={"service.name": "shop", "deployment.environment": "p", "x": 1}
    )
    assert again(body) == rows_of(body)


FIRST_KEYS = sorted({keys[0] for table in (TEXTS, COUNTS, NUMBERS, FLAGS, FIRSTS) for keys in table.values()})
SOME: dict[str, tuple[Value, ...]] = {
    "text": ("a", "b", "chat", "gpt-4o"),
    "count": (0, 1, 5, 100, 2000),
    "number": (0.0, 1.5, 9.25),
    "flag": (True, False),
    "first": ("stop", "length"),
}


@pytest.mark.parametrize("scope", [dialect.scopes[0].rstrip(".*") + ".x" for dialect in DIALECTS] + ["spanledger"])
def test_whatever_a_span_says_is_said_again(scope: str) -> None:
    rng = random.Random(scope)
    spans = []
    for number in range(1, 300):
        share = rng.random()
        said = {key: rng.choice(SOME[SPAN_KEYS[key]]) for key in FIRST_KEYS if rng.random() < share}
        spans.append(span(said, number=number))
    body = request(*spans, scope=scope)
    assert again(body) == rows_of(body)
