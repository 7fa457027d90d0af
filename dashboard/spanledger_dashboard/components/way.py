"""The way down without a mouse: a box beside the breadcrumbs with what the chart shows.

It is the quicker way with one, too: typing finds a user among thousands, and the id of a request leads there from
every level, whatever day it was.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Final

import streamlit as st

from spanledger_dashboard.format import markdown, visible
from spanledger_dashboard.state import View, go, is_trace, while_here

from .options import unlike

MOST: Final = 500
"""Places that are offered; others can be typed where they have a name."""
_KEY: Final = "way"
_LOST: Final = "way-lost"
_WIDTH_PX: Final = 210


@dataclass(frozen=True, slots=True)
class Way:
    """Where one can go from a level."""

    noun: str
    """What is picked: "an hour"."""
    places: Mapping[str, str]
    """Id to words, in the order in which they are offered; plain text."""
    pick: Callable[[str], None]
    """Is called with an id."""
    takes_text: bool = False
    """Whether a typed name is an id, too."""


def meant(places: Mapping[str, str], told: str) -> str | None:
    """Return the place of an id, or else the first whose words begin with what was typed, or have it in them."""
    if told in places:
        return told
    typed = _plain(told)
    words = {place: _plain(named) for place, named in places.items()} if typed else {}
    begins = (place for place, named in words.items() if named.startswith(typed))
    return next(begins, next((place for place, named in words.items() if typed in named), None))


def _end(place: str) -> str:
    """Return what tells a place from one of the same words: the end of a trace's id, as breadcrumbs have it."""
    return place[-8:] if is_trace(place) else visible(place, len(place))


def _plain(text: str) -> str:
    return " ".join(text.split()).casefold()


def show_way(view: View, way: Way) -> None:
    """Draw the box; what it is told that is no place here is taken for the id of a request."""
    words = unlike(way.places, {place: f"{_end(place)}  ·  {named}" for place, named in way.places.items()})

    def chosen() -> None:
        told = st.session_state[_KEY]
        if told is None:
            return
        place = meant(words, told)
        if place is not None:
            way.pick(place)
        elif is_trace(told.strip()):
            go(replace(view.top(), trace=told.strip()))
        elif way.takes_text:
            way.pick(told)
        else:
            st.session_state[_LOST] = told

    st.session_state[_KEY] = None
    st.selectbox(
        f"Go to {way.noun}",
        list(words),
        index=None,
        key=_KEY,
        placeholder=f"Go to {way.noun}",
        format_func=words.__getitem__,
        accept_new_options=True,
        on_change=while_here(chosen),
        label_visibility="collapsed",
        width=_WIDTH_PX,
    )


def show_lost(way: Way) -> None:
    """Say once that what was typed is nowhere."""
    lost = st.session_state.pop(_LOST, None)
    if lost:
        st.warning(
            markdown(f"{visible(lost)} is neither {way.noun} that has calls here, nor the id of a request.", 300)
        )
