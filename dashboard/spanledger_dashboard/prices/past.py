"""One model: what it costs, what it has cost, and on which page that stands."""

from __future__ import annotations

from datetime import datetime
from typing import Final

import polars as pl
import streamlit as st

from spanledger_analytics import price_list
from spanledger_analytics.list_prices import contexts
from spanledger_dashboard.charts.price_history import changes, meter_name, price_figure
from spanledger_dashboard.components.card import card
from spanledger_dashboard.components.figure import show_figure
from spanledger_dashboard.components.heading import show_heading
from spanledger_dashboard.components.showing import key_showing
from spanledger_dashboard.data import now
from spanledger_dashboard.format import day_name, markdown, price, visible
from spanledger_dashboard.state import Window, go

from .in_force import InForce

_HEIGHT_PX: Final = 620
_PLAIN: Final = "the plain price"
_SOURCE: Final = r"^https?://"


@card("price-past", _HEIGHT_PX)
def show_past(asked: Window, prices: InForce) -> None:
    """Draw the history of the model that the address names."""
    provider, model, context = (asked.own[name] for name in ("by_provider", "of_model", "context"))
    offered = contexts(prices.book, provider, model)
    if context not in offered:
        context = ""
    history = price_list.history(prices.book, provider, model, context)
    if history.is_empty():
        st.subheader(f"The book has no price for {markdown(visible(model))}", anchor=False)
        st.caption(f"spanledger prices list --model finds names that are like it. {_own(prices)}")
        return
    moment = now()
    answer = _answer(model, history, context, moment)
    show_heading(answer, f"At {provider}. {_own(prices)}")
    _show_contexts(asked, offered, context)
    drawn = changes(history)
    if drawn["starts_at"].count():
        show_figure(price_figure(drawn, moment), key="price-steps", alt=f"Steps of price: {answer}.")
    _show_rows(history)
    st.caption("The same on the command line:")
    st.code(_command(provider, model, context), language=None)


def _answer(model: str, history: pl.DataFrame, context: str, moment: datetime) -> str:
    """Return what it costs at a moment, and since when."""
    has_begun = pl.col("starts_at").is_null() | (pl.col("starts_at") <= moment)
    goes_on = pl.col("ends_at").is_null() | (pl.col("ends_at") > moment)
    plain = history.filter(pl.col("a_million") & has_begun & goes_on)
    now_costs = [
        f"{price(rows['price_usd'][0])} {word}"
        for meter, word in (("input_uncached_tokens", "in"), ("output_text_tokens", "out"))
        if len(rows := plain.filter(meter=meter))
    ]
    began = max((moment for moment in plain["starts_at"] if moment is not None), default=None)
    since = f", since {day_name(began.date())} {began.year}" if began is not None else ""
    name = f"{visible(model)}, {context}," if context else visible(model)
    return f"{name} costs {' and '.join(now_costs)} a million tokens{since}" if now_costs else f"{name} by its units"


def _own(prices: InForce) -> str:
    return "Your contract goes before the book." if prices.contract.prices or prices.contract.discounts else ""


def _show_contexts(asked: Window, offered: list[str], context: str) -> None:
    if not offered:
        return

    key = key_showing("price-context", context)

    def chosen() -> None:
        go(asked.told(context=st.session_state[key]))

    st.selectbox(
        "Asked for as",
        ["", *offered],
        key=key,
        on_change=chosen,
        format_func=lambda label: label.replace("&", ", ") or _PLAIN,
    )


def _show_rows(history: pl.DataFrame) -> None:
    rows = history.select(
        pl.col("meter").map_elements(meter_name, pl.String).alias("what"),
        pl.col("price_usd"),
        pl.when("a_million").then(pl.lit("a million")).otherwise(pl.lit("each")).alias("for"),
        pl.col("when"),
        _moments("starts_at", "ever"),
        _moments("ends_at", "further notice"),
        pl.when(pl.col("source").str.contains(_SOURCE)).then("source").alias("source"),
        pl.col("price_id"),
    )
    st.dataframe(
        rows,
        key="price-past-rows",
        hide_index=True,
        placeholder="",
        height="content" if len(rows) <= 10 else 390,
        column_config={
            "price_usd": st.column_config.NumberColumn("USD", format="$%g"),
            "when": "only",
            "starts_at": "since",
            "ends_at": "until",
            "source": st.column_config.LinkColumn("page", display_text=r"https?://(?:www\.)?([^/]+)"),
            "price_id": "id of the price",
        },
    )


def _moments(column: str, lacking: str) -> pl.Expr:
    return pl.col(column).dt.strftime("%Y-%m-%d %H:%M").str.strip_suffix(" 00:00").fill_null(lacking)


def _command(provider: str, model: str, context: str) -> str:
    flags = "".join(
        f" --{key.replace('_', '-')} {value}"
        for key, _, value in (pair.partition("=") for pair in context.split("&"))
        if key
    )
    return f"spanledger prices explain {provider} {model}{flags}"
