"""The URL and the view say the same."""

from __future__ import annotations

import re
from datetime import date

import pytest

from spanledger_analytics.spend import Filters
from spanledger_dashboard.components.place import crumbs
from spanledger_dashboard.state import BadLinkError, View, carried, parse, window

DAY = date(2026, 11, 3)
TRACE = "0123456789abcdef" * 2
DEEP = View(
    days=90,
    day=DAY,
    hour=14,
    user="u-017",
    trace=TRACE,
    span="0123456789abcdef",
    filters=Filters(team="search", model="gpt-5"),
)


@pytest.mark.parametrize(
    "view", [View(), DEEP, View(day=DAY, hour=0, user=""), View(day=DAY, filters=Filters(environment=""))]
)
def test_a_view_survives_the_way_through_the_url(view: View) -> None:
    assert parse(view.parameters()) == view


def test_days_and_filters_go_along_to_another_page_as_far_as_it_shows_them() -> None:
    here = {"days": "7", "team": "search", "tag.plan": "pro", "u": "u-017", "by": "model"}
    assert carried(here, days=True, filters=True) == {"days": "7", "team": "search", "tag.plan": "pro"}
    assert carried(here, days=True, filters=False) == {"days": "7"}
    assert carried(here, days=False, filters=False) == {}


def test_a_page_may_have_usual_days_of_its_own() -> None:
    plain = window({}, usual=7)
    assert (plain.days, plain.period.days, plain.parameters()) == (7, 7, {})
    assert plain.lasting(30).parameters() == {"days": "30"}


def test_the_first_level_has_a_bare_url() -> None:
    assert View().parameters() == {}


def test_a_deep_view_names_every_level() -> None:
    assert DEEP.parameters() == {
        "days": "90",
        "d": "2026-11-03",
        "h": "14",
        "u": "u-017",
        "t": TRACE,
        "s": "0123456789abcdef",
        "team": "search",
        "model": "gpt-5",
    }


def test_breadcrumbs_lead_back_through_every_level_and_keep_the_filters() -> None:
    kept = {"days": "90", "team": "search", "model": "gpt-5"}
    assert [(label, view.parameters()) for label, view in crumbs(DEEP)] == [
        ("All days", kept),
        ("Tue 3 Nov", {**kept, "d": "2026-11-03"}),
        ("14:00-15:00", {**kept, "d": "2026-11-03", "h": "14"}),
        ("u-017", {**kept, "d": "2026-11-03", "h": "14", "u": "u-017"}),
        ("request 89abcdef", {**kept, "d": "2026-11-03", "h": "14", "u": "u-017", "t": TRACE}),
    ]


def test_calls_without_a_user_have_a_place_of_their_own() -> None:
    view = View(day=DAY, hour=14).at_user("")
    assert view.parameters() == {"d": "2026-11-03", "h": "14", "u": ""}
    assert crumbs(view)[-1][0] == "(no user)"


@pytest.mark.parametrize(
    ("parameters", "sentence"),
    [
        ({"d": "3 Nov"}, "This link names the day '3 Nov', which is no date like 2026-11-03."),
        ({"d": "2026-11-03", "h": "-1"}, "This link names the hour '-1'; hours go from 0 to 23."),
        ({"d": "2026-11-03", "h": "٣"}, "This link names the hour '٣'; hours go from 0 to 23."),
        ({"h": "3"}, "This link names an hour or a user, but no day."),
        ({"d": "2026-11-03", "t": "xyz"}, "This link names the trace 'xyz'; an id has 32 hexadecimal digits."),
        ({"days": "1"}, "This link asks for '1' days; there are 7, 14, 30, 90."),
    ],
)
def test_a_link_that_names_no_view_says_why(parameters: dict[str, str], sentence: str) -> None:
    with pytest.raises(BadLinkError, match=f"^{re.escape(sentence)}$"):
        parse(parameters)
