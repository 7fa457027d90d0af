"""Prompt caches that broke: a line of calls that read much from the cache, and from some moment on reads little.

A line is what one piece of code does: service, feature, agent and model. Its quarters of an hour are held against the
day before them, so a break is seen at the next question after the first quarter with a handful of calls. What changed
is told by the hashes that most calls have since, and none had before.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from itertools import accumulate, groupby
from operator import add, sub
from typing import Final

import polars as pl

from spanledger_analytics.connection import Ledger
from spanledger_analytics.what_if import ask_priced

from .answer import Answer, Option, Report, usd
from .cells import CUBE, Cells, ask_cells
from .concentration import SHARE, rounded
from .question import Question
from .totals import parameters

LEAST_TOKENS: Final = 1024
"""Providers cache no shorter prefix (some models: 2,048 or 4,096)."""
COLUMNS: Final = {
    "since": "First call with what changed, UTC; else the first of the quarter of an hour.",
    "until": "End of the quarter of an hour with the last loss, UTC; NULL: it goes on.",
    "lost_usd": "What the calls since then cost more than if as much had been read and written as before, US dollars.",
    "changed": "system_prompt, tools or first_message; NULL: none of them, so look at the provider or at pauses.",
    "varies": "Whether it is another from call to call now, as with a time or an id in it; NULL: nothing changed.",
    "before_share": "Of input, read from the cache in the day before, 0 to 1.",
    "after_share": "Since then.",
    "calls": "Calls since then that are long enough to be cached.",
    "feature": "Feature of the line.",
    "model": "Its model.",
    "service": "Its service.",
    "agent": "Its agent.",
}
_QUARTER: Final = timedelta(minutes=15)
_LOOKED_BACK: Final = timedelta(days=1)
_LEAST_BEFORE: Final = 10
_LEAST_AFTER: Final = 5
"""Calls that it takes to know a rate."""
_LINE: Final = ("service", "feature", "agent", "model")
_COUNTS: Final = (
    *("calls", "input_tokens", "read_tokens"),
    *("write_5m_tokens", "write_1h_tokens", "write_12h_tokens"),
)


@dataclass(frozen=True, slots=True)
class Quarter:
    """What a line did in a quarter of an hour."""

    begin: datetime
    calls: int
    input_tokens: int
    read_tokens: int
    write_5m_tokens: int
    write_1h_tokens: int
    write_12h_tokens: int


@dataclass(frozen=True, slots=True)
class Break:
    """Where a line began to read at most half as much of its input as before."""

    begin: datetime
    end: datetime | None
    """None: it goes on."""
    before: Quarter
    """All that it is held against, from its first moment on."""


def find_break(quarters: Sequence[Quarter]) -> Break | None:
    """Return the stretch of quarters (in order) that lost most tokens, None where there is none.

    At least a fifth of the input was read in the day before it, and at most half as much of it since, in its first
    quarter and in all of it; in its last one tokens were lost. The quarter right before it may be of both, and is held
    against neither. Of equal ones it is the earliest, and the shortest.
    """
    worst, found = Fraction(0), None
    begins = [one.begin for one in quarters]
    sums = _running(quarters)
    for place, first in enumerate(quarters):
        start = bisect_left(begins, first.begin - _LOOKED_BACK)
        before = _between(quarters, sums, start, bisect_left(begins, first.begin - _QUARTER))
        if before is None or before.calls < _LEAST_BEFORE or 5 * before.read_tokens < before.input_tokens:
            continue
        if not _is_low(first, before):
            continue
        lost, count = _most_lost(quarters[place:], before)
        if lost > worst:
            worst, end = lost, place + count
            over = end < len(quarters)
            found = Break(first.begin, quarters[end - 1].begin + _QUARTER if over else None, before)
    return found


def _is_low(after: Quarter, before: Quarter) -> bool:
    return 2 * after.read_tokens * before.input_tokens <= before.read_tokens * after.input_tokens


def _most_lost(quarters: Sequence[Quarter], before: Quarter) -> tuple[Fraction, int]:
    """Return the most tokens that a stretch from the first quarter on lost, and how many quarters it has; else 0, 0."""
    most = count = calls = running = over_half = 0
    for number, one in enumerate(quarters, 1):
        lost = before.read_tokens * one.input_tokens - before.input_tokens * one.read_tokens
        over_half += 2 * before.input_tokens * one.read_tokens - before.read_tokens * one.input_tokens
        running, calls = running + lost, calls + one.calls
        if lost > 0 and over_half <= 0 and calls >= _LEAST_AFTER and running > most:
            most, count = running, number
    return Fraction(most, before.input_tokens), count


def _running(quarters: Sequence[Quarter]) -> list[tuple[int, ...]]:
    """Return the sums of _COUNTS before each quarter, and those of all."""
    counts = [tuple(getattr(one, name) for name in _COUNTS) for one in quarters]
    return list(accumulate(counts, lambda sums, more: tuple(map(add, sums, more)), initial=(0,) * len(_COUNTS)))


def _between(quarters: Sequence[Quarter], sums: Sequence[tuple[int, ...]], start: int, end: int) -> Quarter | None:
    """Return the sum of some quarters, None where there are none."""
    return Quarter(quarters[start].begin, *map(sub, sums[end], sums[start])) if start < end else None


def cache_breaks(ledger: Ledger, asked: Question, *, least: int = LEAST_TOKENS) -> Answer:
    """Return the breaks of the period, one a line at most, what lost most first."""
    first, last = asked.period.utc_days()
    told = parameters(asked, ()) | {"least": max(1, least)}
    breaks = broken_lines(ledger, asked, least)
    rows = []
    if breaks:
        told["breaks"] = [_bound(number, line, found) for number, (line, found) in enumerate(breaks)]
        changes = ask_priced(ledger, "cache_breaks", "cache_breaks_rows", first=first, last=last, **told)
        rows = [_row(breaks[change["number"]], change) for change in changes.to_dicts()]
    frame = pl.DataFrame(rows, schema=_SCHEMA).sort(
        ["lost_usd", "since", *_LINE], descending=[True, *[False] * 5], nulls_last=True
    )
    return Answer(frame.select(*COLUMNS), tuple(map(_sentence, frame.to_dicts())))


def broken_lines(ledger: Ledger, asked: Question, least: int) -> list[tuple[dict[str, str | None], Break]]:
    """Return the lines of calls whose cache broke in the period, each with its break."""
    return list(_breaks(_lines(ask_cells(ledger, asked, line_cells(least), ("day", *CUBE)))))


def line_cells(least: int = LEAST_TOKENS) -> Cells:
    """Return the question about quarters of an hour of lines; calls of fewer than `least` input tokens don't count."""

    def ask(ledger: Ledger, asked: Question) -> pl.DataFrame:
        first, last = asked.period.utc_days()
        return ledger.ask("cache_lines", first=first, last=last, least=max(1, least), **parameters(asked, asked.by))

    return Cells("cache_lines", ("cache_lines",), ask, (max(1, least),))


def _lines(cells: pl.DataFrame) -> pl.DataFrame:
    """Return a row a line and quarter of an hour, in order, of lines that ever read."""
    named = cells.select("feature", "model", "quarter_hour", *_COUNTS, service="line_service", agent="line_agent")
    lines = named.group_by(*_LINE, "quarter_hour").agg(pl.col(name).sum() for name in _COUNTS)
    return lines.filter(pl.col("read_tokens").sum().over(_LINE) > 0).sort(*_LINE, "quarter_hour", nulls_last=True)


def _breaks(lines: pl.DataFrame) -> Iterator[tuple[dict[str, str | None], Break]]:
    for key, rows in groupby(lines.to_dicts(), lambda row: tuple(row[name] for name in _LINE)):
        quarters = [Quarter(*(row[name] for name in ("quarter_hour", *_COUNTS))) for row in rows]
        found = find_break(quarters)
        if found is not None:
            yield dict(zip(_LINE, key, strict=True)), found


def _bound(number: int, line: dict[str, str | None], found: Break) -> dict[str, object]:
    """Return a break as the SQL takes it."""
    return {
        "number": number,
        **{f"line_{name}": line[name] for name in _LINE},
        "looked_from": found.begin - _LOOKED_BACK,
        "broken_from": found.begin,
        "broken_to": found.end,
        "input_before": found.before.input_tokens,
        "read_before": found.before.read_tokens,
        "write_5m_before": found.before.write_5m_tokens,
        "write_1h_before": found.before.write_1h_tokens,
        "write_12h_before": found.before.write_12h_tokens,
    }


def _row(broken: tuple[dict[str, str | None], Break], change: dict[str, object]) -> dict[str, object]:
    line, found = broken
    return {
        **line,
        "since": change["since"],
        "until": found.end,
        "lost_usd": change["lost_usd"],
        "changed": change["changed"],
        "varies": change["is_new_each_time"],
        "before_share": rounded(found.before.read_tokens, found.before.input_tokens),
        "after_share": rounded(int(str(change["read_tokens"])), int(str(change["input_tokens"]))),
        "calls": change["calls"],
    }


_TIME: Final = pl.Datetime("us", "UTC")
_SCHEMA: Final = {
    "since": _TIME,
    "until": _TIME,
    "lost_usd": pl.Decimal(38, 12),
    "changed": pl.String(),
    "varies": pl.Boolean(),
    "before_share": SHARE,
    "after_share": SHARE,
    "calls": pl.Int64(),
    **{name: pl.String() for name in _LINE},
}


def _sentence(row: dict[str, object]) -> str:
    what = {"system_prompt": "the system prompt", "tools": "the tool definitions", "first_message": "the first message"}
    changed = what.get(str(row["changed"]), "nothing in the fingerprints")
    how = ", and is another from call to call" if row["varies"] else ""
    where = ", ".join(str(row[name]) for name in ("feature", "agent", "model") if row[name])
    lost = row["lost_usd"]
    since = row["since"]
    began = f"{since:%Y-%m-%d %H:%M:%S} UTC" if isinstance(since, datetime) else "?"
    until = row["until"]
    ended = f" until {until:%Y-%m-%d %H:%M} UTC" if isinstance(until, datetime) else ""
    cost = usd(lost) if isinstance(lost, Decimal) else "an unknown sum"
    return (
        f"the cache of {where} broke at {began}: {changed} changed{how}; read {_percent(row['before_share'])} of the "
        f"input before, {_percent(row['after_share'])} since; {cost} lost{ended}"
    )


def _percent(ratio: object) -> str:
    return f"{ratio * 100:.0f} %" if isinstance(ratio, Decimal) else "?"


CACHE_BREAKS: Final = Report(
    "cache-breaks",
    "Prompt caches that broke: since when, what changed, and what was lost.",
    cache_breaks,
    COLUMNS,
    days=2,
    options=(Option("least", int, LEAST_TOKENS, "Fewest tokens of input that the provider caches."),),
    takes_by=False,
    details="""\
    spanledger report cache-breaks
    A line of calls (service, feature, agent, model) breaks when a fifth of its input or more was read from the cache
    in the day before, and at most half as much since, over 5 calls or more: in the first quarter of an hour, and in
    all of the stretch that lost most.
    Reads spans, of days that are over once (docs/reports.md).""",
)
