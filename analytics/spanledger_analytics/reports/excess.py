"""Who makes up what was spent beyond expectation: users, models and features, in dollars that add up to it.

What was expected is divided as the cost of the week before was, so a value's excess is what it cost more than its share
of what was expected. It can be negative: then others did more than all of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final

import polars as pl

from spanledger_analytics.connection import Ledger

from .answer import pico_of, share
from .calendar import Period
from .question import Question
from .totals import SPENT, busy_hours

_ASKED_TOGETHER: Final = (("user",), ("model", "feature"))
"""What explains an excess; as rollups have it."""
_WEEK: Final = timedelta(days=7)
_MONEY: Final = pl.Decimal(38, 12)
_PICO: Final = Decimal("0.000000000001")
_SHOWN: Final = 3
_WORTH_SAYING: Final = Decimal("0.1")


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


def parts(spent: pl.DataFrame, since: datetime, until: datetime, expected: Decimal, dimension: str) -> pl.DataFrame:
    """Divide what was spent between two full hours (UTC), and what was expected; the largest excess first.

    `spent` is of `spending`. There is a row a value: it, cost_usd, expected_usd, and excess_usd, what it cost beyond
    expectation. Costs add up to what was spent, expectations to `expected`.
    """
    cost, hour = pl.col("cost_usd").cast(_MONEY), pl.col("hour")
    is_now = hour.is_between(since, until, closed="left")
    is_before = hour.is_between(since - _WEEK, since, closed="left")
    sums = spent.group_by(dimension).agg(
        *(cost.filter(part).sum().alias(name) for name, part in (("cost_usd", is_now), ("before", is_before))),
        *(part.any().alias(name) for name, part in (("is_now", is_now), ("is_before", is_before))),
    )
    known_before = bool((sums["before"] != 0).any())
    told = sums.filter(pl.col("is_now") | (pl.col("is_before") & known_before)).sort(dimension, nulls_last=True)
    divisions = told.select(
        dimension, "cost_usd", divided(expected, told["before" if known_before else "cost_usd"]).alias("expected_usd")
    )
    excess = (pl.col("cost_usd") - pl.col("expected_usd")).cast(_MONEY).alias("excess_usd")
    return divisions.with_columns(excess).sort("excess_usd", descending=True, maintain_order=True)


def divided(amount: Decimal, weights: pl.Series) -> pl.Series:
    """Divide US dollars by weights, which are some; what rounding to pico-dollars leaves goes to the heaviest."""
    pico = weights.cast(_MONEY).to_physical().to_list()
    whole = sum(pico)
    told = [_rounded(pico_of(amount) * weight, whole) if whole else 0 for weight in pico]
    if whole:
        told[pico.index(max(pico))] += pico_of(amount) - sum(told)
    return (pl.Series(told, dtype=pl.Int128).cast(pl.Decimal(38, 0)) * pl.Series([_PICO], dtype=_MONEY)).cast(_MONEY)


def _rounded(part: int, whole: int) -> int:
    """Return a ratio as a whole number, half to even."""
    number, rest = divmod(part, whole)
    return number + (2 * rest > whole or (2 * rest == whole and number % 2))


def sentence(divisions: pl.DataFrame, dimension: str) -> str:
    """Return who makes most of the excess, in words; '' if nobody makes a tenth of it."""
    excess = Decimal(divisions["excess_usd"].sum())
    most = divisions.head(_SHOWN).select(dimension, "excess_usd").rows()
    return ", ".join(
        f"{dimension} {name or '(none)'} {share(part, excess)}" for name, part in most if part >= _WORTH_SAYING * excess
    )
