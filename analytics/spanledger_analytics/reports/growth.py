"""How context grows: what the first, the second, the tenth call of a conversation send, and what they cost.

A conversation is what one trace sends under one system prompt and set of tools. Later steps have fewer of them, and the
long ones at that; so `grown_tokens` compares each call with the one before it in its own conversation.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any, Final

import polars as pl

from spanledger_analytics.connection import Ledger

from .answer import Answer, Option, Report, said_of_totals, share, usd
from .cells import Cells, ask_cells
from .concentration import SHARE, rounded
from .question import Question
from .totals import labelled, parameters, totals

MOST: Final = 20
COLUMNS: Final = {
    "step": "Number of the call in its conversation, from 1; the last row is of that and all later ones.",
    "calls": "Charged calls that are so far.",
    "input_tokens": "Input tokens of one of them, on average, rounded.",
    "grown_tokens": "More than the call before it in its conversation sent, on average; NULL at step 1.",
    "history_share": "Of their input, what was said before and sent again, 0 to 1; NULL without fingerprints.",
    "call_usd": "What one of them cost on average, US dollars, rounded to a pico-dollar.",
    "cost_usd": "What all of them cost, exact; all steps add up to the total. NULL where none has a price.",
}
_PICO: Final = 12
_COUNTS: Final = (
    "calls",
    "input_tokens",
    "grown_tokens",
    "grown_calls",
    "history_tokens",
    "told_tokens",
    "priced_calls",
)


def growth(ledger: Ledger, asked: Question, *, most: int) -> Answer:
    """Return a row for each of what is asked for and each step, in order."""
    found = ask_cells(ledger, asked, growth_cells(most))
    by = (*asked.by, "step")
    cost = pl.col("cost_usd")
    summed = (
        labelled(found, asked, asked.by)
        .group_by(by)
        .agg(
            pl.when(cost.is_not_null().any()).then(cost.sum()).alias("cost_usd"),
            *(pl.col(name).sum() for name in _COUNTS),
        )
    )
    frame = _averages(summed.sort(by, nulls_last=True))
    notes = (*said_of_totals(totals(ledger, asked, ())), *_said(frame))
    return Answer(frame.select(*asked.by, *COLUMNS), notes)


def growth_cells(most: int = MOST) -> Cells:
    """Return the question about steps that the report adds up; the last is `most` and all beyond."""

    def ask(ledger: Ledger, asked: Question) -> pl.DataFrame:
        first, last = asked.period.utc_days()
        return ledger.ask("growth", first=first, last=last, most=max(2, most), **parameters(asked, asked.by))

    return Cells("growth", ("growth",), ask, (most,))


def _averages(frame: pl.DataFrame) -> pl.DataFrame:
    rows = frame.to_dicts()
    return frame.with_columns(
        pl.Series("all_tokens", [row["input_tokens"] for row in rows], pl.Int64()),
        pl.Series("input_tokens", [_mean(row["input_tokens"], row["calls"]) for row in rows], pl.Int64()),
        pl.Series("grown_tokens", [_mean(row["grown_tokens"], row["grown_calls"]) for row in rows], pl.Int64()),
        pl.Series("history_share", [rounded(row["history_tokens"], row["told_tokens"]) for row in rows], SHARE),
        pl.Series("call_usd", [_mean_usd(row) for row in rows], pl.Decimal(38, 12)),
    )


def _mean(tokens: int, calls: int) -> int | None:
    mean = rounded(tokens, calls, 0)
    return None if mean is None else int(mean)


def _mean_usd(row: dict[str, Any]) -> Decimal | None:
    if row["cost_usd"] is None:
        return None
    mean = rounded(int(row["cost_usd"].scaleb(_PICO)), row["priced_calls"], 0)
    return None if mean is None else mean.scaleb(-_PICO)


def _said(frame: pl.DataFrame) -> list[str]:
    if not frame.height:
        return []
    costs = frame["cost_usd"].drop_nulls()
    later = frame.filter(pl.col("step") > 1)
    whole, after = sum(costs, Decimal(0)), sum(later["cost_usd"].drop_nulls(), Decimal(0))
    if not later.height or not whole:
        return ["no conversation has a second call"]
    grown, calls = _sum(later, "grown_tokens", "grown_calls"), int(later["grown_calls"].sum())
    return [
        f"calls after the first of a conversation: {usd(after)} ({share(after, whole)} of the cost); each sends "
        f"{_mean(grown, calls):,} tokens more than the one before it"
    ]


def _sum(frame: pl.DataFrame, mean: str, count: str) -> int:
    return sum((row[mean] or 0) * row[count] for row in frame.to_dicts())


GROWTH: Final = Report(
    "growth",
    "How context grows from call to call of a conversation, and what that costs.",
    growth,
    COLUMNS,
    options=(Option("most", int, MOST, "Last step that has a row, at least 2; later ones are part of it."),),
    details="""\
    spanledger report growth --by feature
    spanledger report growth --where agent=researcher --most 50
    Reads spans, of days that are over once (docs/reports.md).""",
)
