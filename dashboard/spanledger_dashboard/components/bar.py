"""The bar over every page that looks at a `Window`: which days, which calls, whose clock."""

from __future__ import annotations

import streamlit as st

from spanledger_dashboard.data import Lake, configured_calendar
from spanledger_dashboard.format import markdown
from spanledger_dashboard.state import NONE, BadLinkError, Own, View, Window, go, window

from .address import mark_address
from .periods import show_days, show_periods
from .place import show_filters


def asked_window(own: Own = NONE, usual: int = View().days) -> Window:
    """Return what the address asks for, of the `usual` days where it names none.

    A bad link gets a sentence and a way on, and the page ends there.
    """
    mark_address()
    try:
        return window(st.query_params.to_dict(), own, configured_calendar(), usual)
    except BadLinkError as error:
        st.warning(markdown(str(error), 300))
        plain = window({}, own, configured_calendar(), usual)
        st.button(f"Show the last {usual} days", on_click=go, args=(plain,), type="primary")
        st.stop()


def show_bar(lake: Lake, own: Own = NONE, *, filters: bool = True, usual: int = View().days) -> Window:
    """Draw the bar and return what the address asks for; without `filters` there are only days to be picked."""
    asked = asked_window(own, usual)
    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute", key="bar"):
        with st.container(horizontal=True, gap="xsmall", vertical_alignment="center", width="content"):
            show_periods(asked.days, asked.lasting)
            show_days(asked)
            st.caption(asked.period.calendar.zone, width="content")
        if filters:
            show_filters(asked, lake)
    return asked
