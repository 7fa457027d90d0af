"""Money that had been booked and was put right."""

from __future__ import annotations

from decimal import Decimal
from typing import Final

import polars as pl
import streamlit as st

from spanledger_dashboard.components.card import card
from spanledger_dashboard.components.figure import show_table
from spanledger_dashboard.components.heading import show_heading
from spanledger_dashboard.data import Lake
from spanledger_dashboard.format import many, usd
from spanledger_dashboard.state import Window

_HEIGHT_PX: Final = 300
_READING: Final = (
    "Repriced: spanledger reprice gave calls another price. Resent: a fuller copy came after the day was over. What"
    " was booked stays: spans_as_booked."
)
_MONEY: Final = {"old_usd": "booked, USD", "new_usd": "now, USD", "difference_usd": "difference, USD"}


@card("price-corrected", _HEIGHT_PX)
def show_corrected(lake: Lake, asked: Window) -> None:
    """Draw what was corrected in the days of the window, the latest first."""
    rows = lake.corrections().filter(pl.col("corrected_on").is_between(*asked.period.utc_days()))
    show_heading(_answer(rows), _READING)
    if rows.is_empty():
        return
    columns = {name: st.column_config.NumberColumn(label, format="%.6f") for name, label in _MONEY.items()}
    st.dataframe(
        rows.drop("unpriced_now"),
        key="price-corrections",
        hide_index=True,
        placeholder="",
        column_config=columns
        | {
            "corrected_on": "on",
            "old_price_id": "price before",
            "price_id": "price now",
            "first_day": "calls from",
            "last_day": "to",
            "unpriced_before": "without a price before",
        },
    )
    show_table(rows, key="price-corrections", query="corrections")


def _answer(rows: pl.DataFrame) -> str:
    if rows.is_empty():
        return "Nothing that was booked was put right in these days"
    calls, change = int(rows["calls"].sum()), sum(rows["difference_usd"], Decimal(0))
    more = f"{usd(abs(change))} {'more' if change > 0 else 'less'}" if change else "the same money in all"
    return f"{many(calls, 'call')} put right in these days, {more}"
