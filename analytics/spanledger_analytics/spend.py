"""What was spent, by day and by hour, and what it can be filtered by.

Every frame carries the same totals: requests (distinct traces), calls, input_tokens, output_tokens, cost_usd
(Decimal, None where no call of the row has a price), estimated_usd (the part of it that is of tokens that nobody
reported; 0 where there is none), unpriced_calls, estimated_calls, provisional_calls (that their traces may still
change: see docs/settling.md) and errors. Requests of several rows do not add up, because one request may span hours and
models; that is why totals are asked for, not summed here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Final

import polars as pl

from spanledger_collector.rollups import DAILY_CUBE, HOURLY_MODELS

from .connection import Ledger

DIMENSIONS: Final = ("team", "feature", "model", "environment")


@dataclass(frozen=True, slots=True)
class Filters:
    """Which calls count; None is all of them, the empty text those that carry no such tag."""

    team: str | None = None
    feature: str | None = None
    model: str | None = None
    environment: str | None = None

    def parameters(self) -> Mapping[str, str | None]:
        """Return the filters as the named parameters of the SQL files."""
        return {name: getattr(self, name) for name in DIMENSIONS}


ALL: Final = Filters()


@dataclass(frozen=True, slots=True)
class Doubts:
    """What sums lack, and what in them is not certain."""

    unpriced_calls: int = 0
    provisional_calls: int = 0
    estimated_calls: int = 0
    estimated_usd: Decimal = Decimal(0)


def doubts(frame: pl.DataFrame) -> Doubts:
    """Return what the sums of a frame of totals lack, and what in them is not certain."""
    return Doubts(
        sum_of(frame, "unpriced_calls"),
        sum_of(frame, "provisional_calls"),
        sum_of(frame, "estimated_calls"),
        sum(frame["estimated_usd"], Decimal(0)),
    )


def cost_of(frame: pl.DataFrame) -> Decimal | None:
    """Return the sum of a frame's cost_usd, None where no row has a price."""
    known = [cost for cost in frame["cost_usd"] if cost is not None]
    return sum(known, Decimal(0)) if known else None


def sum_of(frame: pl.DataFrame, column: str) -> int:
    """Return the sum of a column of counts."""
    return int(frame[column].sum())


def cost_per_request(days: pl.DataFrame) -> Decimal | None:
    """Return the cost of one request over the rows of `days`; None where nothing has a price."""
    cost, requests = cost_of(days), sum_of(days, "requests")
    return cost / requests if cost is not None and requests else None


def days(ledger: Ledger, first: date, last: date, filters: Filters = ALL) -> pl.DataFrame:
    """Return the totals of each UTC day from `first` to `last` that has calls, by `dt`."""
    return ledger.ask_rollup("days", DAILY_CUBE, first, last, **filters.parameters()).sort("dt")


def days_by_model(ledger: Ledger, first: date, last: date, filters: Filters = ALL) -> pl.DataFrame:
    """Return the totals of each UTC day and model, by `dt` and `model`."""
    found = ledger.ask_rollup("days_by_model", DAILY_CUBE, first, last, **filters.parameters())
    return found.sort("dt", "model")


def hours(ledger: Ledger, day: date, filters: Filters = ALL) -> pl.DataFrame:
    """Return the totals of each UTC hour (0-23) of a day that has calls, by `hour`."""
    return _ask_hours("hours", ledger, day, filters)


def hours_by_model(ledger: Ledger, day: date, filters: Filters = ALL) -> pl.DataFrame:
    """Return the totals of each UTC hour and model of a day, by `hour` and `model`."""
    return _ask_hours("hours_by_model", ledger, day, filters)


def _ask_hours(query: str, ledger: Ledger, day: date, filters: Filters) -> pl.DataFrame:
    rollup = HOURLY_MODELS if filters.feature is None else None
    return ledger.ask_rollup(query, rollup, day, day, day=day, **filters.parameters())


def filter_values(ledger: Ledger, first: date, last: date) -> pl.DataFrame:
    """Return what can be filtered by in a period: dimension, value, calls, cost_usd."""
    found = ledger.ask_rollup("filter_values", DAILY_CUBE, first, last)
    sums = found.group_by("dimension", "value").agg(
        pl.col("calls").sum(), pl.when(pl.col("cost_usd").is_not_null().any()).then(pl.col("cost_usd").sum())
    )
    return sums.sort("dimension", "value")


def unpriced(ledger: Ledger, first: date, last: date, filters: Filters = ALL) -> pl.DataFrame:
    """Return why calls of a period have no price: reason, model, calls; most calls first."""
    return ledger.ask("unpriced", first=first, last=last, **filters.parameters())
