"""What models cost: those in use with what was spent on them, or those whose name was searched for."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Final

import polars as pl
import streamlit as st

from spanledger_analytics import price_list
from spanledger_analytics.spend import ALL
from spanledger_dashboard.components.card import card
from spanledger_dashboard.components.figure import Columns
from spanledger_dashboard.components.heading import show_heading
from spanledger_dashboard.components.showing import key_showing
from spanledger_dashboard.data import Lake
from spanledger_dashboard.format import many, price, visible
from spanledger_dashboard.state import Window, go

from .in_force import InForce, prices_today

_ROW_PX: Final = 35
_MOST_ROWS: Final = 12
_MOST_FOUND: Final = 500
_SINCE: Final = pl.when(pl.col("price_id").is_not_null()).then(
    pl.col("since").dt.strftime("%Y-%m-%d").fill_null(pl.lit("ever"))
)
_HEIGHT_PX: Final = 560
_PRICES: Final = {"input": "input", "cache_read": "cache read", "cache_write": "cache write", "output": "output"}


@card("price-lookup", _HEIGHT_PX)
def show_lookup(lake: Lake, asked: Window, prices: InForce) -> None:
    """Draw the search, and its rows; picking one shows its history."""
    words = asked.own["find"]
    rows = found(prices_today(prices), words) if words else used(lake, asked, prices)
    show_heading(
        _answer(rows, words), "US dollars a million tokens, as the book has them today. Pick a row for its past."
    )
    _show_search(asked)
    if rows.is_empty():
        return
    shown = rows.head(_MOST_FOUND)

    def picked() -> None:
        selection = st.session_state["price-rows"].selection
        chosen = [*selection.rows, *(row for row, _ in selection.cells)]
        if chosen:
            row = shown.row(chosen[0], named=True)
            go(asked.told(by_provider=row["provider"], of_model=row["model"], context=""))

    st.dataframe(
        shown.with_columns(since=_SINCE),
        key="price-rows",
        on_select=picked,
        selection_mode=["single-row", "single-cell"],
        hide_index=True,
        row_height=_ROW_PX,
        height=_ROW_PX * (min(len(shown), _MOST_ROWS) + 1) + 3,
        column_order=["provider", "model", "spent", *_PRICES, "when", "since"],
        column_config=_columns(asked, words),
        placeholder="",
        alt=f"Prices of {many(len(shown), 'model')}.",
    )
    if len(rows) > _MOST_FOUND:
        st.caption(f"The first {_MOST_FOUND} of {len(rows):,} rows; more of the name shows fewer.")


def _show_search(asked: Window) -> None:
    key = key_showing("price-find", asked.own["find"])

    def search() -> None:
        go(asked.told(find=st.session_state[key].strip()))

    st.text_input(
        "Find a model of the book by its name or provider",
        key=key,
        on_change=search,
        placeholder="sonnet, or openai gpt-5",
    )


def found(models: pl.DataFrame, words: str) -> pl.DataFrame:
    """Return the rows of `price_list.models` whose provider or name has each of the words; without what was spent."""
    text = pl.concat_str("provider", "model", separator="/").str.to_lowercase()
    for word in words.lower().split():
        models = models.filter(text.str.contains(word, literal=True))
    return models.with_columns(spent=pl.lit(None, pl.Decimal(38, 12)))


def used(lake: Lake, asked: Window, prices: InForce) -> pl.DataFrame:
    """Return what the window's calls were of, most spent first, with today's prices; None where the book has none.

    What was spent stands in the first row of a model that has several.
    """
    spent = lake.totals(replace(asked, filters=ALL).question(by=("provider", "model")))
    names = spent.select("provider", "model").drop_nulls().rows()
    listed = price_list.models(prices.book, datetime.now(UTC), names)
    costs = spent.select("provider", "model", pl.col("cost_usd").alias("spent"))
    joined = costs.drop_nulls(["provider", "model"]).join(
        listed, on=["provider", "model"], how="left", maintain_order="left_right"
    )
    ordered = joined.sort(
        "spent", "provider", "model", descending=[True, False, False], nulls_last=True, maintain_order=True
    )
    is_first = pl.int_range(pl.len()).over("provider", "model") == 0
    return ordered.with_columns(pl.when(is_first).then("spent").alias("spent"))


def _answer(rows: pl.DataFrame, words: str) -> str:
    if words:
        return (
            f"{many(len(rows), 'price')} of the book for {visible(words, 60)}"
            if len(rows)
            else (f"The book has no model for {visible(words, 60)}")
        )
    known = rows.drop_nulls("price_id")
    if known.is_empty():
        return "No call of these days was of a model of the book"
    dearest = known.sort("output", "input", descending=True, nulls_last=True).row(0, named=True)
    if dearest["input"] is None and dearest["output"] is None:
        return "The models in use are charged by their units"
    return (
        f"The dearest model in use is {visible(dearest['model'])}: {price_words(dearest['input'], dearest['output'])}"
    )


def price_words(into: Decimal | None, out: Decimal | None) -> str:
    """Return what a million tokens cost, in words; None is what has no price."""
    told = [f"{price(amount)} {way}" for amount, way in ((into, "in"), (out, "out")) if amount is not None]
    return f"{' and '.join(told)} a million tokens"


def _columns(asked: Window, words: str) -> Columns:
    prices: Columns = {name: st.column_config.NumberColumn(label, format="$%g") for name, label in _PRICES.items()}
    days = f"{asked.days} days" if asked.days else "these days"
    return prices | {
        "spent": None if words else st.column_config.NumberColumn(f"spent in {days}, USD", format="%.4f"),
        "when": st.column_config.TextColumn("only", width="medium"),
    }
