"""Figures and sentences of the page Controls, from rows that can be added up by hand."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any, get_args

import plotly.graph_objects as go
import polars as pl
import pytest

from spanledger.guard.policy import Action, Budget, Threshold, make_match
from spanledger.guard.store import NANO
from spanledger_analytics.controls.balances import BudgetBalance
from spanledger_analytics.controls.turned_away import with_turned_away
from spanledger_analytics.reports.calendar import Calendar, Period
from spanledger_dashboard.cards import holds, refused, saved
from spanledger_dashboard.cards.controls_line import line_of
from spanledger_dashboard.charts.held_up import MOST_RULES, OTHER, avoided_figure, refused_figure, times_of
from spanledger_dashboard.charts.holds import holds_figure
from spanledger_dashboard.policies import is_of_teams

NOW = datetime(2026, 11, 5, 9, 30, tzinfo=UTC)
DAYS = Period(date(2026, 11, 2), date(2026, 11, 5))
SECOND, FOURTH = date(2026, 11, 2), date(2026, 11, 4)
MONEY = pl.Decimal(38, 12)


def refusals(*rows: tuple[Any, ...]) -> pl.DataFrame:
    names = ["day", "rule", "kind", "action", "shadow", "calls", "refused_calls", "estimate_usd", "unknown_calls"]
    return pl.DataFrame(rows, schema=names, orient="row").with_columns(pl.col("estimate_usd").cast(MONEY))


SOME = refusals(
    (SECOND, "a", "budget", "block", False, 3, 3, Decimal("1.5"), 0),
    (SECOND, "b", "limit", "defer", False, 1, 1, None, 1),
    (FOURTH, "a", "budget", "block", False, 2, 2, Decimal(1), 0),
    (FOURTH, "a", "budget", "block", True, 7, 0, None, 7),
)


def traces(figure: go.Figure) -> list[dict[str, Any]]:
    """Return a figure's traces; plotly raises an error for what it does not know."""
    found: list[dict[str, Any]] = go.Figure(figure.to_dict()).to_dict()["data"]
    return found


def test_refusals_are_stacked_by_rule_and_those_in_shadow_are_pale() -> None:
    first, second, shadow, hit = traces(refused_figure(SOME, times_of(DAYS, NOW)))
    assert [(one["name"], list(one["y"]), one["marker"]["opacity"]) for one in (first, second, shadow)] == [
        ("a", [3, 0, 2, 0], 1),
        ("b", [1, 0, 0, 0], 1),
        ("a, in shadow", [0, 0, 7, 0], 0.4),
    ]
    assert first["marker"]["color"] == shadow["marker"]["color"] != second["marker"]["color"]
    assert list(first["marker"]["pattern"]["shape"]) == ["", "", "", "/"]
    assert [told.split("<br>") for _, told in hit["customdata"]] == [
        ["<b>Mon 2 Nov</b>", "a: 3 calls refused", "b: 1 call refused"],
        ["<b>Tue 3 Nov</b>", "no call refused"],
        ["<b>Wed 4 Nov</b>", "a: 2 calls refused", "a: 7 calls would have been refused"],
        ["<b>Thu 5 Nov so far</b>", "no call refused"],
    ]


def test_few_calls_are_counted_by_whole_ones() -> None:
    one = refusals((SECOND, "a", "budget", "block", False, 1, 1, None, 1))
    ticks = [refused_figure(frame, times_of(DAYS, NOW)).layout.yaxis.dtick for frame in (one, SOME)]
    assert ticks == [1, None]


def test_rules_beyond_the_colours_are_one_and_names_are_no_html() -> None:
    many = refusals(*((SECOND, f"<b>{number:02}", "budget", "block", False, 1, 1, None, 1) for number in range(20)))
    drawn = traces(refused_figure(many, times_of(DAYS, NOW)))[:-1]
    assert len(drawn) == MOST_RULES + 1
    assert {one["name"]: sum(one["y"]) for one in drawn}[OTHER] == 20 - MOST_RULES
    assert "&lt;b&gt;00" in {one["name"] for one in drawn}


def test_few_days_are_drawn_by_the_hour_of_the_readers_zone() -> None:
    times = times_of(Period(date(2026, 11, 5), date(2026, 11, 5), Calendar("Asia/Kolkata")), NOW)
    assert (times.unit, len(times.places)) == ("hour", 15)
    assert [times.label(place) for place in (times.places[0], times.places[-1])] == [
        "2026-11-05 00:00",
        "2026-11-05 14:00",
    ]
    assert times.name(times.places[-1]).endswith("so far") or times.current > times.places[-1]


def test_what_was_avoided_is_stacked_by_way_and_what_is_unknown_is_counted() -> None:
    frame = pl.DataFrame(
        [
            (SECOND, "f", "route", "easy", 4, Decimal("0.5"), 0),
            (SECOND, "g", "cache", "faq", 2, Decimal("0.25"), 1),
            (FOURTH, None, "cache", "faq", 1, None, 1),
        ],
        schema=["day", "feature", "way", "rule", "calls", "avoided_usd", "unknown_calls"],
        orient="row",
    ).with_columns(pl.col("avoided_usd").cast(MONEY))
    cache, route, hit = traces(avoided_figure(frame, times_of(DAYS, NOW)))
    assert [(one["name"], list(one["y"])) for one in (cache, route)] == [
        ("response cache", [0.25, 0, 0, 0]),
        ("cheaper model, by router", [0.5, 0, 0, 0]),
    ]
    assert hit["customdata"][0][1].split("<br>")[1:] == [
        "response cache: $0.25, 2 calls",
        "cheaper model, by router: $0.5, 4 calls",
    ]
    assert saved.answer_of(frame) == "$0.750 avoided, on 7 calls, of 2 calls it isn't known"
    assert [(row["rule"], row["calls"], row["features"]) for row in saved.by_rule(frame).to_dicts()] == [
        ("easy", 4, ["f"]),
        ("faq", 3, ["g"]),
    ]


def test_refusals_are_told_in_a_sentence_and_by_rule() -> None:
    assert refused.answer_of(SOME) == (
        "6 calls were refused, expected to cost $2.50; in shadow 7 calls would have been"
    )
    assert refused.answer_of(SOME.filter("shadow")) == "No call was refused; in shadow 7 calls would have been"
    assert refused.answer_of(SOME.head(0)) == "No call was refused"
    told = [refused.rule_row(row) for row in refused.by_rule(SOME).to_dicts()]
    assert [(row.amount, row.title, row.said) for row in told] == [
        ("5", "a", "The budget refused 5 calls, expected to cost $2.50."),
        ("1", "b", "The limit put off 1 call."),
        ("7", "a, in shadow", "The budget would have refused 7 calls."),
    ]


@pytest.mark.parametrize(
    ("more", "title", "said", "link"),
    [
        ({}, "r (user_id=u)", "Thu 5 Nov 09:30:00 UTC, search: no money left", "See request 0000002a"),
        (
            {"sentence": None, "scope": None},
            "r",
            "Thu 5 Nov 09:30:00 UTC, search: It was refused.",
            "See request 0000002a",
        ),
        ({"kind": "breaker"}, "r (user_id=u)", "Thu 5 Nov 09:30:00 UTC, search: no money left", ""),
        (
            {"shadow": True, "action": "degrade"},
            "r (user_id=u): would have degraded",
            "Thu 5 Nov 09:30:00 UTC, search: no money left",
            "See request 0000002a",
        ),
    ],
)
def test_a_decision_is_told_with_a_way_to_its_trace(more: dict[str, Any], title: str, said: str, link: str) -> None:
    row = {
        "time": NOW,
        "rule": "r",
        "kind": "budget",
        "scope": "user_id=u",
        "action": "block",
        "shadow": False,
        "refused": True,
        "team": "search",
        "user": None,
        "feature": None,
        "model": None,
        "sentence": "no money left",
        "trace_id": f"{42:032x}",
        "times": 1,
    }
    made = refused.decision_row(row | more)
    assert (made.title, made.said, made.link) == (title, said, link)
    assert made.parameters == {"d": "2026-11-05", "t": f"{42:032x}"}


def test_arms_are_told_by_cost_of_a_call_and_success() -> None:
    row = {
        "rule": "easy",
        "arm": "routed",
        "chosen_model": "gpt-5-mini",
        "calls": 4,
        "cost_usd": Decimal("0.02"),
        "judged": 4,
        "success_rate": Decimal("0.75"),
        "avoided_usd": Decimal("0.08"),
        "would_save_usd": None,
    }
    made = saved.arm_row(row)
    assert (made.amount, made.title) == ("$0.080", "easy: routed, gpt-5-mini")
    assert made.said == (
        "4 calls went to the chosen model, $0.0050 each. 75 % of 4 sessions that were judged ended well."
    )


@pytest.mark.parametrize(
    ("seen", "said"),
    [
        ((0, 0, 0), ""),
        ((1, 0, 0), "Controls, the last 7 days: 1 call refused."),
        ((2, 3, 4), "Controls, the last 7 days: 2 calls refused, $4.00 avoided on 3 calls."),
    ],
)
def test_the_line_of_the_overview_is_there_only_if_there_is_something_to_say(
    seen: tuple[int, int, int], said: str
) -> None:
    assert line_of(dict(zip(("refused", "saving", "avoided_usd"), (*seen[:2], Decimal(seen[2])), strict=True))) == said


def test_hours_end_with_the_one_that_goes_on() -> None:
    times = times_of(Period(date(2026, 11, 4), date(2026, 11, 5)), NOW)
    assert times.places[-1] == times.current == NOW - timedelta(minutes=30)
    assert times.name(times.places[-1]) == "Thu 5 Nov 09:00 so far"


def balance(spent: int | None, held: int = 0, **more: Any) -> BudgetBalance:
    at = (Threshold(Fraction(9, 10), "degrade"), Threshold(Fraction(1), "block"))
    budget = Budget("b", make_match({"team_id": "*"}), "session", 10 * NANO, "usd", at, **more)
    known = None if spent is None else held
    return BudgetBalance(budget, "team_id=x", "session:s-1", spent, known, known, None)


def test_budgets_are_bars_of_what_is_spent_and_held_with_marks_where_something_is_done() -> None:
    rows = [balance(12 * NANO), balance(9 * NANO, NANO // 2), balance(NANO, NANO)]
    figure = holds_figure(rows)
    *spent, held, beside, hit = traces(figure)
    assert [(one["name"], list(one["y"]), list(one["x"])) for one in spent] == [
        ("room left", [2], [0.1]),
        ("cheaper model", [1], [0.9]),
        ("refused", [0], [1.08]),
    ]
    assert list(held["x"]) == pytest.approx([0.0, 0.05, 0.1])
    assert list(held["base"]) == pytest.approx([1.08, 0.9, 0.1])
    assert [shape["x0"] for shape in go.Figure(figure.to_dict()).to_dict()["layout"]["shapes"]] == [0.9, 1.0] * 3
    assert len({one["marker"]["color"] for one in spent}) == 3
    assert list(beside["text"]) == ["120 % of $10.00, refused", "95 % of $10.00, cheaper model", "20 % of $10.00"]
    assert hit["customdata"][1][1].split("<br>") == [
        "<b>b, team_id=x, s-1</b>",
        "$9.00 spent, $0.500 held of $10.00",
        "at 90 %: answered by a cheaper model",
        "at 100 %: refused",
        "$0.500 of it by estimate: nobody came to settle it",
    ]


def test_each_action_has_a_colour_a_place_in_the_legend_and_a_word_and_shadow_is_pale() -> None:
    at = [Threshold(Fraction(number, 10), action) for number, action in enumerate(get_args(Action)[1:], start=1)]
    budget = Budget("b", make_match({}), "day", 10 * NANO, "usd", tuple(at))
    rows = [BudgetBalance(budget, "everything", "2026-11-05", number * NANO, 0, 0, None) for number in range(6)]
    shadow = BudgetBalance(replace(budget, shadow=True), "everything", "2026-11-05", 9 * NANO, 0, 0, None)
    figure = holds_figure([*rows, shadow])
    *spent, held, beside, _ = traces(figure)
    assert [one["name"] for one in spent] == [
        "room left",
        "warned of",
        "slowed down",
        "cheaper model",
        "put off",
        "refused",
    ]
    assert len({one["marker"]["color"] for one in spent}) == 6
    assert [list(one["marker"]["opacity"]) for one in spent][-1] == [1, 0.45]
    assert figure.layout.showlegend
    assert not held["showlegend"]
    assert [text.partition(", ")[2] for text in beside["text"]] == [
        "",
        *(one["name"] for one in spent[1:]),
        "refused in shadow",
    ]
    assert not holds_figure(rows[:1]).layout.showlegend


def refused_at(estimate: str, at: datetime, session: str | None) -> pl.DataFrame:
    row = ("b", "team_id=x", session, Decimal(estimate), at)
    return pl.DataFrame([row], schema=["rule", "scope", "session", "estimate", "last_at"], orient="row")


@pytest.mark.parametrize(
    ("estimate", "session", "state"),
    [("1.1", "s-1", "block"), ("1", "s-1", "ok"), ("1.1", "s-2", "ok")],
)
def test_an_account_with_too_little_left_for_what_was_refused_last_refuses(
    estimate: str, session: str, state: str
) -> None:
    one = balance(8 * NANO, NANO)._replace(budget=replace(balance(0).budget, at=(Threshold(Fraction(1), "block"),)))
    (found,) = with_turned_away([one], refused_at(estimate, NOW, session), NOW)
    assert found.state == state
    assert (one.state, "too little for calls that were refused" in holds._reached(found).said) == (
        "ok",
        state == "block",
    )


def test_what_was_refused_in_a_window_that_is_over_says_nothing_of_this_one() -> None:
    budget = replace(balance(0).budget, per="day", at=(Threshold(Fraction(1), "block"),))
    one = BudgetBalance(budget, "team_id=x", "2026-11-05", 9 * NANO, 0, 0, None)
    states = [with_turned_away([one], refused_at("2", at, None), NOW)[0].state for at in (NOW, NOW - timedelta(days=1))]
    assert states == ["block", "ok"]


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([balance(None)], "Every budget has room"),
        ([balance(NANO), balance(0)], "All of 2 budget accounts have room"),
        ([balance(9 * NANO), balance(0)], "Of 2 budget accounts, 1 has calls answered by a cheaper model"),
        (
            [balance(10 * NANO), balance(11 * NANO, shadow=True)],
            "Of 2 budget accounts, 2 have calls refused (1 in shadow)",
        ),
    ],
)
def test_how_budgets_stand_is_told_in_a_sentence(rows: list[BudgetBalance], said: str) -> None:
    assert holds.answer_of(rows) == said


@pytest.mark.parametrize(
    ("match", "scope", "is_theirs"),
    [
        ({"team_id": "*"}, "team_id=a", True),
        ({"team_id": "*"}, "team_id=ab", False),
        ({"team_id": "*"}, "team_id=a,session_id=s", False),
        ({"user_id": "*"}, "user_id=x", False),
        ({"user_id": "*"}, "user_id=x,team_id=a", False),
        ({"team_id": "*", "user_id": "*"}, "team_id=b,user_id=x,team_id=a", False),
        ({"user_id": "*", "team_id": "*"}, "user_id=x,y,team_id=a", False),
        ({}, "everything", False),
    ],
)
def test_an_account_is_a_teams_only_if_its_scope_can_be_read_in_one_way(
    match: dict[str, str], scope: str, is_theirs: bool
) -> None:
    assert is_of_teams(scope, [make_match(match)], ["a"]) is is_theirs


def test_a_breaker_of_sessions_names_a_session_beside_the_team() -> None:
    match = make_match({"team_id": "*"})
    found = [is_of_teams(f"team_id=a{more}", [match], ["a"], by_session=True) for more in ("", ",session_id=s")]
    assert found == [False, True]
