"""Calls that controls had to do with: what was refused or answered from a cache cost nothing, and says so."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest

from otlp_bodies import START_NS, Value, request, row_of, rows_of, span
from settled_rows import settled
from spanledger import names
from spanledger_collector.duplicates import mark_duplicates
from spanledger_collector.inspect import not_counted_reason
from spanledger_collector.rows import convert

CHAT: dict[str, Value] = {names.OPERATION: "chat", names.PROVIDER: "openai", names.REQUEST_MODEL: "gpt-5.5"}
USED: dict[str, Value] = {**CHAT, names.INPUT_TOKENS: 1000, names.OUTPUT_TOKENS: 100}
NAMED = {names.RESPONSE_ID: "chatcmpl-0123456789", names.RESPONSE_MODEL: "gpt-5.5"}
REFUSED: dict[str, Value] = {**CHAT, names.GUARD_ACTION: "block", names.GUARD_POLICY: "support, a month"}
CACHED: dict[str, Value] = {**USED, **NAMED, names.CACHE_HIT: True, names.AVOIDED_PICO_USD: 12_500_000}
DECISIONS = json.dumps([{"rule": "r", "action": "warn"}])
FRAMEWORK = "openinference.instrumentation.openai"
ZERO = Decimal(0)
PARTS = ("cost_input", "cost_cache_read", "cost_cache_write", "cost_output", "cost_other")
COST = (
    "cost_usd",
    *PARTS,
    "cost_source",
    "unpriced_reason",
    "price_id",
    "billing_basis",
    "equivalent_usd",
    "usage_state",
)


def priced(*bodies: bytes) -> list[dict[str, Any]]:
    """Return the rows that go to the lake."""
    converted = convert(list(bodies), [START_NS] * len(bodies))
    assert converted.dead == []
    rows: list[dict[str, Any]] = converted.rows.to_pylist(maps_as_pydicts="strict")
    return rows


def cost_of(row: dict[str, Any]) -> dict[str, Any]:
    return {name: row[name] for name in COST if row[name] is not None}


NOTHING = {**dict.fromkeys(("cost_usd", *PARTS), ZERO), "cost_source": "none", "billing_basis": "usage"}


@pytest.mark.parametrize("action", ["block", "defer"])
def test_a_refused_call_cost_nothing_and_nothing_of_it_is_missing(action: str) -> None:
    (row,) = priced(request(span({**REFUSED, names.GUARD_ACTION: action})))
    assert cost_of(row) == NOTHING
    assert (row["guard_action"], row["guard_policy"], row["input_tokens"]) == (action, "support, a month", None)
    assert not_counted_reason(row) == "refused"


def test_a_refused_call_of_a_subscription_cost_nothing_either() -> None:
    (row,) = priced(request(span({**REFUSED, names.BILLING_BASIS: "plan"})))
    assert cost_of(row) == NOTHING | {"billing_basis": "plan"}


@pytest.mark.parametrize("action", ["allow", "warn", "throttle", "degrade"])
def test_a_call_that_was_let_through_and_failed_is_still_unpriced(action: str) -> None:
    (row,) = priced(request(span({**REFUSED, names.GUARD_ACTION: action, names.ERROR_TYPE: "500"})))
    assert (row["cost_usd"], row["unpriced_reason"], not_counted_reason(row)) == (None, "no_usage", None)


def test_usage_is_charged_whatever_the_action_says() -> None:
    (row,) = priced(request(span({**USED, names.GUARD_ACTION: "block"})))
    (plain,) = priced(request(span(USED)))
    assert row["cost_usd"] == plain["cost_usd"] > 0
    assert not_counted_reason(row) is None


def test_an_answer_from_the_cache_cost_nothing_keeps_its_tokens_and_tells_what_it_avoided() -> None:
    (row,) = priced(request(span(CACHED)))
    assert cost_of(row) == NOTHING | {"billing_basis": "cached", "usage_state": "reported"}
    assert (row["input_tokens"], row["output_tokens"]) == (1000, 100)
    assert (row["avoided_usd"], row["cache_hit"]) == (Decimal("0.0000125"), True)
    assert not_counted_reason(row) is None


def test_a_cached_step_is_no_call_and_tells_what_it_avoided() -> None:
    (row,) = priced(request(span({names.CACHE_HIT: True, names.AVOIDED_PICO_USD: 7})))
    assert (row["role"], row["cost_usd"], row["avoided_usd"]) == ("other", None, Decimal("7e-12"))


@pytest.mark.parametrize(
    ("wire", "expected"),
    [
        ({names.GUARD_ACTION: "warn", names.GUARD_POLICY: "p"}, ("warn", "p", None, None)),
        ({names.GUARD_ACTION: "allow"}, ("allow", None, None, None)),
        ({names.GUARD_ACTION: "allow", names.GUARD_DECISIONS: DECISIONS}, ("allow", "r", None, None)),
        ({names.GUARD_DECISIONS: "[]"}, (None, None, None, None)),
        ({names.GUARD_DECISIONS: "no list"}, (None, None, None, None)),
        ({names.GUARD_ACTION: "block"}, ("block", "policy", None, None)),
        ({names.GUARD_ACTION: "degrade", names.ROUTED_FROM: "gpt-5.5"}, ("degrade", "route", "gpt-5.5", None)),
        ({names.ROUTED_FROM: "gpt-5.5", names.ROUTE_RULE: "easy"}, ("allow", "easy", "gpt-5.5", None)),
        ({names.CACHE_HIT: True}, ("allow", "cache", None, True)),
        ({names.ROUTE_RULE: "easy"}, ("allow", "easy", None, None)),
        ({names.CACHE_HIT: False}, (None, None, None, False)),
        ({}, (None, None, None, None)),
    ],
)
def test_one_column_tells_whether_controls_had_anything_to_do(
    wire: dict[str, Value], expected: tuple[Any, ...]
) -> None:
    row = row_of({**USED, **wire})
    assert tuple(row[name] for name in ("guard_action", "guard_policy", "routed_from", "cache_hit")) == expected


def test_decisions_and_arms_stay_among_the_attributes() -> None:
    wire = {names.GUARD_DECISIONS: DECISIONS, names.ROUTE_RULE: "easy", names.ROUTE_ARM: "shadow"}
    row = row_of({**USED, **wire})
    assert {name: json.loads(row["attributes"][name]) for name in wire} == wire


def repeats(*bodies: bytes) -> list[str | None]:
    """Return the number of the span that each repeat stands behind."""
    marked = mark_duplicates(rows_of(*bodies))["duplicate_of"].to_pylist()
    return [None if winner is None else str(int(winner, 16) - 0xBB00) for winner in marked]


def test_a_replay_is_no_repeat_of_the_call_that_it_replays() -> None:
    other = {names.FEATURE: "answers"}
    bodies = [request(span({**USED, **NAMED}, number=1), resource={"service.name": "a"})]
    bodies.append(request(span({**CACHED, **other}, number=2), resource={"service.name": "b"}))
    assert repeats(*bodies) == [None, None]


@pytest.mark.parametrize("theirs", [{**USED, **NAMED}, USED])
def test_what_another_emitter_saw_of_a_replay_is_no_charge(theirs: dict[str, Value]) -> None:
    own, seen = span(CACHED, number=1), span(theirs, number=2)
    seen.trace_id = own.trace_id
    bodies = [request(own), request(seen, scope=FRAMEWORK)]
    assert repeats(*bodies) == [None, "1"]
    assert [row["cost_usd"] for row in priced(*bodies)] == [ZERO, None]


def test_what_another_emitter_saw_of_a_refusal_is_no_unpriced_call() -> None:
    own, seen = span(REFUSED, number=1), span(CHAT, number=2)
    seen.trace_id = own.trace_id
    rows = priced(request(own), request(seen, scope=FRAMEWORK))
    assert [(row["duplicate_of"], row["cost_usd"], row["unpriced_reason"]) for row in rows] == [
        (None, ZERO, None),
        (rows[0]["span_id"], None, None),
    ]


def test_settling_leaves_them_alone() -> None:
    rows = priced(request(span(REFUSED, number=1), span(CACHED, number=2)))
    books = settled(*rows)
    assert (books.changes(), len(books.rows)) == (set(), 2)
