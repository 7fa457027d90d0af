"""What rules see of a ledger at one moment, so that looking again in 20 seconds costs the same however large it is.

Of the last hour only the files are read that can hold it, once for all rules that ask the same. What was before is
asked once an hour, from rollups where they tell the values apart, and for a budget's period once a quarter of an hour.
So a span that comes more than an hour late counts up to a quarter of an hour later for budgets.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Final

import polars as pl

from spanledger_analytics.connection import Ledger
from spanledger_analytics.reports.calendar import Calendar
from spanledger_analytics.reports.question import Where
from spanledger_analytics.reports.totals import between

HOUR: Final = timedelta(hours=1)
QUARTER: Final = timedelta(minutes=15)
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
    """Hours of those values that were asked about."""

    until: datetime
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
        self._recent: dict[object, pl.DataFrame] = {}
        self._past: dict[object, _Past] = {}
        self._callers: dict[object, tuple[datetime, list[Value]]] = {}
        self._sums: dict[tuple[datetime, str | None, object], _Sum] = {}

    def turn_to(self, now: datetime) -> None:
        """Look at what is the case at `now` (UTC)."""
        self.now = now
        self.notes = []
        self._recent.clear()

    def recent(self, window: timedelta, by: str | None, where: Where) -> pl.DataFrame:
        """Return MEASURES of the calls that began in the last `window`, a row for each value of `by`."""
        key = (window, by, key_of(where))
        if key not in self._recent:
            self._recent[key] = between(self.ledger, self.now - window, self.now, [by] if by else [], where, fresh=True)
        return self._recent[key]

    def past(self, by: str | None, where: Where, values: Collection[Value]) -> dict[Value, Hours]:
        """Return the past of some values of `by` (of None: all calls together), each of whole hours of 28 days.

        The last one has been over for five minutes. Empty where the ledger has nothing before.
        """
        until = floor(self.now - _LATE, HOUR)
        kept = self._past.get((by, key_of(where)))
        if kept is None or kept.until != until:
            kept = self._past[by, key_of(where)] = _Past(until)
        first = self.ledger.reach()[0]
        if first >= until:
            return {}
        missing = [value for value in values if value not in kept.values][:_SOME]
        if missing:
            kept.values |= self._read_past(by, where, missing, until, first)
        return {value: kept.values[value] for value in values if value in kept.values}

    def callers(self, by: str | None, where: Where) -> list[Value]:
        """Return the values of `by` that had most calls in the last 7 days, asked once an hour."""
        if by is None:
            return [None]
        until = floor(self.now - _LATE, HOUR)
        kept = self._callers.get((by, key_of(where)))
        if kept is None or kept[0] != until:
            found = between(self.ledger, until - timedelta(days=_CALLERS_DAYS), until, [by], where)
            most = found.sort(pl.col("calls"), by, descending=[True, False], nulls_last=True).head(_CALLERS)
            kept = self._callers[by, key_of(where)] = until, [value for value, _ in rows(most, by)]
        return kept[1]

    def spent(self, begin: datetime, by: str | None, where: Where) -> dict[Value, Decimal]:
        """Return what was spent since `begin`, which is on a full quarter of an hour, by value of `by`."""
        cut = max(begin, floor(self.now - HOUR, QUARTER))
        key = (begin, by, key_of(where))
        kept = self._sums.get(key)
        if kept is None or kept.cut != cut:
            self._sums = {known: sums for known, sums in self._sums.items() if sums.cut > cut - HOUR}
            kept = self._sums[key] = _Sum(cut, self._usd(begin, cut, by, where, fresh=False))
        sums = dict(kept.usd)
        for value, usd in self._usd(cut, self.now, by, where, fresh=True).items():
            sums[value] = sums.get(value, Decimal(0)) + usd
        return sums

    def _usd(
        self, begin: datetime, end: datetime, by: str | None, where: Where, *, fresh: bool
    ) -> dict[Value, Decimal]:
        if begin >= end:
            return {}
        found = between(self.ledger, begin, end, [by] if by else [], where, fresh=fresh)
        return {value: row["cost_usd"] or Decimal(0) for value, row in rows(found, by)}

    def _read_past(
        self, by: str | None, where: Where, values: Sequence[Value], until: datetime, first: datetime
    ) -> dict[Value, Hours]:
        begin, count = until - HISTORY_HOURS * HOUR, HISTORY_HOURS
        known = min(count, max(0, -(-(first - begin) // HOUR)))
        made = {
            value: Hours(begin, [Decimal(0)] * count, [0] * count, [0] * count, [0] * count, known) for value in values
        }
        where = where if by is None else narrowed(where, by, values)
        found = between(self.ledger, begin, until, ["hour", *([by] if by else [])], where)
        for value, row in rows(found, by):
            hours, place = made[value], (row["hour"] - begin) // HOUR
            hours.cost[place] = row["cost_usd"] or Decimal(0)
            hours.calls[place] = row["calls"]
            hours.input_tokens[place] = row["input_tokens"] or 0
            hours.cache_read_tokens[place] = row["cache_read_tokens"] or 0
        return made


def rows(frame: pl.DataFrame, by: str | None) -> list[tuple[Value, dict[str, Any]]]:
    """Return the rows of an answer, each with its value of `by`; sums of nothing are no row."""
    return [(row[by] if by else None, row) for row in frame.iter_rows(named=True) if row["calls"]]


def narrowed(where: Where, by: str, values: Sequence[Value]) -> Where:
    """Return a condition that only calls with one of the values fulfil, too; None is calls that don't say."""
    wanted = tuple(value or "" for value in values)
    if by in where.only:
        wanted = tuple(value for value in wanted if value in where.only[by])
    return Where({**where.only, by: wanted}, where.but)


def floor(moment: datetime, step: timedelta) -> datetime:
    """Return the last full step at or before a moment."""
    return moment - (moment - _EPOCH) % step


def key_of(where: Where) -> object:
    """Return a condition as a key."""
    return tuple(sorted(where.only.items())), tuple(sorted(where.but.items()))
