"""What rules see of a ledger at one moment, so that looking again in 20 seconds costs the same however large it is.

Of the last hour only the files are read that can hold it, once for all rules with the same window and conditions. What
was before is asked once an hour, and of a budget's period once a quarter of an hour: days that are over are kept
(`kept`), so that of them only what is new is asked. So a span that comes more than an hour late counts up to a
quarter of an hour later for budgets.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any, Final

import polars as pl
from polars.exceptions import PolarsError

from spanledger_analytics.connection import Ledger
from spanledger_analytics.kept import DAY, DayQuestion, answered
from spanledger_analytics.reports.calendar import Calendar
from spanledger_analytics.reports.question import Where
from spanledger_analytics.reports.totals import add_up, between

HOUR: Final = timedelta(hours=1)
QUARTER: Final = timedelta(minutes=15)
_DAY: Final = timedelta(days=1)
HISTORY_HOURS: Final = 28 * 24 + 1
"""How far back rules look for what is usual: four weeks before the hour that is not quite over."""
_LATE: Final = timedelta(minutes=5)
"""So long after it is over an hour is the past: calls come in when they end."""
_CALLERS_DAYS: Final = 7
_CALLERS: Final = 50
"""Values that are looked after even while they don't call."""
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_SOME: Final = 200
"""Most values of a dimension whose past is looked at for the first time at once."""

_KEPT: Final = ("calls", "cost_usd", "input_tokens", "cache_read_tokens")
"""What is kept of an hour that is over."""
_SCHEMA: Final = {
    "hour": pl.Datetime("us", "UTC"),
    "calls": pl.Int64(),
    "cost_usd": pl.Decimal(38, 12),
    "input_tokens": pl.Int64(),
    "cache_read_tokens": pl.Int64(),
}
_SPENT: Final = "spent"
"""Stands for a window that isn't one of a rule."""

Value = str | None
"""Of a dimension; None for calls that don't say it, and for all of them together."""


@dataclass(slots=True)
class Hours:
    """The past of one value, an entry for each hour of UTC from `begin` on, up to the hour that is under way."""

    begin: datetime
    cost: list[Decimal]
    calls: list[int]
    input_tokens: list[int]
    cache_read_tokens: list[int]
    known: int
    """From this entry on the ledger has something of anybody: what is 0 before says nothing."""


@dataclass(slots=True)
class _Past:
    """Whole hours up to a moment, and those of the values that were asked about."""

    until: datetime
    hours: pl.LazyFrame
    """_KEPT of every value."""
    values: dict[Value, Hours] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Sum:
    cut: datetime
    usd: dict[Value, Decimal]


class Lookout:
    """Looks at one ledger, again and again; `turn_to` a moment first."""

    def __init__(self, ledger: Ledger, calendar: Calendar) -> None:
        self.ledger = ledger
        self.calendar = calendar
        self.now = datetime.min.replace(tzinfo=UTC)
        self.kept: dict[object, object] = {}
        """What kinds of rules keep between looks, by keys of their own."""
        self.notes: list[str] = []
        """Why rules see nothing, in sentences; of this look."""
        self._fresh: dict[object, pl.DataFrame] = {}
        self._told_apart: dict[object, list[str]] = {}
        """Dimensions by which somebody looks at fresh calls, by window and condition."""
        self._past: dict[object, _Past] = {}
        self._callers: dict[object, tuple[datetime, list[Value]]] = {}
        self._sums: dict[tuple[datetime, str | None, object], _Sum] = {}

    def turn_to(self, now: datetime) -> None:
        """Look at what is the case at `now` (UTC)."""
        self.now = now
        self.notes = []
        self._fresh.clear()

    def recent(self, window: timedelta, by: str | None, where: Where) -> pl.DataFrame:
        """Return MEASURES of the calls that began in the last `window`, a row for each value of `by`."""
        return self._since(self.now - window, window, by, where)

    def _since(self, begin: datetime, window: object, by: str | None, where: Where) -> pl.DataFrame:
        """Return MEASURES since a moment, of all dimensions that are looked at in the same window asked at once."""
        key = window, begin, key_of(where)
        wanted = self._told_apart.setdefault((window, key_of(where)), [])
        if by is not None and by not in wanted:
            wanted.append(by)
        if key not in self._fresh or (by is not None and by not in self._fresh[key].columns):
            self._fresh[key] = between(self.ledger, begin, self.now, wanted, where, fresh=True)
        return add_up(self._fresh[key], [by] if by else [])

    def past(self, by: str | None, where: Where, values: Collection[Value]) -> dict[Value, Hours]:
        """Return the past of some values of `by` (of None: all calls together), each of whole hours of 28 days.

        The last one has been over for five minutes. Empty where the ledger has nothing before.
        """
        if not values:
            return {}
        kept, first = self._past_of(by, where), self.ledger.reach()[0]
        if first >= kept.until:
            return {}
        missing = [value for value in values if value not in kept.values][:_SOME]
        if missing:
            with self._looking_again(by, where):
                kept.values |= _hours_of(kept, by, missing, first)
        return {value: kept.values[value] for value in values if value in kept.values}

    def callers(self, by: str | None, where: Where) -> list[Value]:
        """Return the values of `by` that had most calls in the last 7 days, asked once an hour."""
        if by is None:
            return [None]
        past = self._past_of(by, where)
        kept = self._callers.get((by, key_of(where)))
        if kept is None or kept[0] != past.until:
            week = past.hours.filter(pl.col("hour") >= past.until - _CALLERS_DAYS * _DAY)
            most = (
                week.group_by(by)
                .agg(pl.col("calls").sum())
                .sort("calls", by, descending=[True, False], nulls_last=True)
            )
            with self._looking_again(by, where):
                found = rows(most.head(_CALLERS).collect(), by)
            kept = self._callers[by, key_of(where)] = past.until, [value for value, _ in found]
        return kept[1]

    def _past_of(self, by: str | None, where: Where) -> _Past:
        until = floor(self.now - _LATE, HOUR)
        kept = self._past.get((by, key_of(where)))
        if kept is None or kept.until != until:
            hours = self._hours(by, where, until - HISTORY_HOURS * HOUR, until)
            kept = self._past[by, key_of(where)] = _Past(until, hours)
        return kept

    @contextmanager
    def _looking_again(self, by: str | None, where: Where) -> Iterator[None]:
        """Ask the past again at the next look if what was kept of it is gone."""
        try:
            yield
        except (OSError, PolarsError):
            del self._past[by, key_of(where)]
            raise

    def spent(self, begin: datetime, by: str | None, where: Where) -> dict[Value, Decimal]:
        """Return what was spent since `begin`, which is on a full quarter of an hour, by value of `by`."""
        cut = max(begin, floor(self.now - HOUR, QUARTER))
        key = (begin, by, key_of(where))
        kept = self._sums.get(key)
        if kept is None or kept.cut != cut:
            self._sums = {known: sums for known, sums in self._sums.items() if sums.cut > cut - HOUR}
            kept = self._sums[key] = _Sum(cut, self._usd(begin, cut, by, where))
        sums = dict(kept.usd)
        if cut < self.now:
            _add(sums, self._since(cut, _SPENT, by, where), by)
        return sums

    def _usd(self, begin: datetime, end: datetime, by: str | None, where: Where) -> dict[Value, Decimal]:
        """Return what was spent between two full quarters of an hour: whole days as they are kept, and the rest."""
        sums: dict[Value, Decimal] = {}
        keys = [by] if by else []
        first = begin if begin == floor(begin, HOUR) else floor(begin, _DAY) + _DAY
        last = floor(end, _DAY)
        if first < last:
            _add(sums, add_up(self._hours(by, where, first, last).collect(), keys), by)
        else:
            first = last = begin
        for since, until in ((begin, first), (last, end)):
            if since < until:
                _add(sums, between(self.ledger, since, until, keys, where), by)
        return sums

    def _hours(self, by: str | None, where: Where, begin: datetime, until: datetime) -> pl.LazyFrame:
        """Return _KEPT of each hour (UTC) between two full hours and each value of `by`; whole days are kept."""
        keys = ["hour", *([by] if by else [])]
        today = floor(until, _DAY)
        found = [pl.LazyFrame(schema={**dict.fromkeys(keys, pl.String()), **_SCHEMA})]
        if begin < today:
            found.append(self._hours_of_days(keys, where, begin.date(), (today - _DAY).date()))
        if today < until:
            found.append(_ask_hours(self.ledger, keys, where, max(begin, today), until).lazy())
        return pl.concat([hours.select(*keys, *_KEPT) for hours in found]).filter(pl.col("hour") >= begin)

    def _hours_of_days(self, keys: list[str], where: Where, first: date, last: date) -> pl.LazyFrame:
        def ask(ledger: Ledger, first: date, last: date) -> pl.DataFrame:
            hours = _ask_hours(ledger, keys, where, midnight(first), midnight(last) + _DAY)
            return hours.with_columns(pl.col("hour").dt.date().alias(DAY))

        asked = DayQuestion("alert-hours", ("totals", "counted/totals"), ask, (*keys, key_of(where)))
        return answered(self.ledger, asked, first, last)


def _hours_of(past: _Past, by: str | None, values: Sequence[Value], first: datetime) -> dict[Value, Hours]:
    """Return the hours of some values; `first` is when the ledger's first span began."""
    begin, count = past.until - HISTORY_HOURS * HOUR, HISTORY_HOURS
    known = min(count, max(0, -(-(first - begin) // HOUR)))
    made = {value: Hours(begin, [Decimal(0)] * count, [0] * count, [0] * count, [0] * count, known) for value in values}
    hours = past.hours
    if by is not None:
        said = pl.col(by).is_in([value for value in values if value is not None])
        hours = hours.filter(said | pl.col(by).is_null() if None in values else said)
    for value, row in rows(hours.collect(), by):
        one, place = made[value], (row["hour"] - begin) // HOUR
        one.cost[place] = row["cost_usd"] or Decimal(0)
        one.calls[place] = row["calls"]
        one.input_tokens[place] = row["input_tokens"] or 0
        one.cache_read_tokens[place] = row["cache_read_tokens"] or 0
    return made


def _ask_hours(ledger: Ledger, keys: list[str], where: Where, begin: datetime, end: datetime) -> pl.DataFrame:
    return between(ledger, begin, end, keys, where).sort(*keys[1:], "hour").select(*keys, *_KEPT)


def rows(frame: pl.DataFrame, by: str | None) -> list[tuple[Value, dict[str, Any]]]:
    """Return the rows of an answer, each with its value of `by`; sums of nothing are no row."""
    return [(row[by] if by else None, row) for row in frame.iter_rows(named=True) if row["calls"]]


def _add(sums: dict[Value, Decimal], found: pl.DataFrame, by: str | None) -> None:
    """Add what was spent to sums by value."""
    for value, row in rows(found, by):
        sums[value] = sums.get(value, Decimal(0)) + (row["cost_usd"] or Decimal(0))


def midnight(day: date) -> datetime:
    """Return when a day of UTC begins."""
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


def floor(moment: datetime, step: timedelta) -> datetime:
    """Return the last full step at or before a moment."""
    return moment - (moment - _EPOCH) % step


def key_of(where: Where) -> object:
    """Return a condition as a key."""
    return tuple(sorted(where.only.items())), tuple(sorted(where.but.items()))
