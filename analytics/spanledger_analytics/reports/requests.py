"""How many requests calls belong to: traces, each counted once a UTC day, as everywhere.

Requests don't add up as calls do, because one may have calls of several models or teams; rollups have them counted for
each set of dimensions. So days are answered by a rollup where each dimension asked about is told apart by or has to be
one value; else the trace ids of their spans are read.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import polars as pl

from spanledger_analytics.connection import Ledger
from spanledger_collector.rollups import DAILY_CUBE, HOURLY_USERS
from spanledger_collector.tables import LakeTable

from .question import Question
from .totals import labelled, parameters

_CUBE: Final = ("team", "feature", "model", "environment")
_USERS: Final = ("user", "team")
_COUNT: Final = "requests"


def requests(ledger: Ledger, asked: Question, by: Sequence[str]) -> pl.DataFrame:
    """Return `by` (dimensions) and requests, a row for each that has any, in order; without `by` one row."""
    found = pl.concat(_ask(ledger, replace(asked, period=part), by) for part in asked.period.parts())
    if not by:
        return found.select(pl.col(_COUNT).sum())
    counts = labelled(found, asked, by).group_by(by).agg(pl.col(_COUNT).sum())
    return counts.filter(pl.col(_COUNT) > 0).sort(by, nulls_last=True)


def _ask(ledger: Ledger, asked: Question, by: Sequence[str]) -> pl.DataFrame:
    first, last = asked.period.utc_days()
    rollup, apart = _rollup(asked, by)
    return ledger.ask_rollup("request_counts", rollup, first, last, apart="_".join(apart), **parameters(asked, by))


def _rollup(asked: Question, by: Sequence[str]) -> tuple[LakeTable | None, Sequence[str]]:
    """Return the rollup that has counted what is asked for, and for which dimensions; None where none has."""
    whole = asked.period.calendar.is_utc and asked.period.until is None
    one_each = all(len(values) == 1 or name in by for name, values in asked.where.only.items())
    told = {*by, *asked.where.only}
    if not whole or not one_each or asked.where.but:
        return None, ()
    for rollup, names in ((DAILY_CUBE, _CUBE), (HOURLY_USERS, _USERS)):
        if told <= set(names):
            return rollup, [name for name in names if name in told]
    return None, ()
