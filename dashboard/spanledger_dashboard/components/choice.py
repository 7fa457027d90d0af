"""A choice that a card offers, one of the page's own parameters; picking one only writes the URL."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import streamlit as st

from spanledger_dashboard.state import Window, go


def show_choice(
    asked: Window, name: str, values: Sequence[str], label: str, written: Callable[[str], str] = str.capitalize
) -> None:
    """Draw the values of the parameter `name`, the one that the address says picked; `label` is for screen readers."""
    key = f"choice-{name}"

    def chosen() -> None:
        go(asked.told(**{name: st.session_state[key]}))

    st.session_state[key] = asked.own[name]
    st.segmented_control(
        label,
        values,
        key=key,
        format_func=written,
        on_change=chosen,
        label_visibility="collapsed",
        required=True,
    )
