"""Why cost changed: calls, prices, models, tokens of a call, cache; from what it was to what it is."""

from __future__ import annotations

from typing import Final

import streamlit as st

from spanledger_dashboard import compare_words as words
from spanledger_dashboard.charts.bridge import bridge_figure
from spanledger_dashboard.components.card import card, show_answer
from spanledger_dashboard.components.figure import show_figure
from spanledger_dashboard.data import shown_lake
from spanledger_dashboard.format import markdown
from spanledger_dashboard.state import Window

from .compared import against

_HEIGHT_PX: Final = 430


@card("bridge", _HEIGHT_PX)
def show_bridge(asked: Window) -> None:
    """Draw the parts of the change end to end."""
    lake, about, compared = shown_lake(), asked.question(), against(asked)
    frame = lake.report("movers", about, against=compared).frame
    row = frame.row(0, named=True) if frame.height else None
    if row is None or row["change_usd"] is None:
        st.caption("One of the periods has no calls with a price, so there is no change to take apart.")
        return
    answer = words.bridge(row)
    with st.container(gap="xxsmall"):
        st.subheader(markdown(answer, 300), anchor=False)
        st.caption("Each bar begins where the one above it ends. They add up to the change, to the last digit.")
    show_figure(bridge_figure(row), key="bridge", alt=f"Bars from the cost before to the cost now. {answer}.")
    show_answer(lake, "bridge", "movers", about, against=compared)
