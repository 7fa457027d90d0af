"""The waterfall's rows are pure: a tree in, what the page draws out."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from guarded_rows import cached, decision, refused
from ledger_rows import Row, call, hotel_trace, span, trace_frame
from spanledger_analytics.tree import facts, nodes
from spanledger_dashboard.charts.waterfall import SMALL, waterfall

START = datetime(2026, 11, 3, 9, tzinfo=UTC)


def after(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def drawn(rows: list[Row]) -> dict[str, Any]:
    return waterfall(nodes(trace_frame(rows)), {"gpt-4-turbo": "#3D5FC4"})


def column(drawing: dict[str, Any], name: str) -> list[Any]:
    return [row[name] for row in drawing["rows"]]


def wide_trace(agents: int, calls: int) -> list[Row]:
    """Build agents below one root, each dearer than the one before, and each call dearer than the one before it."""
    root = span(1, 0, START, name="root", role="agent", duration_us=100_000_000)
    rows = [root]
    for number in range(1, agents + 1):
        agent = span(
            1, 1000 * number, after(number), name=f"agent {number}", role="agent", parent_span_id=root["span_id"]
        )
        rows.append(agent)
        for each in range(1, calls + 1):
            start, tokens = after(number + each / 1000), 1000 * number + each
            parent = {"parent_span_id": agent["span_id"], "name": f"call {each}"}
            rows.append(call(1, 1000 * number + each, start, uncached=tokens, output=0, **parent))
    return rows


def test_a_small_trace_is_open_and_shows_time_cost_and_failure() -> None:
    failed = span(1, 9, START, name="pay", role="tool", status="error", error_type="Timeout", duration_us=0)
    drawing = drawn([*hotel_trace(1, START), failed])
    assert [(row["name"], row["kind"], row["depth"], row["failed"]) for row in drawing["rows"]] == [
        ("invoke_agent hotel-search", "agent", 0, False),
        ("chat gpt-4-turbo", "call", 1, False),
        ("execute_tool search", "tool", 1, False),
        ("chat gpt-4-turbo", "call", 1, False),
        ("execute_tool availability", "tool", 1, False),
        ("chat gpt-4-turbo", "call", 1, False),
        ("pay", "tool", 0, True),
    ]
    assert column(drawing, "cost") == ["Σ $0.148", "$0.032", "", "$0.056", "", "$0.060", ""]
    assert [round(bar, 3) for bar in column(drawing, "bar")] == [0, 0.525, 0, 0.933, 0, 1, 0]
    assert [round(start * 7.4, 3) for start in column(drawing, "start")] == [0, 0.1, 1.5, 2.5, 4.7, 5.2, 0]
    assert drawing["rows"][6]["width"] > 0
    assert (drawing["folds"], set(column(drawing, "open")), set(column(drawing, "fold"))) == ([], {True}, {None})
    assert [tick["text"] for tick in drawing["ticks"]] == ["0", "2 s", "4 s", "6 s"]


def test_the_pointer_is_told_the_exact_cost_and_its_share() -> None:
    rows = drawn(hotel_trace(1, START))["rows"]
    assert rows[0]["hover"] == [
        "invoke_agent hotel-search",
        "starts at 0 ms · takes 7.4 s",
        "$0.1475, 100 % of the request in 3 calls here and below",
    ]
    assert rows[3]["hover"] == [
        "chat gpt-4-turbo",
        "starts at 2.5 s · takes 2.1 s",
        "$0.056, 38 % of the request · gpt-4-turbo",
        "4,550 tokens in · 350 out",
    ]


def test_no_price_a_plan_a_declared_charge_and_a_second_witness_are_told_apart() -> None:
    unpriced = call(1, 1, START, "llama-4-local")
    plan = call(1, 2, after(1), "of the plan", billing_basis="plan", unpriced_reason="plan")
    charged = span(1, 3, after(2), role="tool", cost_usd=Decimal("0.25"))
    twice = call(1, 4, after(3)) | {"duplicate_of": "x", "cost_usd": None}
    drawing = drawn([unpriced, plan, charged, twice])
    assert column(drawing, "cost") == ["no price", "plan", "$0.250", ""]
    assert [row["hover"][-1] for row in drawing["rows"][2:]] == [
        "$0.25 declared for this step, beside what LLM calls cost",
        "counted elsewhere: another witness told of the same call",
    ]


def test_what_a_policy_did_to_a_step_is_told() -> None:
    stopped = refused(1, 1, START, decision("one run", "block"))
    kept = cached(1, 2, after(1), "0.3")
    cheaper = call(
        1, 3, after(2), "gpt-5-mini", guard_policy="a month", routed_from="gpt-5", avoided_usd=Decimal("0.01")
    )
    rows = [stopped, kept, cheaper]
    drawing = drawn(rows)
    assert column(drawing, "cost") == ["refused", "$0", "$0.0005"]
    assert [row["hover"][2:] for row in drawing["rows"]] == [
        ["refused by one run before it was sent: it cost nothing", "failed: BudgetExceeded"],
        [
            "$0, 0 % of the request · gpt-5",
            "1,000 tokens in · 100 out",
            "answered by the response cache: nothing was sent",
            "$0.3 avoided",
        ],
        [
            "$0.00045, 100 % of the request · gpt-5-mini",
            "1,000 tokens in · 100 out",
            "gpt-5 was asked for; a month",
            "$0.01 avoided",
        ],
    ]
    told = facts(trace_frame(rows))
    assert (told.calls, told.unpriced_calls, told.cost_usd, told.tools_usd) == (2, 0, Decimal("0.00045"), None)


def test_a_large_trace_opens_where_the_money_is_until_the_view_is_full() -> None:
    rows = wide_trace(agents=20, calls=25)
    assert len(rows) > SMALL
    drawing = drawn(rows)
    opened = [row["name"] for row in drawing["rows"] if row["open"]]
    assert opened == ["root", "agent 20"]
    assert drawing["folds"] == []


def test_of_many_siblings_the_dearest_and_some_failed_ones_stand_out_in_their_order() -> None:
    rows = wide_trace(agents=1, calls=120)
    for number in (3, 4, 5, 6):
        rows[1 + number] |= {"status": "error", "error_type": "Timeout"}
    drawing = drawn(rows)
    kept = [row["name"] for row in drawing["rows"] if row["fold"] is None]
    assert kept == ["root", "agent 1", "call 4", "call 5", "call 6", *(f"call {number}" for number in range(111, 121))]
    assert [(fold["name"], fold["cost"]) for fold in drawing["folds"]] == [
        ("3 more steps, 1 error", "Σ $0.0038"),
        ("104 more steps", "Σ $0.138"),
    ]
    assert column(drawing, "fold")[2:5] == [0, 0, 0]


def test_names_of_strangers_lose_their_invisible_characters() -> None:
    drawing = drawn([call(1, 1, START, name="\u202eevil\n" + "n" * 200)])
    assert drawing["rows"][0]["name"] == r"\u202eevil\u000a" + "n" * 73 + "…"


def test_every_length_of_a_trace_gets_a_few_round_moments() -> None:
    for length_us in (0, 1, 999, 250_000, 7_400_000, 61_000_000, 3_700_000_000, 10**12):
        ticks = drawn([span(1, 1, START, duration_us=length_us)])["ticks"]
        assert 1 <= len(ticks) <= 6 or length_us == 10**12
        assert ticks[0] == {"at": 0.0, "text": "0"}
        assert all(0 <= tick["at"] < 1 for tick in ticks)
