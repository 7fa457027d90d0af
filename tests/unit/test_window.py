"""What a page looks at and the URL say the same, and a report is asked just that."""

from __future__ import annotations

import re
from datetime import date, timedelta

import pytest

from spanledger_analytics.reports.calendar import Calendar, Period
from spanledger_analytics.reports.question import Question, Where
from spanledger_analytics.scope import scope_of_teams
from spanledger_analytics.spend import Filters
from spanledger_dashboard.command import command_of
from spanledger_dashboard.state import BadLinkError, View, window

OWN = {"by": ("feature", "team"), "find": ()}
BERLIN = Calendar("Europe/Berlin", 15)


def test_a_bare_url_is_the_last_thirty_days_of_the_readers_calendar() -> None:
    before = BERLIN.today()
    asked = window({}, OWN, BERLIN)
    assert asked.period.last in (before, BERLIN.today())
    assert asked.period == Period(asked.period.last - timedelta(days=29), asked.period.last, BERLIN)
    assert asked.own == {"by": "feature", "find": ""}
    assert asked.parameters() == {}


@pytest.mark.parametrize(
    "parameters",
    [
        {"days": "7", "team": "search", "model": ""},
        {"from": "2026-11-02", "to": "2026-11-08", "by": "team", "find": "a b"},
    ],
)
def test_a_window_survives_the_way_through_the_url(parameters: dict[str, str]) -> None:
    assert window(parameters, OWN).parameters() == parameters


def test_a_change_keeps_everything_else() -> None:
    asked = window({"days": "7", "team": "search", "by": "team"}, OWN)
    assert asked.lasting(90).parameters() == {"days": "90", "team": "search", "by": "team"}
    assert asked.filtered("model", "gpt-5").parameters() == {
        "days": "7",
        "team": "search",
        "model": "gpt-5",
        "by": "team",
    }
    assert asked.told(by="feature").parameters() == {"days": "7", "team": "search"}
    named = asked.spanning(date(2026, 11, 2), date(2026, 11, 8))
    assert named.parameters() == {"from": "2026-11-02", "to": "2026-11-08", "team": "search", "by": "team"}


def test_one_day_named_is_that_day_and_an_open_end_is_today() -> None:
    assert window({"to": "2026-11-08"}).period == Period(date(2026, 11, 8), date(2026, 11, 8))
    before = Calendar().today()
    first = before - timedelta(days=3)
    period = window({"from": f"{first}"}).period
    assert (period.first, period.last in (before, Calendar().today())) == (first, True)


def test_a_report_is_asked_the_days_and_what_the_filters_leave() -> None:
    asked = window({"from": "2026-11-02", "to": "2026-11-08", "team": "search", "feature": ""}, OWN, BERLIN)
    more = Where({"provider": ("openai",)}, {"user": ("ann",)})
    assert asked.question(("day", "model"), more) == Question(
        Period(date(2026, 11, 2), date(2026, 11, 8), BERLIN),
        ("day", "model"),
        Where({"provider": ("openai",), "team": ("search",), "feature": ("",)}, {"user": ("ann",)}),
    )


def test_explore_is_shown_the_same_calls_over_as_many_days_or_more() -> None:
    asked = window({"from": "2026-11-02", "to": "2026-11-10", "team": "search"})
    assert asked.view() == View(days=14, filters=Filters(team="search"))


@pytest.mark.parametrize(
    ("parameters", "sentence"),
    [
        ({"days": "12"}, "This link asks for '12' days; there are 7, 14, 30, 90."),
        ({"from": "monday"}, "This link names the day 'monday', which is no date like 2026-11-03."),
        (
            {"from": "2026-11-09", "to": "2026-11-08"},
            "This link asks for the days from 2026-11-09 to 2026-11-08, which are none.",
        ),
        ({"from": "2025-01-01", "to": "2026-02-05"}, "This link asks for 401 days; at most 400 can be shown."),
        ({"by": "planet"}, "This link asks for by 'planet'; there are feature, team."),
    ],
)
def test_a_link_that_names_no_window_says_why(parameters: dict[str, str], sentence: str) -> None:
    with pytest.raises(BadLinkError, match=f"^{re.escape(sentence)}$"):
        window(parameters, OWN)


def test_a_card_names_the_command_that_prints_its_numbers() -> None:
    days = Period(date(2026, 11, 2), date(2026, 11, 8), BERLIN)
    asked = Question(days, ("team",), Where({"user": ("a,b", "c"), "feature": ("",)}, {"model": ("it's",)}))
    assert command_of("movers", asked, {"top": 5, "against": "previous"}) == (
        'spanledger report movers --by team --from 2026-11-02 --to 2026-11-08 --where \'user="a,b","c"\' '
        "--where feature= --where 'model!=it'\"'\"'s' --zone Europe/Berlin --top 5"
    )
    plain = Question(Period(date(2026, 11, 2), date(2026, 11, 8)), ("feature",))
    assert command_of("movers", plain, {}) == "spanledger report movers --from 2026-11-02 --to 2026-11-08"
    scoped = command_of("movers", plain, {}, scope_of_teams(["search", "ads"]))
    assert scoped == "spanledger report movers --from 2026-11-02 --to 2026-11-08 --where team=ads,search"
