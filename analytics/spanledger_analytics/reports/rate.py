"""How fast money is being spent now, by anything, beside the hour before and the same time a week ago.

Calls count when they end, as on the pages: that is when their cost is known. Only files are opened that may hold a span
that began in one of the three stretches of time or an hour before it, by the times in the lake's log; so the answer
takes as long on a lake of years as on one of a day.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Final

import polars as pl

from spanledger_analytics.connection import Ledger
from spanledger_analytics.errors import QuestionError
from spanledger_analytics.live import LONGEST_CALL

from .against import NOW, moment, told_apart
from .answer import Answer, Option, Report, counted, more, said_of_totals, share, usd
from .calendar import Calendar
from .changes import MONEY
from .question import Question
from .totals import labelled, parameters

COLUMNS: Final = {
    "usd_per_hour": "US dollars an hour over the last minutes; NULL where no call of the row has a price.",
    "hour_before_usd": "US dollars of the hour before those minutes.",
    "week_before_usd": "US dollars an hour at the same time a week ago; NULL where the lake is younger.",
    "requests_per_minute": "Distinct traces a minute, to 3 places.",
    "calls_per_minute": "Charged calls a minute, to 3 places.",
    "tokens_per_minute": "Input and output tokens a minute, to 3 places.",
    "calls": "Charged calls that ended in the last minutes.",
    "unpriced_calls": "Calls of them without a price that need one; they are in no sum of money.",
    "estimated_calls": "Calls of them whose tokens nobody reported; they are in usd_per_hour.",
}
_COUNTS: Final = ("calls", "unpriced_calls", "estimated_calls")
_PACE: Final = pl.Decimal(38, 3)
_PICO: Final = Decimal("0.000000000001")
_MILLI: Final = Decimal("0.001")
_HOUR: Final = timedelta(hours=1)
_MINUTE: Final = timedelta(minutes=1)
_INSTANT: Final = timedelta(microseconds=1)
_MOST_MINUTES: Final = 24 * 60
_SILENCE: Final = timedelta(minutes=15)
"""Without a span for so long, somebody should look."""


@dataclass(frozen=True, slots=True)
class _Stretch:
    """Calls that ended after one moment and up to another (UTC), and their rows of `rate.sql` by name."""

    since: datetime
    until: datetime
    rows: Mapping[tuple[Any, ...], Mapping[str, Any]]

    def usd_per_hour(self, name: tuple[Any, ...]) -> Decimal | None:
        """Return what calls of a name cost an hour; nothing where there are none."""
        row = self.rows.get(name)
        cost = Decimal(0) if row is None else row["cost_usd"]
        return None if cost is None else _each(cost, self.until - self.since, _HOUR, _PICO)

    def total(self) -> Decimal:
        """Return what all calls with a price cost an hour."""
        known = [row["cost_usd"] for row in self.rows.values() if row["cost_usd"] is not None]
        return _each(sum(known, Decimal(0)), self.until - self.since, _HOUR, _PICO)


def rate(ledger: Ledger, asked: Question, *, minutes: int = 15, now: str | None = None) -> Answer:
    """Return the speed of spending by `asked.by`, dearest first; where the days asked about are over, at their end."""
    by = list(told_apart(asked.by))
    if not 1 <= minutes <= _MOST_MINUTES:
        raise QuestionError(f"--minutes is from 1 to {_MOST_MINUTES:,}, not {minutes}; for more, ask for spend by hour")
    until = moment(now, asked.period.calendar)
    until = until if now is not None else min(until, asked.period.end)
    length = minutes * _MINUTE
    week_ago = _a_week_before(until, asked.period.calendar)
    recent = _ended(ledger, asked, by, until - length - _HOUR, until - length, until)
    frame, hour_ago = recent.filter("late"), recent.filter(~pl.col("late"))
    here = _stretch(frame, by, until - length, until)
    before = _stretch(hour_ago, by, until - length - _HOUR, until - length)
    week = _stretch(
        _ended(ledger, asked, by, week_ago - length, week_ago - length, week_ago), by, week_ago - length, week_ago
    )
    first = ledger.reach()[0] if ledger.version() >= 0 else until
    rows = [_row(name, by, here, before, week, first) for name in dict.fromkeys([*here.rows, *before.rows, *week.rows])]
    rows.sort(
        key=lambda row: (row["usd_per_hour"] is None, -(row["usd_per_hour"] or 0), *(_order(row[one]) for one in by))
    )
    requests = max(frame["late_requests"].to_list(), default=0)
    told = [_speed(here, minutes, requests), *_beside(here, before, week, first), _fresh(ledger, until)]
    shown = pl.DataFrame(rows, schema={**dict.fromkeys(by, pl.String()), **_types()})
    return Answer(shown, (*told, *said_of_totals(frame)[1:]))


def _ended(
    ledger: Ledger, asked: Question, by: Sequence[str], since: datetime, edge: datetime, until: datetime
) -> pl.DataFrame:
    """Return the calls that ended in a stretch of time, a row for each of `by` up to an edge, and after it (`late`)."""
    begin = since - LONGEST_CALL
    told = parameters(asked, by) | {"begin": begin, "end": until + _INSTANT}
    found = ledger.ask_between("rate", begin, until, since=since, edge=edge, until=until, **told)
    return labelled(found, asked, by)


def _stretch(frame: pl.DataFrame, by: Sequence[str], since: datetime, until: datetime) -> _Stretch:
    return _Stretch(since, until, {tuple(row[name] for name in by): row for row in frame.to_dicts()})


def _row(
    name: tuple[Any, ...], by: Sequence[str], here: _Stretch, before: _Stretch, week: _Stretch, first: datetime
) -> dict[str, Any]:
    counts = here.rows.get(name, {})
    length = here.until - here.since
    paces = {
        f"{what}_per_minute": _each(Decimal(counts.get(what, 0)), length, _MINUTE, _MILLI)
        for what in ("requests", "calls", "tokens")
    }
    return {
        **dict(zip(by, name, strict=True)),
        "usd_per_hour": here.usd_per_hour(name),
        "hour_before_usd": before.usd_per_hour(name) if before.until > first else None,
        "week_before_usd": week.usd_per_hour(name) if week.until > first else None,
        **paces,
        **{what: counts.get(what, 0) for what in _COUNTS},
    }


def _each(amount: Decimal, length: timedelta, unit: timedelta, places: Decimal) -> Decimal:
    return (amount * (unit // _INSTANT) / (length // _INSTANT)).quantize(places)


def _types() -> dict[str, pl.DataType]:
    return {name: _type(name) for name in COLUMNS}


def _type(column: str) -> pl.DataType:
    if column in _COUNTS:
        return pl.Int64()
    return _PACE if column.endswith("_per_minute") else MONEY


def _order(value: str | None) -> tuple[bool, str]:
    return value is None, value or ""


def _a_week_before(moment: datetime, calendar: Calendar) -> datetime:
    """Return the same time of day a week ago, whatever clocks did since."""
    return (calendar.local(moment) - timedelta(days=7)).astimezone(UTC)


def _speed(here: _Stretch, minutes: int, requests: int) -> str:
    calls = sum(row["calls"] for row in here.rows.values())
    ended = f"{counted(calls, 'call')} of {counted(requests, 'request')} ended"
    return (
        f"{usd(here.total())} an hour over {counted(minutes, 'minute')} to {here.until:%Y-%m-%d %H:%M:%S} UTC: {ended}"
    )


def _beside(here: _Stretch, before: _Stretch, week: _Stretch, first: datetime) -> list[str]:
    said = []
    for stretch, words in ((before, "the hour before"), (week, "the same time a week ago")):
        if stretch.until > first:
            change, usual = here.total() - stretch.total(), stretch.total()
            part = f" ({share(abs(change), usual)})" if usual and change else ""
            said.append(f"{words} {usd(usual)} an hour: " + (f"now {more(change)}{part}" if change else "the same"))
    return said


def _fresh(ledger: Ledger, until: datetime) -> str:
    """Return how long ago the collector took the last span."""
    if ledger.version() < 0:
        return "no span has come yet"
    begin = min(ledger.reach()[1], until) - LONGEST_CALL
    last = ledger.ask_between("last_span", begin, until, begin=begin, until=until).item()
    if last is None:
        return "no span had come until then"
    said = f"the last span came {_ago(until - last)} before"
    silent = until - last >= _SILENCE
    return f"{said}, at {last:%Y-%m-%d %H:%M} UTC; spanledger doctor tells what is amiss" if silent else said


def _ago(length: timedelta) -> str:
    if length < 2 * _MINUTE:
        return counted(length // timedelta(seconds=1), "second")
    return counted(length // _MINUTE, "minute") if length < 2 * _HOUR else counted(length // _HOUR, "hour")


RATE: Final = Report(
    "rate",
    "How fast money is being spent now, beside the hour before and the same time a week ago, by anything.",
    rate,
    COLUMNS,
    by=("model",),
    days=1,
    options=(Option("minutes", int, 15, "How many minutes are looked at."), NOW),
    details="""\
    spanledger report rate
    spanledger report rate --by team,feature --minutes 60
    spanledger report rate --where user=ann --now 2026-11-05T14:00

    Calls count when they end. A call that takes more than an hour isn't found. Spans are read, but only files that
    may hold a span of these times. With --to on a day that is over, it is the end of that day.""",
)
