"""The sentence over a chart: its answer, and below it how to read it."""

from __future__ import annotations

import streamlit as st

from ..format import markdown


def show_heading(answer: str, reading: str) -> None:
    """Write the answer (plain text, foreign names may be in it) and the reading hint."""
    with st.container(gap="xxsmall", width="stretch"):
        st.subheader(markdown(answer, 300), anchor=False)
        st.caption(markdown(reading, 300))
