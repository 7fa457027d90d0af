"""Pieces of work, each with its cost and how it ended: sessions, or the traces of calls that name none.

A piece of work is whole: it counts for the day on which it began, however late its outcome was said, and for one value
of each dimension, the one that most of its money went to. So nothing is counted twice, and all rows add up.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final, Literal

import polars as pl

from spanledger_analytics.connection import Ledger
from spanledger_collector.tables import OUTCOMES

from .calendar import UNITS, Unit
from .question import Question
from .totals import labelled, parameters

Kind = Literal["session", "trace"]
STATES: Final = ("success", "failure", "silent", "undecided")
"""How work ended: silent is what nobody has judged in time, undecided what somebody still may."""
_DAY: Final = timedelta(days=1)


def work(
    ledger: Ledger,
    asked: Question,
    kind: Kind,
    *,
    outcome: str | None,
    at_least: Decimal,
    judged_until: datetime,
) -> pl.DataFrame:
    """Return a row a piece of work: `asked.by`, state, cost_usd, requests, calls, unpriced_calls, estimated_calls.

    Only the calls that are asked about are part of it. `outcome` names the outcomes that count (None: all), `at_least`
    is the lowest score of a success, and what ended after `judged_until` without an outcome is undecided.
    """
    by = [name for name in asked.by if name not in UNITS]
    first, last = asked.period.utc_days()
    cells = ledger.ask(
        "work",
        first=first,
        last=last,
        outcomes=ledger.files_of(OUTCOMES, first - _DAY),
        by_session=kind == "session",
        outcome=outcome,
        at_least=f"{at_least:f}",
        **parameters(asked, by),
    )
    pieces = _pieces(labelled(cells, asked, by), by)
    units: list[Unit] = [unit for unit in UNITS if unit in asked.by]
    return pieces.with_columns(
        *(asked.period.calendar.labels("began", unit) for unit in units),
        pl.when(pl.col("succeeded"))
        .then(pl.lit("success"))
        .when(pl.col("succeeded").not_())
        .then(pl.lit("failure"))
        .when(pl.col("ended").dt.convert_time_zone("UTC") <= judged_until)
        .then(pl.lit("silent"))
        .otherwise(pl.lit("undecided"))
        .alias("state"),
    )


def _pieces(cells: pl.DataFrame, by: Sequence[str]) -> pl.DataFrame:
    """Return a row for each piece of work, of the value of each of `by` that most of its money went to."""
    cost = pl.col("cost_usd")
    pieces = cells.group_by("work", maintain_order=True).agg(
        pl.col("began").min(),
        pl.col("ended").max(),
        pl.when(cost.is_not_null().any()).then(cost.sum()).alias("cost_usd"),
        *(pl.col(name).sum() for name in ("calls", "unpriced_calls", "estimated_calls")),
        *(pl.col(name).first() for name in ("requests", "succeeded")),
    )
    for name in by:
        values = cells.group_by("work", name).agg(cost.fill_null(0).sum(), pl.col("calls").sum())
        # What says nothing counts only where all calls do.
        ordered = values.sort(pl.col(name).is_null(), "cost_usd", "calls", name, descending=[False, True, True, False])
        pieces = pieces.join(ordered.group_by("work", maintain_order=True).agg(pl.col(name).first()), on="work")
    return pieces
