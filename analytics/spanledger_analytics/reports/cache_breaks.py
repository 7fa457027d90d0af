"""Prompt caches that broke: a line of calls that read much from the cache, and from some moment on reads little.

A line is what one piece of code does: service, feature, agent and model. Its quarters of an hour are held against the
day before them, so a break is seen at the next question after the first quarter with a handful of calls. What changed
is told by the hashes that most calls have since, and none had before.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal
from typing import Final

import polars as pl

from spanledger_analytics.connection import Ledger
from spanledger_analytics.what_if import ask_priced

from .answer import Answer, Option, Report, usd
from .breaks import COUNTS, LOOKED_BACK, Break, find_break
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
_QUERIES: Final = ("cache_breaks", "cache_breaks_rows", "cache_breaks_ways")
_LINE: Final = ("service", "feature", "agent", "model")


def cache_breaks(ledger: Ledger, asked: Question, *, least: int = LEAST_TOKENS) -> Answer:
    """Return the breaks of the period, one a line at most, what lost most first."""
    first, last = asked.period.utc_days()
    told = parameters(asked, ()) | {"least": max(1, least)}
    breaks = broken_lines(ledger, asked, least)
    rows = []
    if breaks:
        told["breaks"] = [_bound(number, line, found) for number, (line, found) in enumerate(breaks)]
        changes = ask_priced(ledger, *_QUERIES, first=first, last=last, **told)
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
    named = cells.select("feature", "model", "quarter_hour", *COUNTS, service="line_service", agent="line_agent")
    lines = named.group_by(*_LINE, "quarter_hour").agg(pl.col(name).sum() for name in COUNTS)
    return lines.filter(pl.col("read_tokens").sum().over(_LINE) > 0).sort(*_LINE, "quarter_hour", nulls_last=True)


def _breaks(lines: pl.DataFrame) -> Iterator[tuple[dict[str, str | None], Break]]:
    for key, quarters in lines.partition_by(_LINE, as_dict=True, maintain_order=True).items():
        found = find_break(quarters)
        if found is not None:
            yield dict(zip(_LINE, key, strict=True)), found


def _bound(number: int, line: dict[str, str | None], found: Break) -> dict[str, object]:
    """Return a break as the SQL takes it."""
    return {
        "number": number,
        **{f"line_{name}": line[name] for name in _LINE},
        "looked_from": found.begin - LOOKED_BACK,
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
