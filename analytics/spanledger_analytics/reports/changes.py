"""Two frames of `totals` side by side, and what changed from one to the other.

What has calls in one of them only costs nothing in the other. That is known, unlike the cost of calls without a price.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Final

import polars as pl

MONEY: Final = pl.Decimal(38, 12)
_SHARE: Final = pl.Decimal(38, 4)
_COUNTS: Final = ("calls", "requests")
_NONE: Final = Decimal(0)
_PLACES: Final = Decimal("0.0001")


def changed(now: pl.DataFrame, before: pl.DataFrame, by: Sequence[str]) -> pl.DataFrame:
    """Return two frames with a row for each of `by` in one, the second's columns as `_before`, and what changed.

    They have cost_usd and counts. Where only one has a row, the other costs and counts nothing. Largest change first,
    then by name.
    """
    joined = _joined(now.with_columns(there=True), before.with_columns(there=True), by)
    costs = [
        pl.when(pl.col(f"there{end}").is_null()).then(_NONE).otherwise(pl.col(f"cost_usd{end}")).cast(MONEY)
        for end in ("", "_before")
    ]
    joined = joined.with_columns(costs[0].alias("cost_usd"), costs[1].alias("cost_before_usd"))
    counts = [pl.col(f"{name}{end}").fill_null(0) for name in _COUNTS if name in now.columns for end in ("", "_before")]
    frame = joined.with_columns(*counts, (pl.col("cost_usd") - pl.col("cost_before_usd")).alias("change_usd"))
    frame = frame.with_columns(_state(), _share_of("change_usd", "cost_before_usd").alias("change_share"))
    order = [pl.col("change_usd").abs(), *by]
    return frame.sort(order, descending=[True, *(False for _ in by)], nulls_last=True)


def _joined(now: pl.DataFrame, before: pl.DataFrame, by: Sequence[str]) -> pl.DataFrame:
    if by:
        return now.join(before, on=by, how="full", suffix="_before", nulls_equal=True, coalesce=True)
    return now.join(before, on="there", how="full", suffix="_before", coalesce=False)


def _share_of(part: str, whole: str) -> pl.Expr:
    """Return one column as a share of another, to 4 places; NULL where that is nothing."""

    def ratio(row: Mapping[str, Decimal | None]) -> Decimal | None:
        of, all_of = row[part], row[whole]
        return None if of is None or not all_of else (of / all_of).quantize(_PLACES)

    return pl.struct(part, whole).map_elements(ratio, return_dtype=_SHARE)


def _state() -> pl.Expr:
    now, before = pl.col("calls") > 0, pl.col("calls_before") > 0
    words = pl.when(now & before).then(pl.lit("both")).when(now).then(pl.lit("new")).otherwise(pl.lit("gone"))
    return words.alias("state")
