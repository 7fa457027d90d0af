"""A choice that a card offers, one of the page's own parameters; picking one only writes the URL."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import streamlit as st

from spanledger_dashboard.state import Window, go

from .showing import key_showing


def show_choice(
    asked: Window, name: str, values: Sequence[str], label: str, written: Callable[[str], str] = str.capitalize
) -> None:
    """Draw the values of the parameter `name`, the one that the address says picked; `label` is for screen readers."""
    key = key_showing(f"choice-{name}", asked.own[name])

    def chosen() -> None:
        go(asked.told(**{name: st.session_state[key]}))

    st.segmented_control(
        label,
        values,
        key=key,
        format_func=written,
        on_change=chosen,
        label_visibility="collapsed",
        required=True,
    )
