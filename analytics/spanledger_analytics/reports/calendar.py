"""The user's days, weeks and months: in their time zone, months from their billing day on.

Calls are counted by quarters of an hour in UTC, because every zone's midnight falls on one.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from typing import Final, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import polars as pl

from spanledger_analytics.errors import QuestionError

Unit = Literal["hour", "day", "week", "month"]
Span = Literal["day", "week", "month"]
"""What a budget is for."""
UNITS: Final[tuple[Unit, ...]] = ("hour", "day", "week", "month")
LAST_BILLING_DAY: Final = 28
_DAY: Final = timedelta(days=1)
_QUARTER_MINUTES: Final = 15
FIRST_DAY: Final = date(2000, 1, 1)
LAST_DAY: Final = date(2099, 12, 31)
"""Beyond these there is no call, and somewhere no day before or after."""
_YEARS: Final = range(1900, 2200)
"""What is compared with days in reach may lie beyond these."""


def check_reach(day: date) -> None:
    """See that there is a day before and after it in every zone, and for any period.

    Raises:
        QuestionError: nobody can have made a call on it.
    """
    if day.year not in _YEARS:
        raise QuestionError(f"no call is of the year {day.year}; choose days from {FIRST_DAY} to {LAST_DAY}")


@dataclass(frozen=True, slots=True)
class Calendar:
    """Whose midnight counts, and on which day of a month a billing month begins."""

    zone: str = "UTC"
    """IANA name."""
    billing_day: int = 1
    """1 to 28."""

    def __post_init__(self) -> None:
        try:
            ZoneInfo(self.zone)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise QuestionError(
                f"no time zone is called {self.zone!r}; name one such as Europe/Berlin or UTC"
            ) from None
        if not 1 <= self.billing_day <= LAST_BILLING_DAY:
            raise QuestionError(f"a billing month can't begin on day {self.billing_day}; choose one from 1 to 28")

    @property
    def is_utc(self) -> bool:
        """Whether days are those of the lake."""
        return self.zone in ("UTC", "Etc/UTC", "Zulu")

    def today(self, now: datetime | None = None) -> date:
        """Return the date of a moment (None: now)."""
        return self.local(now or datetime.now(UTC)).date()

    def midnight(self, day: date) -> datetime:
        """Return the moment at which a day begins, in UTC."""
        return datetime.combine(day, time(), ZoneInfo(self.zone)).astimezone(UTC)

    def local(self, moment: datetime) -> datetime:
        """Return a moment in the zone."""
        return moment.astimezone(ZoneInfo(self.zone))

    def month_of(self, day: date) -> date:
        """Return the first day of the billing month that a day is in."""
        moved = day - (self.billing_day - 1) * _DAY
        return moved.replace(day=1) + (self.billing_day - 1) * _DAY

    def month_after(self, day: date) -> date:
        """Return the first day of the next billing month."""
        return self.month_of(self.month_of(day) + 31 * _DAY)

    def labels(self, moment: str, unit: Unit) -> pl.Expr:
        """Return the hour (in the zone), or the first day, of the unit that each moment of a column is in."""
        local = pl.col(moment).dt.convert_time_zone(self.zone)
        return local.dt.truncate("1h").alias(unit) if unit == "hour" else self.labels_of_days(local.dt.date(), unit)

    def labels_of_days(self, day: pl.Expr, unit: Unit) -> pl.Expr:
        """Return the first day of the unit, `hour` excepted, that each date in the zone is in."""
        if unit == "week":
            return day.dt.truncate("1w").alias(unit)
        if unit == "day":
            return day.alias(unit)
        moved = timedelta(days=self.billing_day - 1)
        return ((day - moved).dt.truncate("1mo") + moved).alias(unit)


@dataclass(frozen=True, slots=True)
class Period:
    """Some of the user's days, both ends inclusive; the last may be cut."""

    first: date
    last: date
    calendar: Calendar = Calendar()
    until: datetime | None = None
    """Start of a quarter of an hour (UTC) of the last day that it ends at; None: it ends with that day."""

    def __post_init__(self) -> None:
        if self.first > self.last:
            raise QuestionError(f"the days from {self.first} to {self.last} are none; --from comes before --to")
        check_reach(self.first)
        check_reach(self.last)

    @property
    def begin(self) -> datetime:
        """When it begins, UTC."""
        return self.calendar.midnight(self.first)

    @property
    def end(self) -> datetime:
        """When it is over, UTC; not part of it."""
        return self.until or self.calendar.midnight(self.last + _DAY)

    @property
    def days(self) -> int:
        """How many days it has."""
        return (self.last - self.first).days + 1

    def utc_days(self) -> tuple[date, date]:
        """Return the first and the last UTC date that it touches."""
        return self.begin.date(), (self.end - timedelta(microseconds=1)).date()

    def so_far(self, now: datetime) -> Period:
        """Return what of it is over: to the last full quarter of an hour, because calls are counted by those.

        Raises:
            QuestionError: it hasn't begun.
        """
        if self.end <= now:
            return self
        if self.begin > now:
            raise QuestionError(f"{self.first} hasn't begun; choose days that have, with --from and --to")
        full = now.astimezone(UTC).replace(second=0, microsecond=0)
        full -= timedelta(minutes=full.minute % _QUARTER_MINUTES)
        return replace(self, last=self.calendar.today(full), until=full)

    def up_to_clock_of(self, other: Period) -> Period:
        """Return it with its last day cut at the time of day at which another is cut."""
        if other.until is None:
            return self
        zone = ZoneInfo(self.calendar.zone)
        clock = datetime.combine(self.last, self.calendar.local(other.until).time(), zone)
        return replace(self, until=clock.astimezone(UTC))

    def parts(self) -> list[Period]:
        """Return its whole days, and the one that is cut: rollups of days can't tell a part of one."""
        if self.until is None or self.first == self.last:
            return [self]
        return [Period(self.first, self.last - _DAY, self.calendar), replace(self, first=self.last)]

    def before(self, days: int | None = None) -> Period:
        """Return as many days right before it, or those that lie `days` before."""
        back = (self.days if days is None else days) * _DAY
        return Period(self.first - back, self.last - back, self.calendar)


def period_around(day: date, span: Span, calendar: Calendar) -> Period:
    """Return the day, the week (from Monday) or the billing month that a day is in."""
    first, after = {
        "day": (day, day + _DAY),
        "week": (day - day.weekday() * _DAY, day + (7 - day.weekday()) * _DAY),
        "month": (calendar.month_of(day), calendar.month_after(day)),
    }[span]
    return Period(first, after - _DAY, calendar)
