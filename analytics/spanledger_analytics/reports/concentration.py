"""Who makes most of the cost: values by rank, how much they add up to, the 80/20 line and the Gini coefficient.

Those two are of the values that calls name. What names none has a row without a value and without a rank, the last
one, so that all rows add up to the total: it is nobody's, and must not look like one big spender.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from decimal import ROUND_HALF_UP, Decimal
from fractions import Fraction
from typing import Final

import polars as pl

from spanledger_analytics.connection import Ledger
from spanledger_analytics.errors import QuestionError

from .answer import SAID, Answer, Option, Report, said_of_totals, share, usd
from .calendar import UNITS
from .question import Question
from .totals import totals
from .weights import divide

SHARE: Final = pl.Decimal(20, 6)
SPLIT: Final = Option(
    "split",
    bool,
    False,
    "Divide values such as a:0.7|b:0.3 by their weights, a|b in equal parts; the parts add up exactly.",
)
COLUMNS: Final = {
    "rank": "1 is the dearest; NULL for calls that name none of --by.",
    "cost_usd": "US dollars, exact; NULL where no call of the row has a price. All rows add up to the total.",
    "cost_share": "Of the total, 0 to 1.",
    "cumulative_share": "Of the total, of this row and all above it.",
    "calls": "Charged calls.",
    "unpriced_calls": "Calls without a price that need one; they are in no sum of money.",
    "estimated_calls": "Calls whose tokens nobody reported; they are in cost_usd.",
}
_MOST: Final = Fraction(8, 10)
_PICO: Final = 12
_COST: Final = (pl.col("cost_usd").fill_null(0).cast(pl.Decimal(38, 12)) * 10**_PICO).cast(pl.Int128)
"""Whole pico-dollars."""
_PLACES: Final = 6
"""Of a share."""
_ONE_SHARE: Final = pl.lit(Decimal(1).scaleb(-_PLACES), pl.Decimal(38, _PLACES))


def concentration(ledger: Ledger, asked: Question, *, split: bool) -> Answer:
    """Return cost by rank, the dearest first (equal ones by name), calls that name none of `by` last.

    Raises:
        QuestionError: `by` is empty or has a unit of time.
    """
    by = asked.by
    if not by or any(name in UNITS for name in by):
        raise QuestionError(
            "concentration ranks what --by names over all the days, so --by takes dimensions, "
            "as in --by user or --by team,model, and no unit of time"
        )
    found = totals(ledger, asked, measures=() if split else SAID)
    notes = said_of_totals(found)
    if split:
        found, count = divide(found, by)
        notes = (*notes, f"divided by their weights: {count:,} value{'' if count == 1 else 's'} that name several")
    ranked = _ranked(found, by)
    return Answer(ranked.select(*by, *COLUMNS), (*notes, *_said(ranked, by)))


def _ranked(found: pl.DataFrame, by: Sequence[str]) -> pl.DataFrame:
    unallocated = pl.all_horizontal(pl.col(by).is_null())
    ordered = found.with_columns(unallocated.alias("unallocated")).sort(
        "unallocated", "cost_usd", *by, descending=[False, True, *[False] * len(by)], nulls_last=True
    )
    return ordered.with_columns(
        pl.when(~pl.col("unallocated")).then(pl.int_range(1, pl.len() + 1)).alias("rank"),
        _share(_COST).alias("cost_share"),
        _share(_COST.cum_sum()).alias("cumulative_share"),
    )


def _share(part: pl.Expr) -> pl.Expr:
    """Return what `rounded` does of parts of all costs, whole pico-dollars both; NULL where these are 0."""
    whole = _COST.sum()
    scaled = (2 * part.abs() * 10**_PLACES + whole.abs()) // (2 * whole.abs())
    signed = pl.when((part < 0) == (whole < 0)).then(scaled).otherwise(0 - scaled)
    return pl.when(whole != 0).then(signed.cast(pl.Decimal(38, 0)) * _ONE_SHARE).cast(SHARE)


def pico(frame: pl.DataFrame) -> pl.Series:
    """Return the costs in whole pico-dollars, 0 where none is known."""
    return frame.select(_COST).to_series()


def rounded(part: int, whole: int, places: int = _PLACES) -> Decimal | None:
    """Return a ratio of whole numbers to so many places, half away from zero; None where the whole is 0."""
    if not whole:
        return None
    scaled = (2 * abs(part) * 10**places + abs(whole)) // (2 * abs(whole))
    return Decimal(scaled if (part < 0) == (whole < 0) else -scaled).scaleb(-places)


def gini(amounts: pl.Series) -> Fraction | None:
    """Return the Gini coefficient of amounts, none below 0; None where they are nothing.

    Half the mean difference between any two, in proportion to the mean: 0 where all are equal, (n - 1) / n where one
    has it all. Gini, Variabilità e mutabilità, 1912; by ranks as in Dorfman, A Formula for the Gini Coefficient, 1979.
    """
    whole, count = int(amounts.sum()), len(amounts)
    if not whole:
        return None
    by_rank = int((amounts.sort() * pl.int_range(1, count + 1, dtype=pl.Int128, eager=True)).sum())
    return Fraction(2 * by_rank, count * whole) - Fraction(count + 1, count)


def _said(ranked: pl.DataFrame, by: Sequence[str]) -> list[str]:
    named = ranked.filter(~pl.col("unallocated") & pl.col("cost_usd").is_not_null())
    rest = ranked.filter(pl.col("unallocated"))
    costs = pico(named)
    uneven = gini(costs)
    said = []
    if uneven is not None:
        count, whole = needed(costs), int(costs.sum())
        what = " and ".join(by)
        said.append(
            f"{count:,} of {len(costs):,} {what}{'' if len(costs) == 1 else 's'} ({share(count, len(costs))}) make "
            f"{share(int(costs[:count].sum()), whole)} of the cost{' that names one' if rest.height else ''}"
        )
        first = named.row(0, named=True)
        name = ", ".join("-" if first[part] is None else str(first[part]) for part in by)
        said.append(f"the dearest: {name}, {usd(first['cost_usd'])} ({share(int(costs[0]), whole)})")
        exact = Decimal(uneven.numerator) / Decimal(uneven.denominator)
        said.append(
            f"Gini coefficient {exact.quantize(Decimal('0.001'), ROUND_HALF_UP)} (0: all alike, 1: one has it all)"
        )
    if rest.height:
        said.append(_unallocated(ranked, rest, by))
    return said


def needed(costs: pl.Series) -> int:
    """Return how many of the dearest make 80 %."""
    least = math.ceil(_MOST * int(costs.sum()))
    enough = (costs.cum_sum() >= pl.Series([least], dtype=pl.Int128)).arg_true()
    return int(enough[0]) + 1 if len(enough) else len(costs)


def _unallocated(ranked: pl.DataFrame, rest: pl.DataFrame, by: Sequence[str]) -> str:
    calls, cost = int(rest["calls"].sum()), int(pico(rest).sum())
    of_cost = share(cost, int(pico(ranked).sum()))
    return (
        f"unallocated: {calls:,} call{'' if calls == 1 else 's'} ({share(calls, int(ranked['calls'].sum()))}), "
        f"{usd(Decimal(cost).scaleb(-_PICO))} ({of_cost}) that name no {' or '.join(by)}"
    )


CONCENTRATION: Final = Report(
    "concentration",
    "Who makes most of the cost: by rank, the 80/20 line, Gini, and what is nobody's.",
    concentration,
    COLUMNS,
    by=("user",),
    options=(SPLIT,),
    details="""\
    spanledger report concentration --by user
    spanledger report concentration --by customer --where environment=production
    spanledger report concentration --by tag.project --split

Calls that name none of --by are in the last row, without a name and a rank. The 80/20 line and the Gini coefficient
are of what does name one. With --split a call whose tag is a:0.7|b:0.3 counts for both by weight: the parts of its
money, tokens and calls are whole pico-dollars, tokens and calls that add up to what they were.""",
)
