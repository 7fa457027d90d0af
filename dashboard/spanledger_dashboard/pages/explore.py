"""Explore: from all days down to the request that cost the money, one click a level.

The whole panel is a fragment: a click reruns only it, and its callback only writes the URL, which is what keeps a
step fast and Back working.
"""

from __future__ import annotations

from dataclasses import replace

import streamlit as st

from spanledger_dashboard.components.address import mark_address
from spanledger_dashboard.components.place import show_crumbs, show_filters
from spanledger_dashboard.components.trouble import told
from spanledger_dashboard.components.way import Way, show_lost, show_way
from spanledger_dashboard.data import Lake, shown_lake
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
    mark_address("s")
    try:
        view = parse(st.query_params.to_dict())
    except BadLinkError as error:
        st.warning(markdown(str(error), 300))
        st.button("Show all days", on_click=go, args=(View(),), type="primary")
        return
    lake = shown_lake()
    view = _dated(view, lake)
    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
        with st.container(horizontal=True, vertical_alignment="center", width="content"):
            show_crumbs(view)
            place = st.empty()
        if view.trace is None:
            show_filters(view, lake)
    below = st.empty()
    way = _level(view, lake)
    if way is not None:
        with place:
            show_way(view, way)
        with below:
            show_lost(way)


def _dated(view: View, lake: Lake) -> View:
    """Return a view with the day on which its trace began, where it names none or another."""
    if view.trace is None:
        return view
    # Close to the day that is named, which reads less than all days.
    began = [] if view.day is None else lake.trace(view.day, view.trace)["start_time"].to_list()
    day = min(began).date() if began else lake.day_of_trace(view.trace)
    return view if day is None or day == view.day else replace(view.at_day(day), trace=view.trace, span=view.span)


def _level(view: View, lake: Lake) -> Way | None:
    """Draw a level and return the way down from it."""
    if view.trace is not None:
        trace.show(view, view.day, view.trace, lake)
        return None
    if view.day is None:
        return days.show(view, lake, lambda day: go(view.at_day(day)), view.lasting, compared=True)
    if view.user is not None:
        return requests.show(view, view.day, view.user, lake)
    if view.hour is not None:
        return users.show(view, view.day, view.hour, lake)
    return hours.show(view, view.day, lake)
