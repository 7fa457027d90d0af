"""What has no price, and what to add for each."""

from __future__ import annotations

from typing import Any, Final

import polars as pl
import streamlit as st

from spanledger_analytics.spend import ALL, sum_of
from spanledger_dashboard.components.card import card
from spanledger_dashboard.components.heading import show_heading
from spanledger_dashboard.data import Lake
from spanledger_dashboard.format import count, day_name, many, markdown, visible
from spanledger_dashboard.state import Window

_HEIGHT_PX: Final = 300
_MOST: Final = 8
_REASONS: Final = {
    "unknown_model": "the book doesn't know the model",
    "unknown_provider": "the book doesn't know the provider",
    "no_price": "the book has no price for it at that time",
    "no_usage": "nobody reported tokens",
    "unknown_billing": "it isn't said whether a plan pays for it",
}


@card("price-missing", _HEIGHT_PX)
def show_missing(lake: Lake, asked: Window) -> None:
    """Draw the models of the window that have no price, most calls first, each with its entry."""
    first, last = asked.period.utc_days()
    rows = lake.unpriced_models(first, last)
    failed = sum_of(lake.unpriced(first, last, ALL).filter(reason="error"), "calls")
    show_heading(_answer(rows), "Calls without a price are in no sum. An entry goes into the contract.")
    for number, row in enumerate(rows.head(_MOST).iter_rows(named=True)):
        _show(row, unfolded=number == 0)
    if len(rows) > _MOST:
        st.caption(f"And {many(len(rows) - _MOST, 'more')}: spanledger unpriced lists all.")
    if failed:
        st.caption(markdown(f"Without a price, and in need of none: {many(failed, 'call')} that failed."))
    if any(rows["add"]):
        st.caption("With the prices filled in, calls that come get them; those that are booked get theirs by:")
        st.code("spanledger reprice --dry-run", language=None)


def _show(row: dict[str, Any], *, unfolded: bool) -> None:
    name = f"{visible(row['model'] or '(no model)')} of {visible(row['provider'] or '(no provider)')}"
    why = _REASONS.get(row["reason"], str(row["reason"]).replace("_", " "))
    told = f"{many(row['calls'], 'call')}, {count(row['tokens'])} tokens since {day_name(row['first_seen'].date())}"
    with st.expander(markdown(f"{name}: {told}; {why}", 300), expanded=unfolded):
        if row["add"]:
            st.code(row["add"], language=None)
        else:
            st.caption("No price would help.")


def _answer(rows: pl.DataFrame) -> str:
    if rows.is_empty():
        return "No price is missing on these days"
    calls, models = sum_of(rows, "calls"), rows.select("provider", "model").n_unique()
    return f"{many(calls, 'call')} of {many(models, 'model')} {'has' if calls == 1 else 'have'} no price"
