"""Widgets that show a value of the address.

A browser sends the values of all its widgets with every event, those from before the last change of the address as long
as it hasn't been told of it. Streamlit takes such a value for picked just now, and a second click would undo the first.
So a widget gets a new key when the address, not its reader, has changed what it shows: nobody listens to the old one.
"""

from __future__ import annotations

import streamlit as st


def key_showing(key: str, value: object) -> str:
    """Return the key under which a widget shows a value: the one of before where its reader has picked the value.

    Of two days the reader picks one after the other; in between the widget is left as it is.
    """
    memory = f"{key}-shown"
    turn, shown = st.session_state.get(memory, (0, value))
    has = st.session_state.get(_key(key, turn), value)
    if isinstance(has, tuple) and len(has) < 2 and value == shown:
        return _key(key, turn)
    if has != value:
        turn += 1
    st.session_state[memory] = turn, value
    st.session_state[_key(key, turn)] = value
    return _key(key, turn)


def _key(key: str, turn: int) -> str:
    return f"{key}-{turn}" if turn else key
