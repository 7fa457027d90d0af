"""What a success costs, or a request where no success is known. It reads spans, so it may come last."""

from __future__ import annotations

from typing import Final

import polars as pl
import streamlit as st

from spanledger_dashboard import attribution_words as words
from spanledger_dashboard.charts.unit_cost import unit_cost_figure
from spanledger_dashboard.components.card import card, show_answer
from spanledger_dashboard.components.figure import show_figure
from spanledger_dashboard.components.place import value_name
from spanledger_dashboard.data import shown_lake
from spanledger_dashboard.format import markdown
from spanledger_dashboard.state import Window

from .narrowing import pick, question

_HEIGHT_PX: Final = 390
_MOST: Final = 10


@card("unit-cost", _HEIGHT_PX)
def show_unit_cost(asked: Window) -> None:
    """Draw it for those that cost most, the dearest unit first; a click narrows the page."""
    lake, by = shown_lake(), asked.own["by"]
    about = question(asked, (by,))
    found = lake.report("unit-cost", about, more=True).frame.filter(pl.col("cost_usd") > 0)
    dearest = found.sort("cost_usd", by, descending=[True, False], nulls_last=True).head(_MOST)
    rows = dearest.sort("success_usd", "request_usd", descending=True, nulls_last=True).to_dicts()
    answer = words.unit_cost(rows, by)
    with st.container(gap="xxsmall"):
        st.subheader(markdown(answer, 300), anchor=False)
        st.caption(_reading(rows, by))
    if rows:
        show_figure(
            unit_cost_figure(rows, by, value_name(by, "")),
            key="unit-cost",
            alt=f"Bars of what a unit of work costs by {by}. {answer}.",
            pick=lambda value: pick(asked, by, value),
        )
    show_answer(lake, "unit-cost", "unit-cost", about, more=True)


def _reading(rows: list[dict[str, object]], by: str) -> str:
    if any(row["success_usd"] is not None for row in rows):
        return (
            "The cost of all decided work, failed and silent included, by its successes, with a 95 % interval and how "
            f"much of the work succeeds. A {by} without a success has a pale bar: what a request costs."
        )
    return "No success of these days is known. An application tells one with `spanledger.outcome`; then it stands here."
