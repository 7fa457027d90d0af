"""How a reader picks the days: one of the usual lengths up to today, or a first and a last day."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date

import streamlit as st

from spanledger_dashboard.format import day_name
from spanledger_dashboard.state import PERIODS, View, Window, go_from, while_here

from .showing import key_showing


def show_periods(days: int | None, place: Callable[[int], View | Window]) -> None:
    """Draw the usual lengths, `days` the chosen one; another goes to `place` of it."""
    key = key_showing("period", days)

    def chosen() -> None:
        if st.session_state[key] is not None:
            go_from(place(st.session_state[key]))

    st.segmented_control(
        "Period",
        PERIODS,
        key=key,
        format_func=lambda length: f"{length} days",
        on_change=while_here(chosen),
        label_visibility="collapsed",
        required=days is not None,
    )


def show_days(window: Window) -> None:
    """Offer a first and a last day, in a fold that names those that were picked."""
    period = window.period
    key = key_showing("between", (period.first, period.last))

    def chosen() -> None:
        picked = st.session_state[key]
        # Between the two clicks only the first day is there.
        if len(picked) == 2:
            go_from(window.spanning(*picked))

    label = f"{day_name(period.first)} to {day_name(period.last)}" if window.days is None else "Other days"
    with st.popover(label, type="secondary", key="days-fold"):
        st.date_input(
            "From and to",
            key=key,
            max_value=max(period.last, period.calendar.today()),
            min_value=min(period.first, date(2020, 1, 1)),
            format="YYYY-MM-DD",
            on_change=chosen,
        )
