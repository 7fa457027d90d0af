"""Pieces of work, each with its cost and how it ended: sessions, or the traces of calls that name none.

A piece of work is whole: it counts for the day on which it began, however late its outcome was said, and for one value
of each dimension, the one that most of its money went to. So nothing is counted twice, and all rows add up. What it
has in a day that is over is kept, outcomes are not: they may come any time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Final, Literal

import numpy as np
import polars as pl

from spanledger_analytics.connection import Ledger
from spanledger_analytics.kept import DAY, DayQuestion, answered
from spanledger_collector.tables import OUTCOMES

from .calendar import UNITS, Period, Unit
from .cells import fits
from .question import Question
from .totals import labelled, parameters

Kind = Literal["session", "trace"]
STATES: Final = ("success", "failure", "silent", "undecided")
"""How work ended: silent is what nobody has judged in time, undecided what somebody still may."""
_DAY: Final = timedelta(days=1)
_COUNTS: Final = ("calls", "unpriced_calls", "estimated_calls", "requests")
_CELLS: Final = ("work", "began", "ended", "cost_usd", *_COUNTS)
_TRACES: Final = ("trace", "work", "is_session", "begins")


@dataclass(frozen=True, slots=True)
class _Parts:
    """What is asked of calls."""

    cells: pl.DataFrame
    """What work has of each value of `by`, and by day where `traces` are by day."""
    traces: pl.LazyFrame
    """What traces have calls in which work."""
    by_day: bool


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
    parts = _parts(ledger, asked, kind, by)
    pieces = _pieces(parts.cells, by)
    if parts.by_day:
        pieces = _begun_once(pieces, parts.traces)
    pieces = with_ends(pieces, parts.traces, outcomes_told(ledger, asked, outcome, at_least))
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


def with_ends(pieces: pl.DataFrame, traces: pl.LazyFrame, told: pl.DataFrame | None) -> pl.DataFrame:
    """Return rows about `work` with whether it `succeeded`, NULL where nobody said.

    `traces` has the traces of work (`trace`, `work`, `is_session`), `told` what `outcomes_told` does.
    """
    if told is None:
        return pieces.with_columns(pl.lit(None, pl.Boolean()).alias("succeeded"))
    return pieces.join(_ended(told, traces), on="work", how="left")


def cells_of_work(kind: Kind) -> DayQuestion:
    """Return the question what each piece of work has in a day."""

    def ask(ledger: Ledger, first: date, last: date) -> pl.DataFrame:
        return _of_days(_ask(ledger, "work", Question(Period(first, last), ("day",)), kind), _CELLS)

    return DayQuestion("work", ("work",), ask, (kind,))


def traces_of_work(kind: Kind) -> DayQuestion:
    """Return the question which traces have calls in each piece of work in a day."""

    def ask(ledger: Ledger, first: date, last: date) -> pl.DataFrame:
        return _of_days(_ask(ledger, "work_traces", Question(Period(first, last), ("day",)), kind), _TRACES)

    return DayQuestion("work_traces", ("work_traces",), ask, (kind,))


def _of_days(found: pl.DataFrame, names: Sequence[str]) -> pl.DataFrame:
    return found.select(pl.col("bucket").dt.date().alias(DAY), *names)


def _parts(ledger: Ledger, asked: Question, kind: Kind, by: Sequence[str]) -> _Parts:
    if fits(asked, ()) and not by and not asked.where.dimensions():
        days = asked.period.first, asked.period.last
        cells = answered(ledger, cells_of_work(kind), *days).collect()
        return _Parts(cells, answered(ledger, traces_of_work(kind), *days), by_day=True)
    told = replace(asked, by=tuple(by))
    cells = labelled(_ask(ledger, "work", told, kind), told, by)
    return _Parts(cells, _ask(ledger, "work_traces", told, kind).lazy(), by_day=False)


def _ask(ledger: Ledger, query: str, asked: Question, kind: Kind) -> pl.DataFrame:
    first, last = asked.period.utc_days()
    return ledger.ask(query, first=first, last=last, by_session=kind == "session", **parameters(asked, asked.by))


def outcomes_told(ledger: Ledger, asked: Question, outcome: str | None, at_least: Decimal) -> pl.DataFrame | None:
    """Return what was said of sessions and traces; None where nothing was."""
    first, last = asked.period.utc_days()
    files = ledger.files_of(OUTCOMES, first - _DAY)
    if len(files) == 1:
        return None  # the empty one, which is always there
    told = {"outcomes": files, "outcome": outcome, "at_least": f"{at_least:f}"}
    return ledger.ask("work_outcomes", first=first, last=last, **told)


def _pieces(cells: pl.DataFrame, by: Sequence[str]) -> pl.DataFrame:
    """Return a row for each piece of work, of the value of each of `by` that most of its money went to."""
    cost, is_part = pl.col("cost_usd"), pl.col("work").is_in(_repeated(cells["work"]).implode())
    parts = cells.filter(is_part)
    pieces = parts.group_by("work").agg(
        pl.col("began").min(),
        pl.col("ended").max(),
        pl.when(cost.is_not_null().any()).then(cost.sum()).alias("cost_usd"),
        *(pl.col(name).sum() for name in _COUNTS),
    )
    for name in by:
        values = parts.group_by("work", name).agg(cost.fill_null(0).sum(), pl.col("calls").sum())
        # What says nothing counts only where all calls do.
        ordered = values.sort(pl.col(name).is_null(), "cost_usd", "calls", name, descending=[False, True, True, False])
        pieces = pieces.join(ordered.group_by("work", maintain_order=True).agg(pl.col(name).first()), on="work")
    return pl.concat([cells.filter(~is_part).select(*_CELLS, *by), pieces.select(*_CELLS, *by)])


def _repeated(ids: pl.Series) -> pl.Series:
    """Return the numbers that are there more than once, each once."""
    ordered = np.sort(ids.to_numpy(), kind="stable")  # of days each of which is in order, so they are merged
    return pl.Series(np.unique(ordered[1:][ordered[1:] == ordered[:-1]]), dtype=ids.dtype)


def _begun_once(pieces: pl.DataFrame, traces: pl.LazyFrame) -> pl.DataFrame:
    """Count a request of several days for what it began with on the first of them, and for nothing else."""
    repeated = _repeated(traces.select("trace").collect()["trace"])
    if not len(repeated):
        return pieces
    days = traces.filter("begins", pl.col("trace").is_in(repeated.implode())).select("trace", "work", DAY).collect()
    later = days.filter(pl.col(DAY) > pl.col(DAY).min().over("trace")).group_by("work").len("later")
    fewer = pl.col("requests") - pl.col("later").fill_null(0).cast(pl.Int64)
    return pieces.join(later, on="work", how="left").with_columns(fewer.alias("requests")).drop("later")


def _ended(outcomes: pl.DataFrame, traces: pl.LazyFrame) -> pl.DataFrame:
    """Return how work ended, whether it `succeeded`: by the latest outcome of it as a session, or of its traces."""
    of_traces = traces.join(outcomes.lazy(), on="trace").filter(pl.col("session").is_null() | ~pl.col("is_session"))
    told = ("work", "occurred_at", "outcome_id", "succeeded")
    of_sessions = outcomes.drop_nulls("session").rename({"session": "work"})
    latest = pl.concat([of_sessions.select(told), of_traces.select(told).collect()])
    ordered = latest.sort("occurred_at", "outcome_id", descending=[True, False])
    return ordered.unique("work", keep="first", maintain_order=True).select("work", "succeeded")
