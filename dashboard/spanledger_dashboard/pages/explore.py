"""Explore: from all days down to the request that cost the money, one click a level.

The whole panel is a fragment: a click reruns only it, and its callback only writes the URL, which is what keeps a
step fast and Back working.
"""

from __future__ import annotations

import streamlit as st

from ..components.empty import show_empty
from ..components.place import show_crumbs, show_filters
from ..data import Lake, configured_lake, now
from ..format import markdown
from ..levels import days, hours, requests, trace, users
from ..state import BadLinkError, View, go, parse


def page() -> None:
    """Draw the page."""
    path = configured_lake()
    if Lake(path).is_empty():
        show_empty(path)
    else:
        _panel()


@st.fragment
def _panel() -> None:
    try:
        view = parse(st.query_params.to_dict())
    except BadLinkError as error:
        st.warning(markdown(str(error), 300))
        st.button("Show all days", on_click=go, args=(View(),), type="primary")
        return
    lake = Lake(configured_lake())
    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
        show_crumbs(view)
        if view.trace is None:
            show_filters(view, lake, now().date())
    _level(view, lake)


def _level(view: View, lake: Lake) -> None:
    if view.trace is not None:
        trace.show(view, lake)
    elif view.user is not None:
        requests.show(view, lake)
    elif view.hour is not None:
        users.show(view, lake)
    elif view.day is not None:
        hours.show(view, lake)
    else:
        days.show(view, lake, lambda day: go(view.at_day(day)))
