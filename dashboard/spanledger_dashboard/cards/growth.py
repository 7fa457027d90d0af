"""How context grows from call to call of a conversation, and what that costs."""

from __future__ import annotations

from decimal import Decimal
from typing import Final

import polars as pl
import streamlit as st

from spanledger_analytics.spend import Doubts
from spanledger_dashboard.charts.growth import paid_figure, sent_figure
from spanledger_dashboard.components.card import card, show_answer
from spanledger_dashboard.components.figure import show_figure
from spanledger_dashboard.components.heading import show_heading
from spanledger_dashboard.data import shown_lake
from spanledger_dashboard.format import share, usd
from spanledger_dashboard.state import Window

_HEIGHT_PX: Final = 370
_READING: Final = (
    "A conversation is what one trace sends under one system prompt. Step 1 has calls that nothing follows, too."
)


@card("growth", _HEIGHT_PX)
def show_growth(asked: Window) -> None:
    """Draw what a call sends beside what all calls of a step cost."""
    lake = shown_lake()
    question = asked.question()
    frame = lake.report("growth", question).frame
    answer = _answer(frame)
    show_heading(answer, _READING, Doubts())
    if frame.height > 1:
        left, right = st.columns(2, gap="large")
        with left:
            st.markdown("**What one call sends**")
            show_figure(sent_figure(frame), key="sent", alt=f"Bars of the tokens that each call sends. {answer}.")
        with right:
            st.markdown("**What all calls of a step cost**")
            show_figure(paid_figure(frame), key="paid", alt=f"Bars of what all calls of each step cost. {answer}.")
    show_answer(lake, "growth", "growth", question)


def _answer(frame: pl.DataFrame) -> str:
    later = frame.filter(pl.col("step") > 1)
    if not later.height:
        return "No conversation has a second call" if frame.height else "No calls on these days"
    whole, after = (sum(rows["cost_usd"].drop_nulls(), Decimal(0)) for rows in (frame, later))
    more = sum((grown or 0) * calls for grown, calls in later.select("grown_tokens", "calls").iter_rows())
    grown = f"each sends {round(more / later['calls'].sum()):,} tokens more than the one before it"
    return f"Calls after the first of a conversation cost {usd(after)}, {share(after, whole)} of it all; {grown}"
