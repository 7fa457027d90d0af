"""What is left of the revenue, where some was imported."""

from __future__ import annotations

from typing import Final

import polars as pl
import streamlit as st

from spanledger_analytics.reports.margin import PAYERS
from spanledger_dashboard import attribution_words as words
from spanledger_dashboard.charts.margins import margins_figure
from spanledger_dashboard.components.card import card, show_answer
from spanledger_dashboard.components.figure import show_figure
from spanledger_dashboard.data import shown_lake
from spanledger_dashboard.format import many, markdown, usd
from spanledger_dashboard.state import Window

from .narrowing import pick, question

_HEIGHT_PX: Final = 130
_MOST: Final = 10
_WITHOUT: Final = (
    "No revenue by {by} for these days, so no margin. Bring invoices in with `spanledger import revenue FILE`; what is "
    "left of them stands here then."
)
_NAMELESS: Final = (
    "The revenue of these days names no {by}, so no margin. Choose what it names above, such as *By customer*."
)


@card("margin", _HEIGHT_PX)
def show_margin(asked: Window) -> None:
    """Draw revenue and cost, the lowest margin first; a sentence says how to bring revenue in where there is none."""
    by = asked.own["by"]
    lake = shown_lake()
    about = question(asked, (by,))
    unknown = sorted(about.where.dimensions().difference(PAYERS))
    if unknown:
        st.caption(markdown(f"Revenue isn't told by {', '.join(unknown)}; clear that filter to see margins.", 300))
        return
    found = lake.report("margin", about).frame
    paid = found.filter(pl.col("revenue_usd").is_not_null() & pl.col("margin_usd").is_not_null())
    known = paid.filter(pl.col(by).is_not_null())
    if not known.height:
        st.caption(_WITHOUT.format(by=by) if not paid.height else _NAMELESS.format(by=by))
        return
    rows = known.to_dicts()
    answer = words.margin(rows, by)
    free = found.filter(pl.col("revenue_usd").is_null() & (pl.col("calls") > 0))
    beside = (
        f" {many(free.height, by)} without revenue cost {usd(sum(free['cost_usd'].drop_nulls()))}."
        if free.height
        else ""
    )
    with st.container(gap="xxsmall"):
        st.subheader(markdown(answer, 300), anchor=False)
        st.caption(markdown(f"Revenue with its cost laid over it, the lowest margin first.{beside}", 300))
    show_figure(
        margins_figure(rows[:_MOST], by),
        key="margin",
        alt=f"Bars of revenue and cost by {by}, lowest margin first. {answer}.",
        pick=lambda value: pick(asked, by, value),
    )
    show_answer(lake, "margin", "margin", about)
