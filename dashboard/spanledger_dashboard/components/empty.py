"""What an empty lake says: the command that sends the first span, and that nobody has to reload."""

from __future__ import annotations

import streamlit as st

from spanledger.lake_path import LakePath
from spanledger_dashboard.data import shown_lake

_EVERY_S = 3


@st.fragment(run_every=_EVERY_S)
def show_empty(path: LakePath) -> None:
    """Say what to run, and go on by itself when spans arrive."""
    if not shown_lake().is_empty():
        st.rerun()
    st.subheader("No spans yet", anchor=False)
    st.text(f"This dashboard reads {path}, where nothing has been collected.")
    st.markdown("Trace a program of yours (the collector must be running: `spanledger up` starts it):")
    st.code("SPANLEDGER_ENABLED=1 python app.py", language="bash")
    st.markdown("Or see it at work without a key, in a lake of its own:")
    st.code("spanledger demo", language="bash")
    st.caption("This page goes on by itself when the first span is in.")
