"""Where the reader is: breadcrumbs and filters, both of which only write the URL."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import streamlit as st

from spanledger_analytics.spend import ALL
from spanledger_dashboard.data import Lake
from spanledger_dashboard.format import day_name, hour_name, markdown, visible
from spanledger_dashboard.headlines import person
from spanledger_dashboard.state import View, Window, go, go_from, while_here

from .options import cut_apart
from .showing import key_showing
from .tags import show_tags

_ALL: Final = {
    "team": "All teams",
    "feature": "All features",
    "model": "All models",
    "environment": "All environments",
}
_LONGEST: Final = 40


def crumbs(view: View) -> list[tuple[str, View]]:
    """Return the way down to a view, labels in plain text; the last is the view itself."""
    way = [("All days", view.top())]
    if view.day is None:
        return way
    way.append((day_name(view.day), view.at_day(view.day)))
    if view.hour is not None:
        way.append((hour_name(view.hour), view.at_hour(view.hour)))
    if view.user is not None:
        way.append((person(view.user), view.at_user(view.user)))
    if view.trace is not None:
        way.append((f"request {view.trace[-8:]}", replace(view, span=None)))
    return way


def show_crumbs(view: View) -> None:
    """Draw the breadcrumbs: a button for each level above, the name of this one."""
    *above, (here, _) = crumbs(view)
    with st.container(horizontal=True, gap="xsmall", vertical_alignment="center", key="crumbs", width="content"):
        for number, (label, target) in enumerate(above):
            st.button(markdown(label), key=f"crumb-{number}", type="tertiary", on_click=go, args=(target,))
            st.markdown("/", width="content")
        st.markdown(f"**{markdown(here)}**", width="content")


def show_neighbours(before: tuple[str, View], after: tuple[str, View] | None) -> None:
    """Draw the ways to the place before and the one after, of the same kind: label and view."""
    with st.container(horizontal=True, gap="xsmall", key="neighbours", width="content"):
        st.button(f"\u2190 {before[0]}", key="before", on_click=go, args=(before[1],))
        if after is not None:
            st.button(f"{after[0]} \u2192", key="after", on_click=go, args=(after[1],))


def show_ways_on(view: View, label: str, above: View) -> None:
    """Draw the ways on from a place where nothing is: without the filters, where there are any, and up."""
    with st.container(horizontal=True, gap="small", key="ways-on"):
        if view.filters != ALL:
            st.button("Without the filters", on_click=go, args=(replace(view, filters=ALL),), type="primary")
        st.button(label, on_click=go, args=(above,), type="secondary" if view.filters != ALL else "primary")


def show_filters(view: View | Window, lake: Lake) -> None:
    """Draw one select box a dimension, set from the URL; a value that no call has is still shown as picked."""
    with st.container(horizontal=True, gap="xsmall", key="filters", width="content"):
        for dimension, values in lake.known().items():
            picked = getattr(view.filters, dimension)
            if picked is not None and picked not in values:
                values.append(picked)
            words = cut_apart({value: value or value_name(dimension, "") for value in values}, _LONGEST)
            key = key_showing(f"filter-{dimension}", picked)
            st.selectbox(
                dimension.capitalize(),
                values,
                index=None,
                key=key,
                placeholder=_ALL[dimension],
                format_func=words.__getitem__,
                on_change=while_here(_refilter),
                args=(view, dimension, key),
                label_visibility="collapsed",
                width=158,
            )
        show_tags(view, lake)


def value_name(dimension: str, value: str) -> str:
    """Name a value of a dimension, or the lack of one."""
    return visible(value, _LONGEST) if value else f"(no {dimension})"


def _refilter(view: View | Window, dimension: str, key: str) -> None:
    go_from(view.filtered(dimension, st.session_state[key]))
