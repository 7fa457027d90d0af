"""What the page that compares asks: which two things, by its address, and the questions of reports that follow."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from types import MappingProxyType
from typing import Final

from spanledger_analytics.errors import QuestionError
from spanledger_analytics.reports.against import moment, pair
from spanledger_analytics.reports.answer import Value
from spanledger_analytics.reports.calendar import Period
from spanledger_analytics.reports.question import Question, instead, parse_where
from spanledger_dashboard.data import now
from spanledger_dashboard.state import Own, Window

PATH: Final = "compare"
BY: Final = ("feature", "team", "model", "environment")
AROUND: Final = ("7", "1", "3", "14", "28")
OWN: Final[Own] = MappingProxyType(
    {"by": BY, "around": AROUND} | dict.fromkeys(("against", "a", "b", "at", "control"), ())
)
PERIODS: Final = "Two periods"
SLICES: Final = "Two slices"
MOMENT: Final = "Before and after"
NOTHING: Final = MappingProxyType(dict.fromkeys(("against", "a", "b", "at", "control"), ""))
"""What the page is told where it compares with the days before."""
KINDS: Final = (PERIODS, SLICES, MOMENT)


def kind_of(asked: Window) -> str:
    """Return what is compared: a moment if one is named, slices if one is, else periods."""
    if asked.own["at"]:
        return MOMENT
    return SLICES if asked.own["a"] or asked.own["b"] else PERIODS


def against(asked: Window) -> str:
    """Return what the days are compared with."""
    return asked.own["against"] or "previous"


def unreadable(asked: Window) -> str | None:
    """Return why what the address names can't be compared, for the reader; None where it can."""
    named = [asked.own[name] for name in ("a", "b", "control") if asked.own[name]]
    try:
        parse_where(named)
        if asked.own["at"]:
            moment(asked.own["at"], asked.period.calendar)
        pair(asked.period, against(asked), now())
    except QuestionError as error:
        return str(error)
    return None


def two_sides(asked: Window, by: Sequence[str] = ()) -> tuple[Question, dict[str, Value]]:
    """Return what the report `compare` is asked about two slices or periods, and its options."""
    about = asked.question(by)
    if kind_of(asked) == PERIODS:
        return about, {"against": against(asked)}
    if asked.own["a"]:
        about = replace(about, where=instead(about.where, asked.own["a"]))
    return about, {"with_": asked.own["b"]} if asked.own["b"] else {"against": against(asked)}


def a_moment(asked: Window) -> tuple[Question, dict[str, Value]]:
    """Return what the report `compare` is asked about a moment, and its options.

    The days are those around it: answers are kept by the days that a question names.
    """
    calendar, around = asked.period.calendar, timedelta(days=int(asked.own["around"]))
    day = calendar.local(moment(asked.own["at"], calendar)).date()
    days = Period(day - around, min(day + around, max(day, calendar.today())), calendar)
    options: dict[str, Value] = {"at": asked.own["at"], "around": around.days}
    if asked.own["control"]:
        options["control"] = asked.own["control"]
    return replace(asked.question(), period=days), options
