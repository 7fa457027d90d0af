"""What a period is compared with: other days, as many of them and up to the same time of day.

A day that isn't over is compared with the part of another that lies before the same time: else every morning would look
cheap. It is cut at a full quarter of an hour, so that rollups answer for the other one.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from spanledger_analytics.errors import QuestionError

from .answer import Option
from .calendar import UNITS, Calendar, Period, check_reach

AGAINST: Final = ("previous", "week", "month", "year")
_DAYS: Final = re.compile(r"(\d{4}-\d\d-\d\d)\.\.(\d{4}-\d\d-\d\d)")
_DAY: Final = timedelta(days=1)
_WEEK: Final = 7
NOW: Final = Option("now", str, None, "Moment that counts as now, as 2026-11-05T14:00; default: now.")


@dataclass(frozen=True, slots=True)
class Pair:
    """Two periods that are compared."""

    period: Period
    before: Period

    def sentence(self) -> str:
        """Return which days these are, and what about them is unequal."""
        said = f"{_named(self.period)} against {_named(self.before)}"
        if self.before.until is not None:
            said += "; the last day isn't over, so both are counted up to the same time"
        if self.period.days != self.before.days:
            said += f"; {self.period.days} days against {self.before.days}"
        return said


def option(default: str) -> Option:
    """Return the option by which a report is told what to compare with."""
    return Option(
        "against",
        str,
        default,
        "Compare with: previous (as many days before), week (the same weekdays), month (the billing month before), "
        "year, or FROM..TO.",
    )


def pair(period: Period, against: str, now: datetime) -> Pair:
    """Return what of a period is over at `now`, and what it is compared with.

    Raises:
        QuestionError: `against` is nothing known, or what it names isn't over.
    """
    over = period.so_far(now)
    before = _before(over, against)
    if before.days == over.days:
        before = before.up_to_clock_of(over)
    if before.end > now:
        raise QuestionError(
            f"{_named(before)} isn't over; name it with --from and --to, and compare that with the other"
        )
    return Pair(over, before)


def moment(text: str | None, calendar: Calendar) -> datetime:
    """Read a moment, in the calendar's zone unless it says another (None: now); UTC.

    Raises:
        QuestionError: it can't be read, or no call can be of it.
    """
    if text is None:
        return datetime.now(UTC)
    try:
        said = datetime.fromisoformat(text)
    except ValueError:
        raise QuestionError(f"can't read the moment {text!r}; write it as 2026-11-05T14:00") from None
    check_reach(said)
    return (said if said.tzinfo else said.replace(tzinfo=ZoneInfo(calendar.zone))).astimezone(UTC)


def told_apart(by: Sequence[str]) -> Sequence[str]:
    """Return dimensions by which rows of two periods can be told apart.

    Raises:
        QuestionError: there are units of time among them, which two periods never share.
    """
    units: tuple[str, ...] = UNITS
    for unit in by:
        if unit in units:
            raise QuestionError(f"rows can't be told apart by {unit} here; choose dimensions, as in --by team")
    return by


def _before(period: Period, against: str) -> Period:
    if against == "previous":
        return period.before()
    if against == "week":
        return period.before(-(-period.days // _WEEK) * _WEEK)
    if against == "month":
        return _months_before(period)
    if against == "year":
        return Period(_year_before(period.first), _year_before(period.last), period.calendar)
    days = _DAYS.fullmatch(against)
    if days is None:
        raise QuestionError(f"can't compare with {against!r}; choose {', '.join(AGAINST)} or FROM..TO, two days")
    try:
        named = Period(date.fromisoformat(days[1]), date.fromisoformat(days[2]), period.calendar)
    except ValueError as error:
        raise QuestionError(f"can't read the days {against}: {error}") from None
    return named if period.until is None else Period(named.first, _as_many(named, period), period.calendar)


def _as_many(named: Period, period: Period) -> date:
    """Return the last of the days named that a period that isn't over has a counterpart of."""
    return min(named.last, named.first + (period.days - 1) * _DAY)


def _months_before(period: Period) -> Period:
    """Return the same days of as many billing months before; whole months for whole ones."""
    calendar = period.calendar
    months = [calendar.month_of(period.first)]
    while calendar.month_after(months[-1]) <= period.last:
        months.append(calendar.month_after(months[-1]))
    starts = [months[0]]
    for _ in months:
        starts.insert(0, calendar.month_of(starts[0] - _DAY))
    if period.until is None and period.first == months[0] and period.last + _DAY == calendar.month_after(months[-1]):
        return Period(starts[0], months[0] - _DAY, calendar)
    first = _day_of_month(starts[0], period.first - months[0], calendar)
    return Period(first, _day_of_month(starts[-2], period.last - months[-1], calendar), calendar)


def _day_of_month(start: date, after: timedelta, calendar: Calendar) -> date:
    return min(start + after, calendar.month_after(start) - _DAY)


def _year_before(day: date) -> date:
    try:
        return day.replace(year=day.year - 1)
    except ValueError:
        return day.replace(year=day.year - 1, day=28)


def _named(period: Period) -> str:
    days = f"{period.first}" if period.first == period.last else f"{period.first} to {period.last}"
    if period.until is None:
        return days
    return f"{days} {period.calendar.local(period.until):%H:%M}"
