"""Requests far outside their kind: held against what requests of the same feature cost in the days before.

Costs of requests differ by factors, so the rule is Tukey's for what is far out, on a scale of factors: as far above the
upper quartile as three times the distance of the quartiles. Quartiles are of costs rounded down to three digits, so
that days are counted once and for all; the cost of a request that is told of is exact.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Final

import polars as pl

from spanledger_analytics.connection import Ledger
from spanledger_analytics.kept import DayQuestion, answered

from .calendar import Period
from .cells import chosen, fits
from .question import Question
from .totals import parameters

KIND_DAYS: Final = 7
"""So many days before the period tell what is usual."""
LEAST: Final = 20
"""A kind of fewer requests is none."""
MOST: Final = 50
"""So many requests of a day and feature are looked at, the dearest."""
_FAR: Final = 3
_TOLD: Final = ("trace_id", "started", "feature", "user", "calls", "cost_usd")


@dataclass(frozen=True, slots=True)
class _Kind:
    """What requests of a feature cost, US dollars."""

    lower_usd: Decimal
    median_usd: Decimal
    upper_usd: Decimal
    requests: int


@dataclass(frozen=True, slots=True)
class FarRequest:
    """A request, or its part for one feature, that cost far more than others of the feature."""

    trace_id: str
    started: datetime
    feature: str | None
    user: str | None
    calls: int
    cost_usd: Decimal
    median_usd: Decimal
    """Of the requests of the feature before."""
    requests: int
    """How many these are."""


def far_requests(ledger: Ledger, asked: Question, floor: Decimal, until: datetime | None = None) -> list[FarRequest]:
    """Return the requests of a period that cost at least `floor` US dollars and are far outside; the dearest first.

    Only calls that began before `until` (UTC; None: the end of the period) count.
    """
    period = asked.period
    reaching = replace(asked, period=replace(period, first=period.first - timedelta(days=KIND_DAYS)))
    costs = _costs(ledger, reaching, period.begin, min(period.end, until or period.end))
    kinds = {feature: kind for feature, kind in _kinds(costs) if kind.requests >= LEAST}
    found = []
    is_dear = pl.col("trace_id").is_not_null() & pl.col("is_after") & (pl.col("cost_usd") >= floor)
    dear = costs.filter(is_dear).select(*_TOLD).sort(["cost_usd", "trace_id"], descending=[True, False]).collect()
    for row in dear.to_dicts():
        kind = kinds.get(row["feature"])
        if kind and row["cost_usd"] >= 2 * kind.upper_usd and row["cost_usd"] > fence(kind.lower_usd, kind.upper_usd):
            found.append(FarRequest(**row, median_usd=kind.median_usd, requests=kind.requests))
    return found


def _ask(ledger: Ledger, asked: Question, since: datetime, end: datetime) -> pl.DataFrame:
    first, last = asked.period.utc_days()
    told = parameters(asked, ("feature",)) | {"end": end}
    return ledger.ask("request_costs", first=first, last=last, since=since, most=MOST, **told)


def _ask_days(ledger: Ledger, first: date, last: date) -> pl.DataFrame:
    period = Period(first, last)
    return _ask(ledger, Question(period), period.end, period.end)


REQUEST_COSTS: Final = DayQuestion("request_costs", ("request_costs",), _ask_days, (MOST,))


def _costs(ledger: Ledger, asked: Question, since: datetime, end: datetime) -> pl.LazyFrame:
    """Return what `request_costs.sql` does; a day that ends early is asked by itself."""
    first, last = asked.period.first, (end - timedelta(microseconds=1)).date()
    whole = last if end == Period(last, last).end else last - timedelta(days=1)
    if not fits(asked, ()) or not asked.where.dimensions() <= {"feature"} or whole < first:
        return _ask(ledger, asked, since, end).lazy()
    days = answered(ledger, REQUEST_COSTS, first, whole).filter(chosen(asked.where))
    costs = days.with_columns((pl.col("dt") >= since.date()).alias("is_after"))
    if whole == last:
        return costs
    return pl.concat([costs, _ask(ledger, replace(asked, period=Period(last, last)), since, end).lazy()])


def _kinds(costs: pl.LazyFrame) -> Iterator[tuple[str | None, _Kind]]:
    before = costs.filter(pl.col("trace_id").is_null(), ~pl.col("is_after")).sort("cost_usd")
    kinds = before.group_by("feature").agg(
        *(_quartile(quarter).alias(name) for quarter, name in enumerate(("lower", "median", "upper"), 1)),
        pl.col("requests").sum(),
    )
    for feature, lower, median, upper, requests in kinds.collect().iter_rows():
        yield feature, _Kind(lower, median, upper, int(requests))


def _quartile(quarter: int) -> pl.Expr:
    """Return a quartile of costs in order, each there so many times."""
    requests = pl.col("requests")
    place = (requests.sum() * quarter + 3) // 4
    return pl.col("cost_usd").filter(requests.cum_sum() >= place).first()


def fence(lower: Decimal, upper: Decimal) -> Decimal:
    """Return the cost beyond which a request is far out, by the quartiles of its kind."""
    return upper * (upper / lower) ** _FAR
