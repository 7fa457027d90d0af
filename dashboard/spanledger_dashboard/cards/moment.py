"""What a moment changed, such as a deploy: a request after it and before it, beside a control."""

from __future__ import annotations

from typing import Final

import streamlit as st

from spanledger_dashboard import compare_words as words
from spanledger_dashboard.charts.moment import intervals_figure, levels_figure
from spanledger_dashboard.components.card import card, show_answer
from spanledger_dashboard.components.figure import show_figure
from spanledger_dashboard.data import shown_lake
from spanledger_dashboard.format import markdown
from spanledger_dashboard.state import Window

from .compared import a_moment

_HEIGHT_PX: Final = 440


@card("moment", _HEIGHT_PX)
def show_moment(asked: Window) -> None:
    """Draw the levels before and after, and the change with its interval."""
    lake = shown_lake()
    about, options = a_moment(asked)
    found = lake.report("compare", about, **options)
    rows = found.frame.to_dicts()
    judged = rows[-1]
    answer = words.moment(judged, controlled=judged["group"] == "difference")
    with st.container(gap="xxsmall"):
        st.subheader(markdown(answer, 300), anchor=False)
        for note in found.notes[:2]:
            st.caption(markdown(f"{note[:1].upper()}{note[1:]}.", 400))
    left, right = st.columns(2, gap="large")
    with left:
        st.markdown("**What a request costs**")
        show_figure(levels_figure(rows), key="levels", alt=f"Lines from before to after. {answer}.")
    with right:
        st.markdown("**How much that changed, with its 95 % interval**")
        show_figure(intervals_figure(rows), key="intervals", alt=f"Changes with their intervals. {answer}.")
    show_answer(lake, "moment", "compare", about, None, **options)
