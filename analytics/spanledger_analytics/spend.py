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
from spanledger_collector.tables import LakeTable

from .connection import Ledger, Parameter
from .reports.question import TAG

DIMENSIONS: Final = ("team", "feature", "model", "environment")


@dataclass(frozen=True, slots=True)
class Filters:
    """Which calls count; None is all of them, the empty text those that carry no such tag."""

    team: str | None = None
    feature: str | None = None
    model: str | None = None
    environment: str | None = None
    tags: tuple[tuple[str, str], ...] = ()
    """Key and value of other tags, by key. No rollup tells them apart, so with them spans are read."""

    @classmethod
    def of(cls, parameters: Mapping[str, str]) -> Filters:
        """Return what `parameters` names: dimensions, and tags as `tag.KEY`; other names are left alone."""
        tags = {name.removeprefix(TAG): value for name, value in parameters.items() if name.startswith(TAG)}
        tags.pop("", None)
        return cls(**{name: parameters.get(name) for name in DIMENSIONS}, tags=tuple(sorted(tags.items())))

    def parameters(self) -> Mapping[str, str | None]:
        """Return the filters by name, tags as `tag.KEY`: those of an address, and the dimensions of a report."""
        named = {name: getattr(self, name) for name in DIMENSIONS}
        return named | {f"{TAG}{key}": value for key, value in self.tags}

    def bound(self) -> Mapping[str, Parameter]:
        """Return the filters as the named parameters of the SQL files."""
        tags = [{"key": key, "wanted": value} for key, value in self.tags]
        return {**{name: getattr(self, name) for name in DIMENSIONS}, "wanted_tags": tags or None}

    def narrowed(self, name: str, value: str | None) -> Filters:
        """Change one of them, a dimension or `tag.KEY`; None takes it away."""
        return Filters.of(
            {known: told for known, told in {**self.parameters(), name: value}.items() if told is not None}
        )


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
    return ledger.ask_rollup("days", _cube(filters), first, last, **filters.bound()).sort("dt")


def days_by_model(ledger: Ledger, first: date, last: date, filters: Filters = ALL) -> pl.DataFrame:
    """Return the totals of each UTC day and model, by `dt` and `model`."""
    found = ledger.ask_rollup("days_by_model", _cube(filters), first, last, **filters.bound())
    return found.sort("dt", "model")


def _cube(filters: Filters) -> LakeTable | None:
    return None if filters.tags else DAILY_CUBE


def hours(ledger: Ledger, day: date, filters: Filters = ALL) -> pl.DataFrame:
    """Return the totals of each UTC hour (0-23) of a day that has calls, by `hour`."""
    return _ask_hours("hours", ledger, day, filters)


def hours_by_model(ledger: Ledger, day: date, filters: Filters = ALL) -> pl.DataFrame:
    """Return the totals of each UTC hour and model of a day, by `hour` and `model`."""
    return _ask_hours("hours_by_model", ledger, day, filters)


def _ask_hours(query: str, ledger: Ledger, day: date, filters: Filters) -> pl.DataFrame:
    rollup = HOURLY_MODELS if filters.feature is None and not filters.tags else None
    return ledger.ask_rollup(query, rollup, day, day, day=day, **filters.bound())


def filter_values(ledger: Ledger, first: date, last: date) -> pl.DataFrame:
    """Return what can be filtered by in a period: dimension, value, calls, cost_usd."""
    found = ledger.ask_rollup("filter_values", DAILY_CUBE, first, last)
    sums = found.group_by("dimension", "value").agg(
        pl.col("calls").sum(), pl.when(pl.col("cost_usd").is_not_null().any()).then(pl.col("cost_usd").sum())
    )
    return sums.sort("dimension", "value")


def tag_values(ledger: Ledger, first: date, last: date) -> pl.DataFrame:
    """Return the tags that calls of a period carry: key, value, calls, cost_usd; of each key the dearest values."""
    return ledger.ask("tag_values", first=first, last=last)


def unpriced(ledger: Ledger, first: date, last: date, filters: Filters = ALL) -> pl.DataFrame:
    """Return why calls of a period have no price: reason, model, calls; most calls first."""
    return ledger.ask("unpriced", first=first, last=last, **filters.bound())
