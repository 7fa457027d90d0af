"""What customers bring beside what they cost, where revenue was imported.

Nobody's revenue is guessed: who has none has nothing there, and a margin of what they cost; who has only calls without
a price has an unknown cost and so no margin. Revenue of a month is spread evenly over its days.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Final

import polars as pl

from spanledger_analytics.connection import Ledger
from spanledger_analytics.errors import QuestionError
from spanledger_collector.tables import REVENUE

from .answer import Answer, Report, said_of_totals, share, usd
from .calendar import UNITS, Unit
from .concentration import SHARE, SPLIT, rounded
from .question import Question
from .totals import totals
from .weights import divide

PAYERS: Final = ("customer", "user", "team", "feature")
"""What revenue is told by."""
COLUMNS: Final = {
    "revenue_usd": "US dollars that were imported for these days; NULL where nothing was.",
    "cost_usd": "US dollars, exact; 0 without calls, NULL where no call of the row has a price.",
    "margin_usd": "revenue_usd less cost_usd, no revenue counted as 0; NULL where cost_usd is.",
    "margin_share": "Of the revenue; below 0 where the cost is more.",
    "cost_share": "Cost as a part of the revenue.",
    "calls": "Charged calls.",
    "unpriced_calls": "Calls without a price that need one; the margin is too high by what they cost.",
    "estimated_calls": "Calls whose tokens nobody reported; they are in cost_usd.",
}
_MONEY: Final = pl.Decimal(38, 12)
_PICO: Final = 12
_NAMED: Final = 3


def margin(ledger: Ledger, asked: Question, *, split: bool) -> Answer:
    """Return revenue, cost and margin, the lowest margin first (within a unit of time, then by name).

    Raises:
        QuestionError: `by` or the condition has something by which no revenue is told.
    """
    by = asked.by
    _check(asked)
    found = totals(ledger, asked)
    notes = said_of_totals(found)
    if split:
        found, _ = divide(found, [name for name in by if name not in UNITS])
    counts = ("calls", "unpriced_calls", "estimated_calls")
    costs = found.select(*by, "cost_usd", *counts)
    brought = _revenue(ledger, asked)
    joined = costs.join(brought, on=by, how="full", coalesce=True, nulls_equal=True)
    rows = _with_margins(joined.with_columns(pl.col(counts).fill_null(0)))
    units = [name for name in UNITS if name in by]
    others = [name for name in by if name not in UNITS]
    ordered = rows.sort(*units, "margin_usd", *others, nulls_last=True)
    return Answer(ordered.select(*by, *COLUMNS), (*notes, *_said(ordered, others)))


def _check(asked: Question) -> None:
    allowed = (*PAYERS, *(unit for unit in UNITS if unit != "hour"))
    wrong = sorted({*asked.by, *asked.where.dimensions()}.difference(allowed))
    if wrong or not set(asked.by).intersection(PAYERS):
        told = f"no revenue is told by {', '.join(wrong)}" if wrong else "margin needs to know whose it is"
        raise QuestionError(
            f"{told}; --by takes {', '.join(PAYERS)}, and with one of them day, week or month; --where these four"
        )


def _revenue(ledger: Ledger, asked: Question) -> pl.DataFrame:
    """Return revenue_usd, a row for each of `by` that has some."""
    period, where = asked.period, asked.where
    days = ledger.ask(
        "revenue",
        first=period.first,
        last=period.first,
        revenue=ledger.files_of(REVENUE),
        since=period.first,
        until=period.last,
        only=_wanted(where.only),
        but=_wanted(where.but),
    )
    units: list[Unit] = [unit for unit in UNITS if unit in asked.by]
    labelled = days.with_columns(asked.period.calendar.labels_of_days(pl.col("day"), unit) for unit in units)
    return labelled.group_by(asked.by).agg(pl.col("revenue_usd").sum())


def _wanted(chosen: Mapping[str, Sequence[str]]) -> dict[str, list[str] | None]:
    return {name: list(chosen[name]) if name in chosen else None for name in PAYERS}


def _with_margins(joined: pl.DataFrame) -> pl.DataFrame:
    nothing = pl.col("cost_usd").is_null() & (pl.col("calls") == 0)
    cost = pl.when(nothing).then(pl.lit(Decimal(0), _MONEY)).otherwise(pl.col("cost_usd"))
    known = joined.with_columns(cost.alias("cost_usd"), pl.col("revenue_usd").cast(_MONEY))
    made = known.with_columns(
        (pl.col("revenue_usd").fill_null(0) - pl.col("cost_usd")).cast(_MONEY).alias("margin_usd")
    )
    return made.with_columns(
        pl.Series(name, _shares(made[of], made["revenue_usd"]), SHARE)
        for name, of in (("margin_share", "margin_usd"), ("cost_share", "cost_usd"))
    )


def _shares(
    parts: Sequence[Decimal | None] | pl.Series, wholes: Sequence[Decimal | None] | pl.Series
) -> list[Decimal | None]:
    return [
        None if part is None or whole is None else rounded(int(part.scaleb(_PICO)), int(whole.scaleb(_PICO)))
        for part, whole in zip(parts, wholes, strict=True)
    ]


def _said(rows: pl.DataFrame, by: Sequence[str]) -> list[str]:
    revenue, cost = (_sum(rows[name]) for name in ("revenue_usd", "cost_usd"))
    if rows["revenue_usd"].is_null().all():
        return ["no revenue for these days; bring it in with: spanledger import revenue FILE"]
    part = f" ({share(revenue - cost, revenue)})" if revenue > 0 else ""
    said = [f"revenue {usd(revenue)}, cost {usd(cost)}, margin {usd(revenue - cost)}{part}"]
    paid = rows.filter(pl.col("revenue_usd").is_not_null() & (pl.col("margin_usd") < 0))
    if paid.height:
        named = [", ".join("-" if row[name] is None else str(row[name]) for name in by) for row in paid.to_dicts()]
        shown = "; ".join(dict.fromkeys(named[:_NAMED])) + (" ..." if len(named) > _NAMED else "")
        said.append(f"cost more than they bring: {shown}; together {usd(-_sum(paid['margin_usd']))} more")
    free = rows.filter(pl.col("revenue_usd").is_null() & (pl.col("calls") > 0))
    if free.height:
        said.append(
            f"without revenue: {free.height:,} row{'' if free.height == 1 else 's'}, "
            f"which cost {usd(_sum(free['cost_usd']))}"
        )
    unknown = rows["margin_usd"].null_count()
    if unknown:
        said.append(f"no margin: {unknown:,} row{'' if unknown == 1 else 's'} none of whose calls has a price")
    return said


def _sum(column: pl.Series) -> Decimal:
    return sum(column.drop_nulls(), Decimal(0))


MARGIN: Final = Report(
    "margin",
    "Revenue beside cost: margin by customer, user, team or feature.",
    margin,
    COLUMNS,
    by=("customer",),
    beside=(REVENUE,),
    days=30,
    options=(SPLIT,),
    details="""\
    spanledger import revenue invoices.csv
    spanledger report margin --from 2026-11-01 --to 2026-11-30
    spanledger report margin --by month,customer --from 2026-07-01

The lowest margin comes first. A row without a name has the calls that don't say one, and revenue that doesn't.
Revenue is of whom the file names: what it says of customers alone isn't told by team. That of a month is spread over
its days in whole pico-dollars, so parts of a month add up to it.""",
)
