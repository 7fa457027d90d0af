"""What controls saved: calls and steps answered from a cache, and calls made at a cheaper model than was asked for.

What a call avoided is what it would have cost more, by the prices of its time and, of a cheaper model, by the tokens
that this one used: another might have used more or fewer.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Final

import polars as pl

from spanledger_analytics.connection import Ledger

from .answer import Answer, Report, calls_told, usd
from .controlled import added_up, controlled_cells
from .question import Question

WAYS: Final = {
    "cache": "answers from the response cache",
    "step": "steps kept by cached_step",
    "degrade": "calls at a cheaper model, because a budget or a breaker asked for it",
    "route": "calls at a cheaper model, by a rule of the router",
}
COLUMNS: Final = {
    "way": "cache | step | degrade | route; see below.",
    "rule": "Rule of the policy; NULL where none is named.",
    "calls": "Calls, or steps, that something was saved on.",
    "avoided_usd": "What they would have cost more, US dollars; NULL where that is known of none.",
    "unknown_calls": "Those of which it isn't known; they are in no sum of money.",
}
CELLS: Final = controlled_cells("avoided")


def avoided(ledger: Ledger, asked: Question) -> Answer:
    """Return a row for each of what is asked for, way and rule, in that order."""
    frame = added_up(ledger, asked, CELLS, ("way", "rule"), ("calls", "unknown_calls"), "avoided_usd")
    return Answer(frame.select(*asked.by, *COLUMNS), _said(frame))


def _said(frame: pl.DataFrame) -> tuple[str, ...]:
    if not frame.height:
        return ("nothing was avoided in these days",)
    said = [_of("avoided", frame)]
    said += [_of(words, rows) for way, words in WAYS.items() if (rows := frame.filter(pl.col("way") == way)).height]
    return tuple(said)


def _of(words: str, rows: pl.DataFrame) -> str:
    saved = sum(rows["avoided_usd"].drop_nulls(), Decimal(0))
    unknown = int(rows["unknown_calls"].sum())
    lacking = f", of {unknown:,} of which it isn't known" if unknown else ""
    return f"{words}: {usd(saved)} by {calls_told(int(rows['calls'].sum()))}{lacking}"


AVOIDED: Final = Report(
    "avoided",
    "What controls saved: answers from caches, calls at a cheaper model by a budget, a breaker or the router.",
    avoided,
    COLUMNS,
    by=("day", "feature"),
    details="\n".join(
        [
            "    spanledger report avoided",
            "    spanledger report avoided --by month --where team=support",
            "",
            *(f"{way}: {words}" for way, words in WAYS.items()),
            "",
            "Reads spans that rules had to do with, of days that are over once (docs/reports.md).",
        ]
    ),
)
