"""Explore: from all days down to the request that cost the money, one click a level.

The whole panel is a fragment: a click reruns only it, and its callback only writes the URL, which is what keeps a
step fast and Back working.
"""

from __future__ import annotations

import streamlit as st

from spanledger_dashboard.components.place import show_crumbs, show_filters
from spanledger_dashboard.components.trouble import told
from spanledger_dashboard.data import Lake, now, shown_lake
from spanledger_dashboard.format import markdown
from spanledger_dashboard.levels import days, hours, requests, trace, users
from spanledger_dashboard.state import BadLinkError, View, go, parse


def page() -> None:
    """Draw the page."""
    _panel()


@st.fragment
def _panel() -> None:
    with told("explore"):
        _draw()


def _draw() -> None:
    try:
        view = parse(st.query_params.to_dict())
    except BadLinkError as error:
        st.warning(markdown(str(error), 300))
        st.button("Show all days", on_click=go, args=(View(),), type="primary")
        return
    lake = shown_lake()
    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
        show_crumbs(view)
        if view.trace is None:
            show_filters(view, lake, now().date())
    _level(view, lake)


def _level(view: View, lake: Lake) -> None:
    if view.day is None:
        days.show(view, lake, lambda day: go(view.at_day(day)), view.lasting)
    elif view.trace is not None:
        trace.show(view, view.day, view.trace, lake)
    elif view.user is not None:
        requests.show(view, view.day, view.user, lake)
    elif view.hour is not None:
        users.show(view, view.day, view.hour, lake)
    else:
        hours.show(view, view.day, lake)
