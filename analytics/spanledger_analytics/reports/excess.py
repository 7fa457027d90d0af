"""Who makes up what was spent beyond expectation: users, models and features, in dollars that add up to it.

What was expected is divided as the cost of the week before was, so a value's excess is what it cost more than its share
of what was expected. It can be negative: then others did more than all of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final

import polars as pl

from spanledger_analytics.connection import Ledger

from .answer import share
from .calendar import Period
from .question import Question
from .totals import SPENT, busy_hours

_ASKED_TOGETHER: Final = (("user",), ("model", "feature"))
"""What explains an excess; as rollups have it."""
_WEEK: Final = timedelta(days=7)
_PICO: Final = Decimal("0.000000000001")
_SHOWN: Final = 3
_WORTH_SAYING: Final = Decimal("0.1")


@dataclass(frozen=True, slots=True)
class Part:
    """What one value of a dimension has to do with it; US dollars."""

    dimension: str
    name: str | None
    cost_usd: Decimal
    expected_usd: Decimal

    @property
    def excess_usd(self) -> Decimal:
        """What it cost beyond expectation."""
        return self.cost_usd - self.expected_usd


def spending(
    ledger: Ledger, asked: Question, of: str | None, names: Sequence[str | None], since: datetime, until: datetime
) -> dict[str, pl.DataFrame]:
    """Return for each dimension that explains what each hour cost by it, from a week before `since` (UTC) on.

    With `of` only some of its values count, and are told apart. The question's conditions hold, its period doesn't.
    """
    calendar = asked.period.calendar
    days = Period(calendar.today(since - _WEEK), calendar.today(until - timedelta(microseconds=1)), calendar)
    where, keys = asked.where, [of] if of else []
    if of:
        where = replace(where, only={**where.only, of: tuple(name or "" for name in names)})
    found: dict[str, pl.DataFrame] = {}
    for group in _ASKED_TOGETHER:
        dimensions = [dimension for dimension in group if dimension != of]
        frame = busy_hours(ledger, Question(days, (), where), [*keys, *dimensions], SPENT)
        found |= {dimension: frame.select("hour", *keys, dimension, "cost_usd") for dimension in dimensions}
    return found


def parts(spent: pl.DataFrame, since: datetime, until: datetime, expected: Decimal, dimension: str) -> list[Part]:
    """Divide what was spent between two full hours (UTC), and what was expected; the largest excess first.

    `spent` is of `spending`. Costs add up to what was spent, expectations to `expected`.
    """
    costs = _sums(spent.filter(pl.col("hour").is_between(since, until, closed="left")), dimension)
    before = _sums(spent.filter(pl.col("hour").is_between(since - _WEEK, since, closed="left")), dimension)
    usual = divided(expected, before if any(before.values()) else costs)
    divisions = [
        Part(dimension, name, costs.get(name, Decimal(0)), usual.get(name, Decimal(0))) for name in {**costs, **usual}
    ]
    return sorted(divisions, key=lambda part: (-part.excess_usd, part.name is None, part.name))


def divided(amount: Decimal, weights: Mapping[str | None, Decimal]) -> dict[str | None, Decimal]:
    """Divide an amount by weights; what rounding to pico-dollars leaves goes to the heaviest."""
    whole = sum(weights.values(), Decimal(0))
    if not whole:
        return dict.fromkeys(weights, Decimal(0))
    told = {name: (amount * weight / whole).quantize(_PICO) for name, weight in weights.items()}
    heaviest = max(weights, key=lambda name: weights[name])
    told[heaviest] += amount - sum(told.values(), Decimal(0))
    return told


def sentence(divisions: list[Part]) -> str:
    """Return who makes most of the excess, in words; '' if nobody makes a tenth of it."""
    excess = sum((part.excess_usd for part in divisions), Decimal(0))
    most = [part for part in divisions[:_SHOWN] if part.excess_usd >= _WORTH_SAYING * excess]
    return ", ".join(f"{part.dimension} {part.name or '(none)'} {share(part.excess_usd, excess)}" for part in most)


def _sums(frame: pl.DataFrame, dimension: str) -> dict[str | None, Decimal]:
    """Return the sum of each value, of calls with a price."""
    sums = frame.group_by(dimension, maintain_order=True).agg(pl.col("cost_usd").sum())
    return dict(sums.iter_rows())
