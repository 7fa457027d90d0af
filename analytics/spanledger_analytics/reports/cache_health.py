"""How well providers' prompt caches work, prefix by prefix, and what caching would save where it isn't used.

What could have been read is told by the chains of prompts: a prefix that a call to the same model and account sent at
most so long before. What it would save is replayed call by call at the book's prices, writes with their premium, for
four plain ways of caching; the best of them counts, and the way it is now is one of those that can be best. So a saving
is never below nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Final

import polars as pl

from spanledger_analytics.connection import Ledger
from spanledger_analytics.what_if import ask_priced

from .answer import Answer, Option, Report, said_of_totals, share, usd
from .cache_breaks import LEAST_TOKENS, broken_lines
from .cells import Cells, ask_cells
from .concentration import SHARE, rounded
from .question import Question
from .totals import labelled, parameters, totals

WAYS: Final = {
    "whole_5m": "the whole prompt for 5 minutes",
    "front_5m": "tools and system prompt for 5 minutes",
    "whole_1h": "the whole prompt for 1 hour",
    "front_1h": "tools and system prompt for 1 hour",
}
"""Way of caching to what is written to the cache; of equal ones the first is best."""
AS_IS: Final = "as it is"
_FEW: Final = 5
_QUERIES: Final = ("cache_health", "cache_health_rows", "cache_health_ways")
COLUMNS: Final = {
    "prefix": "Hash of tools and system prompt; `rare`: those of fewer than 5 calls a UTC day; NULL: no fingerprints.",
    "calls": "Charged calls with input.",
    "input_usd": "What their input cost, cached or not, US dollars; NULL where none has a price.",
    "hit_share": "Read from the cache, of cacheable_tokens, 0 to 1; NULL where nothing was cacheable.",
    "read_share": "Read from the cache, of all input, 0 to 1.",
    "saved_usd": "What the cache saved against uncached prices, its writes paid; below 0 where they cost more.",
    "could_save_usd": "What the best way of caching would save beyond; 0 where it is best as it is.",
    "best": "That way: " + ", ".join(f"`{way}` ({what})" for way, what in WAYS.items()) + f", or `{AS_IS}`.",
    "input_tokens": "All input, cached or not.",
    "cacheable_tokens": "Input that a call to the same model sent at most 5 minutes before, or that was read.",
    "cache_read_tokens": "Input read from the cache.",
}
_MONEY: Final = ("input_usd", "was", "uncached", *WAYS)
_COUNTS: Final = ("calls", "input_tokens", "cacheable_tokens", "cache_read_tokens", "hit_tokens", "replayed_calls")


def cache_health(ledger: Ledger, asked: Question, *, least: int = LEAST_TOKENS) -> Answer:
    """Return a row for each of what is asked for and each prefix, by group, what could be saved most first."""
    found = ask_cells(ledger, asked, prefix_cells(least))
    rows = [_judged(row) for row in _added(labelled(found, asked, asked.by), (*asked.by, "prefix")).to_dicts()]
    frame = pl.DataFrame(rows, schema=_schema(found, asked)).sort(
        [*asked.by, "could_save_usd", "input_usd", "prefix"],
        descending=[*(False for _ in asked.by), True, True, False],
        nulls_last=True,
    )
    notes = (*said_of_totals(totals(ledger, asked, ())), *_said(frame, least), *_broken(ledger, asked, least))
    return Answer(frame.select(*asked.by, *COLUMNS), notes)


def prefix_cells(least: int = LEAST_TOKENS) -> Cells:
    """Return the question about prefixes that the report adds up."""
    limits = {"few": _FEW, "least": max(1, least)}

    def ask(ledger: Ledger, asked: Question) -> pl.DataFrame:
        first, last = asked.period.utc_days()
        told = parameters(asked, asked.by)
        return ask_priced(ledger, *_QUERIES, first=first, last=last, **limits, **told)

    return Cells("cache_health", _QUERIES, ask, tuple(limits.values()), prices=True)


def _added(found: pl.DataFrame, by: Sequence[str]) -> pl.DataFrame:
    """Add up rows of the SQL, as days become weeks; a way that lacks a price in one of them stays without."""
    sums = [pl.when(pl.col(name).is_not_null().any()).then(pl.col(name).sum()).alias(name) for name in _MONEY[:3]]
    lacking = pl.col("replayed_calls") > 0
    sums += [pl.when((pl.col(way).is_not_null() | ~lacking).all()).then(pl.col(way).sum()).alias(way) for way in WAYS]
    return found.group_by(by).agg(*sums, *(pl.col(name).sum() for name in _COUNTS))


def _judged(row: dict[str, object]) -> dict[str, object]:
    counts = {name: int(str(row[name] or 0)) for name in _COUNTS}
    was, uncached = row["was"], row["uncached"]
    costs = {way: cost for way in WAYS if isinstance(cost := row[way], Decimal)}
    best, could = AS_IS, Decimal(0)
    if isinstance(was, Decimal) and costs:
        way = min(costs, key=lambda one: (costs[one], list(WAYS).index(one)))
        if costs[way] < was:
            best, could = way, was - costs[way]
    known = isinstance(was, Decimal) and isinstance(uncached, Decimal)
    return row | {
        "hit_share": rounded(counts["hit_tokens"], counts["cacheable_tokens"]),
        "read_share": rounded(counts["cache_read_tokens"], counts["input_tokens"]),
        "saved_usd": uncached - was if isinstance(was, Decimal) and isinstance(uncached, Decimal) else None,
        "could_save_usd": could if known else None,
        "best": best if known else None,
    }


def _schema(found: pl.DataFrame, asked: Question) -> dict[str, pl.DataType | type[pl.DataType]]:
    money = pl.Decimal(38, 12)
    by = {name: labelled(found, asked, asked.by).schema[name] for name in asked.by}
    known: dict[str, pl.DataType | type[pl.DataType]] = {
        "prefix": pl.String(),
        "calls": pl.Int64(),
        "input_usd": money,
        "hit_share": SHARE,
        "read_share": SHARE,
        "saved_usd": money,
        "could_save_usd": money,
        "best": pl.String(),
        "input_tokens": pl.Int64(),
        "cacheable_tokens": pl.Int64(),
        "cache_read_tokens": pl.Int64(),
        "hit_tokens": pl.Int64(),
    }
    return {**by, **known}


def _said(frame: pl.DataFrame, least: int) -> list[str]:
    if not frame.height:
        return []
    hit, cacheable = int(frame["hit_tokens"].sum()), int(frame["cacheable_tokens"].sum())
    said = [f"read from the cache: {share(hit, cacheable)} of what could have been, by the calls with fingerprints"]
    saved, could = _sum(frame, "saved_usd"), _sum(frame, "could_save_usd")
    said.append(
        f"the cache {'saved' if saved >= 0 else 'cost'} {usd(abs(saved))}, its writes paid, against uncached prices"
    )
    if could:
        top = frame.sort("could_save_usd", "prefix", descending=[True, False], nulls_last=True).row(0, named=True)
        said.append(
            f"caching in the best way would save {usd(could)} more; the most at prefix {top['prefix']}: "
            f"{usd(top['could_save_usd'])} by {WAYS[top['best']]}"
        )
    said.append(
        f"assumed: prefixes of {least:,} tokens or more are cached at the book's prices, for calls of one model and "
        "account, from when a call begins; whatever isn't read is written"
    )
    return said


def _broken(ledger: Ledger, asked: Question, least: int) -> list[str]:
    count = len(broken_lines(ledger, asked, least))
    said = "the cache of a line of calls" if count == 1 else f"the caches of {count:,} lines of calls"
    return [f"{said} broke: spanledger report cache-breaks tells since when, and what was lost"] if count else []


def _sum(frame: pl.DataFrame, column: str) -> Decimal:
    return sum(frame[column].drop_nulls(), Decimal(0))


CACHE_HEALTH: Final = Report(
    "cache-health",
    "How well the prompt cache works, prefix by prefix; what broke it; what caching would save.",
    cache_health,
    COLUMNS,
    options=(Option("least", int, LEAST_TOKENS, "Fewest tokens of a prefix that the provider caches."),),
    details="""\
    spanledger report cache-health --by feature
    spanledger report cache-health --by model --where team=search
    Reads spans, of days that are over once (docs/reports.md), and prices each of their calls six times.""",
)
