"""What controls did, by hand: refusals, what was avoided, the arms of a router; and totals that none of it moves."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from guarded_rows import DAY, FLOOD, MONTH, controlled_ledger, refused
from ledger_rows import call, make_lake
from spanledger_analytics.connection import Ledger, connect
from spanledger_analytics.controls.turned_away import turned_away
from spanledger_analytics.counting import refresh_rollups
from spanledger_analytics.reports.answer import Answer
from spanledger_analytics.reports.calendar import Calendar, Period
from spanledger_analytics.reports.question import Question, parse_where
from spanledger_analytics.reports.registry import REPORTS
from spanledger_analytics.scope import EVERYTHING, scope_of_teams
from spanledger_analytics.unpriced import unpriced_models

FIRST, LAST = date(2026, 11, 3), date(2026, 11, 4)
DAYS = Period(FIRST, LAST)


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_lake(tmp_path_factory.mktemp("controls") / "lake", controlled_ledger())


@pytest.fixture(scope="module")
def ledger(lake: Path) -> Ledger:
    return Ledger(lake, EVERYTHING)


def asked(ledger: Ledger, name: str, *by: str, where: Sequence[str] = (), period: Period = DAYS) -> Answer:
    return REPORTS[name].answer(ledger, Question(period, by, parse_where(where)))


def usd(amount: str | None) -> Decimal | None:
    return None if amount is None else Decimal(amount)


@pytest.mark.parametrize(("by_session", "session"), [((), None), ((MONTH,), "s-1")])
def test_the_smallest_estimate_that_a_budget_refused_is_known_by_whom_it_was_for(
    ledger: Ledger, by_session: tuple[str, ...], session: str | None
) -> None:
    found = turned_away(ledger, FIRST, LAST, by_session).rows()
    assert found == [(MONTH, "team_id=support", session, usd("0.25"), DAY + timedelta(minutes=2))]
    assert turned_away(ledger, LAST, LAST, by_session).rows() == []


def test_refusals_by_day_and_rule(ledger: Ledger) -> None:
    answer = asked(ledger, "refusals", "day")
    assert answer.frame.rows() == [
        (FIRST, "all", "budget", "warn", False, 2, 0, usd("0.75"), 1),
        (FIRST, FLOOD, "limit", "block", False, 1, 1, None, 1),
        (FIRST, "search, a day", "budget", "block", True, 1, 0, usd("0.5"), 0),
        (FIRST, MONTH, "budget", "block", False, 2, 2, usd("1"), 0),
        (FIRST, MONTH, "budget", "degrade", False, 1, 0, usd("0.1"), 0),
        (LAST, MONTH, None, "defer", False, 1, 1, None, 1),
    ]
    assert answer.notes == (
        "refused: 4 calls, expected to cost $1.00; of 2 it isn't known",
        "would have been refused, in shadow: 1 call, expected to cost $0.50",
    )


def test_avoided_by_day_and_feature(ledger: Ledger) -> None:
    answer = asked(ledger, "avoided", "day", "feature")
    assert answer.frame.rows() == [
        (FIRST, "answers", "cache", "faq", 1, usd("0.3"), 0),
        (FIRST, "answers", "degrade", MONTH, 1, usd("0.05"), 0),
        (FIRST, "research", "step", "cache", 1, usd("0.1"), 0),
        (FIRST, None, "route", "easy", 2, usd("0.0036"), 0),
        (LAST, "answers", "cache", "faq", 2, usd("0.2"), 1),
    ]
    assert answer.notes == (
        "avoided: $0.65 by 7 calls, of 1 of which it isn't known",
        "answers from the response cache: $0.50 by 3 calls, of 1 of which it isn't known",
        "steps kept by cached_step: $0.10 by 1 call",
        "calls at a cheaper model, because a budget or a breaker asked for it: $0.05 by 1 call",
        "calls at a cheaper model, by a rule of the router: $0.003600 by 2 calls",
    )


def test_arms_of_the_router(ledger: Ledger) -> None:
    answer = asked(ledger, "routes")
    assert answer.frame.rows() == [
        ("easy", "holdout", "gpt-5-mini", 2, usd("0.0045"), 0, 1, 1, 0, usd("0"), None, usd("0.0036")),
        ("easy", "routed", "gpt-5-mini", 2, usd("0.0009"), 0, 1, 1, 1, usd("1"), usd("0.0036"), None),
        ("easy", "shadow", "gpt-5-mini", 2, usd("0.0045"), 0, 1, 0, 0, None, None, usd("0.0036")),
    ]
    assert answer.notes == (
        "routed: 2 calls, $0.000900, 100.0 % of 1 judged ended well; saved $0.003600",
        "holdout: 2 calls, $0.004500, 0.0 % of 1 judged ended well; would have saved $0.003600",
        "shadow: 2 calls, $0.004500; would have saved $0.003600",
    )


def totals_of(answer: Answer) -> dict[str, Any]:
    sums = (name for name in answer.frame.columns if name.endswith(("calls", "_usd")))
    return {name: answer.frame[name].sum() for name in sums}


WAYS = [(), ("day",), ("hour",), ("feature",), ("team", "user"), ("session",), ("model", "month"), ("tag.none",)]


@pytest.mark.parametrize("name", ["refusals", "avoided"])
def test_rows_add_up_to_the_same_in_every_direction(ledger: Ledger, name: str) -> None:
    whole = totals_of(asked(ledger, name))
    assert [totals_of(asked(ledger, name, *by)) for by in WAYS] == [whole] * len(WAYS)
    parts = [totals_of(asked(ledger, name, where=[f"team={team}"])) for team in ("support", "search", "")]
    assert {key: sum(filter(None, (part[key] for part in parts))) for key in whole} == whole
    rest = totals_of(asked(ledger, name, "day", where=["team!=support"]))
    assert {key: (rest[key] or 0) + (parts[0][key] or 0) for key in whole} == whole


@pytest.mark.parametrize("name", ["refusals", "avoided", "routes", "decisions"])
def test_days_that_are_kept_say_the_same(tmp_path: Path, name: str) -> None:
    lake = make_lake(tmp_path / "lake", controlled_ledger())
    questions = [(("day", "feature"), ()), (("team",), ("feature=answers",)), (("hour", "user"), ())]
    berlin = Period(FIRST, LAST, Calendar("Europe/Berlin"))

    def told() -> list[Any]:
        ledger = Ledger(lake, EVERYTHING)
        found = [asked(ledger, name, *by, where=where) for by, where in questions]
        found.append(asked(ledger, name, "day", period=berlin))
        return [(answer.frame.rows(), answer.notes) for answer in found]

    before = told()
    refresh_rollups(lake)
    assert [told(), told()] == [before, before]
    assert list(tmp_path.rglob(f"kept/{name}-*/*.parquet"))


@pytest.mark.parametrize("most", [1, 2, 3, 5, 200])
@pytest.mark.parametrize("where", [[], ["team=support"], ["team!=support"], ["feature=nothing"]])
def test_the_latest_decisions_of_kept_days_are_those_of_spans(tmp_path: Path, most: int, where: list[str]) -> None:
    lake = make_lake(tmp_path / "lake", controlled_ledger())
    question = Question(DAYS, (), parse_where(where))
    refresh_rollups(lake)
    found = REPORTS["decisions"].answer(Ledger(lake, EVERYTHING), question, most=most)
    every = REPORTS["decisions"].answer(Ledger(lake, EVERYTHING), question, most=201)  # more than is kept
    assert found.frame.rows() == every.frame.rows()[:most]


def test_a_team_is_told_of_its_own_calls_alone(lake: Path) -> None:
    ledger = Ledger(lake, scope_of_teams(["support"]))
    assert {row[0] for row in asked(ledger, "refusals", "team").frame.rows()} == {"support"}
    assert asked(ledger, "refusals").notes == ("refused: 2 calls, expected to cost $1.00",)
    assert asked(ledger, "avoided").notes[0] == "avoided: $0.55 by 4 calls, of 1 of which it isn't known"
    assert asked(ledger, "routes").notes == ("no rule of a router looked at a call in these days",)


def test_refused_calls_are_in_no_count_of_calls_and_cached_ones_cost_nothing(ledger: Ledger) -> None:
    answer = asked(ledger, "spend", "team")
    assert answer.frame.select("team", "calls", "cost_usd", "unpriced_calls").rows() == [
        ("search", 8, Decimal("0.0144"), 0),
        ("support", 5, Decimal("0.0027"), 0),
    ]
    assert unpriced_models(ledger, FIRST, LAST).rows() == []


def test_guard_events_are_one_row_a_decision(lake: Path) -> None:
    rows = connect(lake).sql(
        "select rule, kind, action, shadow, refused, unit, limit_amount, spent_amount, held_amount, estimate_amount,"
        " resets_at, sentence, team_id, time from guard_events where rule = $rule order by time",
        params={"rule": MONTH},
    )
    amounts = tuple(map(Decimal, ("500", "499.5", "0.25")))
    block = (MONTH, "budget", "block", False, True, "usd", *amounts)
    end = (datetime(2026, 12, 1, tzinfo=UTC), "The month's $500 are spent.", "support")
    assert [row[:-1] for row in rows.fetchall()] == [
        (*block, Decimal("0.25"), *end),
        (*block, Decimal("0.75"), *end),
        (MONTH, "budget", "degrade", False, False, "usd", *amounts, Decimal("0.1"), None, None, "support"),
        (MONTH, None, "defer", False, True, *[None] * 5, None, None, "search"),
    ]
    kinds = connect(lake).sql("select kind, count(*) from guard_events group by 1 order by 1 nulls last").fetchall()
    assert kinds == [("breaker", 1), ("budget", 6), ("cache", 3), ("limit", 1), (None, 1)]


@pytest.mark.parametrize("text", ['"no json"', '"[]"', '"{}"', '"[1, null]"', '"[{\\"rule\\": 5}]"', "5"])
def test_a_refusal_is_counted_whatever_is_told_of_its_decisions(tmp_path: Path, text: str) -> None:
    row = refused(1, 1, DAY) | {"attributes": [("spanledger.guard.decisions", text)]}
    lake = make_lake(tmp_path / "lake", [row, call(2, 1, DAY)])
    assert asked(Ledger(lake, EVERYTHING), "refusals").frame.rows() == [(MONTH, None, "block", False, 1, 1, None, 1)]
    assert connect(lake).sql("select rule, action, refused from guard_events").fetchall() == [(MONTH, "block", True)]
    told = "select calls, errors, unpriced_calls, tool_cost_usd from traces order by 1"
    assert connect(lake).sql(told).fetchall() == [(0, 0, 0, None), (1, 0, 0, None)]
