"""The questions of the drill-down: small input, expected rows."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import polars as pl
import pytest

from ledger_rows import Row, call, make_lake, outcome, span
from spanledger_analytics import drill, live, spend, tree
from spanledger_analytics.connection import Ledger
from spanledger_analytics.scope import EVERYTHING
from spanledger_analytics.spend import Filters

DAY = date(2026, 11, 3)
NINE = datetime(2026, 11, 3, 9, 30, tzinfo=UTC)
TEN = datetime(2026, 11, 3, 10, 0, tzinfo=UTC)
SEARCH: Row = {"user_id": "ann", "team_id": "search", "feature": "find"}
ROOT = span(1, 0, NINE - timedelta(minutes=1), name="agent", role="agent", **SEARCH)

# gpt-5 costs $1.25 and $10 per million, gpt-5-mini $0.25 and $2, claude-opus-4-5 $5 and $25.
ROWS = [
    ROOT,
    call(1, 1, NINE, "gpt-5", 1000, 100, parent_span_id=ROOT["span_id"], **SEARCH),
    call(1, 2, NINE, "gpt-5-mini", 1000, 100, parent_span_id=ROOT["span_id"], **SEARCH),
    # The same call seen by a second instrumentation carries no money and does not count.
    call(1, 3, NINE, "gpt-5", 1000, 100, **SEARCH) | {"duplicate_of": "x", "cost_usd": None},
    call(2, 1, NINE, "llama-4-local", 500, 50, **SEARCH),
    call(3, 1, TEN, "gpt-5", 2000, 0, status="error", environment="staging"),
    call(4, 1, TEN - timedelta(days=1), "claude-opus-4-5", 1_000_000, 0, user_id="bob", team_id="answers"),
]


@pytest.fixture(scope="module")
def ledger(tmp_path_factory: pytest.TempPathFactory) -> Ledger:
    return Ledger(make_lake(tmp_path_factory.mktemp("drill") / "lake", ROWS), EVERYTHING)


def rows(frame: pl.DataFrame, *columns: str) -> list[tuple[object, ...]]:
    """Return columns as rows, money as text without trailing zeros."""
    return [
        tuple(f"{value.normalize():f}" if isinstance(value, Decimal) else value for value in row)
        for row in frame.select(columns).rows()
    ]


def test_days_count_calls_once_and_name_what_has_no_price(ledger: Ledger) -> None:
    days = spend.days(ledger, date(2026, 11, 1), DAY)
    assert rows(days, "dt", "requests", "calls", "input_tokens", "output_tokens") == [
        (date(2026, 11, 2), 1, 1, 1_000_000, 0),
        (DAY, 3, 4, 4500, 250),
    ]
    assert rows(days, "cost_usd", "unpriced_calls", "errors") == [("5", 0, 0), ("0.0052", 1, 1)]


def test_days_outside_the_period_are_left_out(ledger: Ledger) -> None:
    assert rows(spend.days(ledger, DAY, DAY), "dt") == [(DAY,)]


def test_models_of_a_day_add_up_to_the_day(ledger: Ledger) -> None:
    assert rows(spend.days_by_model(ledger, DAY, DAY), "model", "requests", "calls", "cost_usd") == [
        ("gpt-5", 2, 2, "0.00475"),
        ("gpt-5-mini", 1, 1, "0.00045"),
        ("llama-4-local", 1, 1, None),
    ]


def test_hours_are_utc_hours_of_the_calls_start(ledger: Ledger) -> None:
    assert rows(spend.hours(ledger, DAY), "hour", "requests", "cost_usd", "unpriced_calls") == [
        (9, 2, "0.0027", 1),
        (10, 1, "0.0025", 0),
    ]
    assert rows(spend.hours_by_model(ledger, DAY), "hour", "model", "cost_usd") == [
        (9, "gpt-5", "0.00225"),
        (9, "gpt-5-mini", "0.00045"),
        (9, "llama-4-local", None),
        (10, "gpt-5", "0.0025"),
    ]


def test_users_come_dearest_first_and_calls_without_one_are_kept(ledger: Ledger) -> None:
    whole_day = drill.users(ledger, DAY)
    assert rows(whole_day, "user_id", "requests", "calls", "cost_usd") == [
        ("ann", 2, 3, "0.0027"),
        ("", 1, 1, "0.0025"),
    ]
    assert rows(drill.users(ledger, DAY, 10), "user_id", "cost_usd") == [("", "0.0025")]


def test_requests_are_traces_named_by_their_root(ledger: Ledger) -> None:
    requests = drill.requests(ledger, DAY, 9, "ann")
    assert rows(requests, "trace_id", "name", "feature", "calls", "cost_usd", "unpriced_calls", "duration_us") == [
        (f"{1:032x}", "agent", "find", 2, "0.0027", 0, 1_000_000),
        (f"{2:032x}", "chat llama-4-local", "find", 1, None, 1, 1_000_000),
    ]
    assert requests["models"].to_list() == [["gpt-5", "gpt-5-mini"], ["llama-4-local"]]


def test_requests_without_a_user_can_be_reached(ledger: Ledger) -> None:
    found = drill.requests(ledger, DAY, None, drill.NO_USER)
    assert rows(found, "trace_id", "errors") == [(f"{3:032x}", 1)]


def test_a_trace_has_every_span_even_those_that_are_not_charged(ledger: Ledger) -> None:
    spans = drill.trace(ledger, DAY, f"{1:032x}")
    assert rows(spans, "name", "role", "duplicate_of") == [
        ("agent", "agent", None),
        ("chat gpt-5", "inference", None),
        ("chat gpt-5-mini", "inference", None),
        ("chat gpt-5", "inference", "x"),
    ]


def test_a_trace_is_found_from_the_day_after_it_began(ledger: Ledger) -> None:
    assert drill.trace(ledger, DAY + timedelta(days=1), f"{1:032x}").height == 4
    assert drill.trace(ledger, DAY + timedelta(days=2), f"{1:032x}").height == 0


def test_a_trace_is_found_without_its_day(ledger: Ledger) -> None:
    assert drill.trace(ledger, None, f"{4:032x}")["start_time"].to_list() == [TEN - timedelta(days=1)]
    assert drill.trace(ledger, None, "f" * 32).is_empty()


def test_one_step_is_told_whole(ledger: Ledger) -> None:
    found = drill.span(ledger, DAY, ROOT["trace_id"], ROOT["span_id"]).row(0, named=True)
    assert {name: value for name, value in found.items() if value not in (None, [])} == ROOT | {
        "dt": DAY,
    }
    assert drill.span(ledger, DAY, ROOT["trace_id"], "f" * 16).is_empty()


def test_outcomes_are_those_of_the_trace_and_then_of_its_sessions(tmp_path: Path) -> None:
    said = [
        outcome(1, 9, NINE, success=False),
        outcome(1, 10, TEN, success=True),
        outcome(2, 9, TEN, success=True, session_id="s-1"),
        outcome(3, 9, TEN, success=False, session_id="s-2"),
    ]
    lake = Ledger(make_lake(tmp_path / "lake", [call(1, 1, NINE, session_id="s-1"), *said]), EVERYTHING)
    found = drill.outcomes(lake, DAY, f"{1:032x}", ["s-1"])
    assert found.select("name", "label", "occurred_at", "of_trace").rows() == [
        ("resolved", "success", TEN, True),
        ("resolved", "failure", NINE, True),
        ("resolved", "success", TEN, False),
    ]
    spans = drill.trace(lake, DAY, f"{1:032x}")
    assert spans["name"].to_list() == ["chat gpt-5", "outcome resolved", "outcome resolved"]
    assert tree.steps(spans)["name"].to_list() == ["chat gpt-5"]
    assert tree.steps(spans[1:]).height == 2


@pytest.mark.parametrize(
    ("filters", "calls"),
    [
        (Filters(), 4),
        (Filters(team="search"), 3),
        (Filters(team=""), 1),
        (Filters(feature="find", model="gpt-5"), 1),
        (Filters(environment="staging"), 1),
        (Filters(model="gpt-6"), None),
    ],
)
def test_filters_hold_on_every_level(ledger: Ledger, filters: Filters, calls: int | None) -> None:
    frames = (
        spend.days(ledger, DAY, DAY, filters),
        spend.days_by_model(ledger, DAY, DAY, filters),
        spend.hours(ledger, DAY, filters),
        spend.hours_by_model(ledger, DAY, filters),
        drill.users(ledger, DAY, None, filters),
    )
    of_users = [drill.requests(ledger, DAY, None, user, filters)["calls"].sum() for user in ("ann", drill.NO_USER)]
    assert [frame["calls"].sum() for frame in frames] == [calls or 0] * len(frames)
    assert sum(of_users) == (calls or 0)


def test_tags_filter_every_level_and_can_be_looked_up(tmp_path: Path) -> None:
    acme = call(1, 1, NINE, uncached=1000, output=0, user_id="ann", tags=[("tenant", "acme"), ("variant", "A")])
    other = call(2, 1, NINE, uncached=2000, output=0, user_id="ann", tags=[("tenant", "initech")])
    lake = Ledger(make_lake(tmp_path / "lake", [acme, other, call(3, 1, NINE, uncached=4000, output=0)]), EVERYTHING)

    def costs(filters: Filters) -> list[str]:
        frames = (
            spend.days(lake, DAY, DAY, filters),
            spend.days_by_model(lake, DAY, DAY, filters),
            spend.hours(lake, DAY, filters),
            spend.hours_by_model(lake, DAY, filters),
            drill.users(lake, DAY, 9, filters),
            drill.requests(lake, DAY, 9, "ann", filters),
        )
        return [f"{(spend.cost_of(frame) or Decimal(0)).normalize():f}" for frame in frames]

    assert costs(Filters(tags=(("tenant", "acme"),))) == ["0.00125"] * 6
    assert costs(Filters(tags=(("tenant", "acme"), ("variant", "B")))) == ["0"] * 6
    assert costs(Filters(tags=(("variant", ""),))) == [*["0.0075"] * 5, "0.0025"]
    assert rows(spend.tag_values(lake, DAY, DAY), "key", "value", "calls", "cost_usd") == [
        ("tenant", "initech", 1, "0.0025"),
        ("tenant", "acme", 1, "0.00125"),
        ("variant", "A", 1, "0.00125"),
    ]


def test_filters_read_and_write_addresses_and_change_one_at_a_time() -> None:
    filters = Filters.of({"team": "search", "tag.tenant": "acme", "tag.a b": "", "d": "2026-11-03", "tag.": "x"})
    assert filters == Filters(team="search", tags=(("a b", ""), ("tenant", "acme")))
    told = {name: value for name, value in filters.parameters().items() if value is not None}
    assert told == {"team": "search", "tag.tenant": "acme", "tag.a b": ""}
    assert filters.narrowed("tag.a b", None).narrowed("tag.tenant", "initech").narrowed("team", None) == Filters(
        tags=(("tenant", "initech"),)
    )


def test_filter_values_say_what_calls_carry(ledger: Ledger) -> None:
    values = spend.filter_values(ledger, DAY, DAY)
    assert rows(values, "dimension", "value", "calls") == [
        ("environment", "production", 3),
        ("environment", "staging", 1),
        ("feature", "", 1),
        ("feature", "find", 3),
        ("model", "gpt-5", 2),
        ("model", "gpt-5-mini", 1),
        ("model", "llama-4-local", 1),
        ("team", "", 1),
        ("team", "search", 3),
    ]


def test_unpriced_calls_have_a_reason(ledger: Ledger) -> None:
    assert spend.unpriced(ledger, DAY, DAY).rows() == [("unknown_model", "llama-4-local", 1)]
    assert spend.unpriced(ledger, DAY, DAY, Filters(team="")).rows() == []


def test_what_a_plan_pays_for_has_no_price_to_miss(tmp_path: Path) -> None:
    paid = call(9, 1, NINE, "a model of the plan", billing_basis="plan", unpriced_reason="plan", user_id="ann")
    lake = Ledger(make_lake(tmp_path / "lake", [paid]), EVERYTHING)
    frames = [
        *(ask(lake, DAY, DAY) for ask in (spend.days, spend.days_by_model)),
        *(ask(lake, DAY) for ask in (spend.hours, spend.hours_by_model, drill.users)),
        drill.requests(lake, DAY, 9, "ann"),
    ]

    counted = [rows(frame, "calls", "cost_usd", "unpriced_calls") for frame in frames]
    facts = tree.facts(drill.trace(lake, DAY, paid["trace_id"]))

    assert counted == [[(1, None, 0)]] * 6
    assert spend.unpriced(lake, DAY, DAY).is_empty()
    assert live.rate(lake, NINE + timedelta(minutes=5)).unpriced_calls == 0
    assert (facts.calls, facts.unpriced_calls, facts.cost_usd) == (1, 0, None)


def test_what_is_estimated_stands_apart_in_every_sum(tmp_path: Path) -> None:
    left: Row = {"usage_state": "estimated", "user_id": "ann"}
    calls = [
        call(8, 1, NINE, "gpt-5", 1000, 100, user_id="ann"),
        call(8, 2, NINE, "gpt-5-mini", 1000, 100, **left),
        call(8, 3, NINE, "llama-4-local", 500, 50, **left),  # without a price
        # What the provider states is no guess.
        call(8, 4, NINE, "gpt-5", 1000, 100, **left) | {"cost_source": "provider"},
    ]
    lake = Ledger(make_lake(tmp_path / "lake", calls), EVERYTHING)
    frames = [
        *(ask(lake, DAY, DAY) for ask in (spend.days, spend.days_by_model)),
        *(ask(lake, DAY) for ask in (spend.hours, spend.hours_by_model, drill.users)),
        drill.requests(lake, DAY, 9, "ann"),
    ]
    facts = tree.facts(drill.trace(lake, DAY, calls[0]["trace_id"]))
    moment = NINE + timedelta(minutes=2)
    rate, minutes = live.rate(lake, moment), live.minutes(lake, moment).filter(pl.col("calls") > 0)

    whole, by_model = ("0.00495", "0.00045"), [("0.0045", "0"), ("0.00045", "0.00045"), (None, "0")]
    sums = [rows(frame, "cost_usd", "estimated_usd") for frame in frames]
    assert sums == [[whole], by_model, [whole], by_model, [whole], [whole]]
    assert [spend.doubts(frame) for frame in frames] == [spend.Doubts(1, 4, 1, Decimal("0.00045"))] * 6
    assert (facts.estimated_calls, facts.estimated_usd) == (1, Decimal("0.00045"))
    assert (rate.estimated_usd_per_hour, minutes["estimated_usd"].to_list()) == (
        Decimal("0.0054"),
        [Decimal("0.00045")],
    )


def test_the_rate_counts_calls_that_ended_in_the_last_five_minutes(ledger: Ledger) -> None:
    rate = live.rate(ledger, NINE + timedelta(minutes=5, seconds=1))
    assert rate.usd_per_hour == 0
    assert rate.last_span == TEN + timedelta(seconds=3)
    rate = live.rate(ledger, NINE + timedelta(minutes=5))
    assert (rate.usd_per_hour, rate.calls, rate.unpriced_calls) == (Decimal("0.0324"), 3, 1)
    assert (rate.requests_per_minute, rate.tokens_per_minute) == (0.4, 550)


def test_quiet_minutes_are_zeros_and_the_running_one_is_left_out(ledger: Ledger) -> None:
    minutes = live.minutes(ledger, NINE + timedelta(minutes=2, seconds=30))
    assert minutes.height == 30
    busy = minutes.filter(pl.col("calls") > 0)
    assert rows(busy, "requests", "calls", "tokens", "cost_usd", "unpriced_calls") == [(2, 3, 2750, "0.0027", 1)]
    assert busy["minute"].to_list() == [NINE]
    assert minutes["minute"][-1] == NINE + timedelta(minutes=1)


def test_an_empty_lake_answers_with_no_rows(tmp_path: Path) -> None:
    empty = Ledger(tmp_path / "lake", EVERYTHING)
    assert spend.days(empty, DAY, DAY).is_empty()
    assert drill.users(empty, DAY, 9).is_empty()
    assert live.rate(empty, NINE).last_span is None
    assert spend.cost_of(spend.days(empty, DAY, DAY)) is None
