"""What each hour cost, of the total and by one dimension at a time: what series of 70 days are made of.

It is made of the hours that are kept anyway, and says less: so a tenth as much has to be read.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Final

import polars as pl

from spanledger_analytics.connection import Ledger
from spanledger_analytics.kept import DAY, DayQuestion, answered

from .cells import CUBE
from .question import Question
from .totals import HOURS, SPENT, kept_hours, sums


def _apart_of(ledger: Ledger, first: date, last: date) -> pl.DataFrame:
    hours = answered(ledger, HOURS, first, last).select(DAY, "hour", *CUBE, *SPENT).collect()
    frames = [sums(hours, (DAY, "hour")).with_columns(of=pl.lit(None, pl.String()), value=pl.lit(None, pl.String()))]
    frames += [sums(hours, (DAY, "hour", of)).rename({of: "value"}).with_columns(of=pl.lit(of)) for of in CUBE]
    return pl.concat([frame.select(DAY, "of", "value", "hour", *SPENT) for frame in frames]).sort("of", "value", "hour")


HOURS_APART: Final = DayQuestion("hours_apart", HOURS.queries, _apart_of)
"""SPENT by hour (UTC) and `value` of the dimension `of`, one of CUBE, or of all calls where `of` is NULL."""


def spent_apart(ledger: Ledger, asked: Question, by: Sequence[str]) -> dict[str | None, pl.DataFrame]:
    """Return SPENT by hour, of all calls (None) and for each of those of `by` that are kept, told apart by it.

    There is nothing in it where the question has conditions, or looks at days that are counted and not kept.
    """
    if asked.where.dimensions():
        return {}
    kept = kept_hours(ledger, asked, HOURS_APART)
    if kept is None:
        return {}
    told = [of for of in by if of in CUBE]
    found = kept.filter(pl.col("of").is_null() | pl.col("of").is_in(told)).drop(DAY).collect()
    parts = found.partition_by("of", as_dict=True, include_key=False)
    nothing = found.clear().drop("of")
    return {None: parts.get((None,), nothing).drop("value")} | {
        of: parts.get((of,), nothing).rename({"value": of}) for of in told
    }
