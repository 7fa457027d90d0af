"""Where SQL is written: a form, so that a query is asked when its writer says so, and not when the field is left."""

from __future__ import annotations

import unicodedata
from typing import Final

import streamlit as st

from spanledger_analytics.saved_queries import examples
from spanledger_dashboard.format import markdown, visible

from . import session
from .sheet import Sheet, go
from .tidy import FormatError, formatted

_FIELD: Final = "sql-field"
"""Where the session keeps the field's number and what it began with: a field is new where another text has to be in it.

A text that is put into a field that stands there already is lost where the page is drawn again at once."""
_OF: Final = "sql-field-of"
"""The query of the sheet that the field is of; what is typed meanwhile stays."""
_REFUSED: Final = "sql-format-refused"
_HEIGHT_PX: Final = 316
_STYLE: Final = """<style>
.st-key-sql-text textarea { font-family: "Source Code Pro", ui-monospace, Menlo, Consolas, monospace;
  font-size: 0.875rem; line-height: 1.5; tab-size: 4; }
</style>"""
"""Code looks like code."""


def show_editor(sheet: Sheet) -> None:
    """Draw the field and its buttons; Ctrl+Enter is the first of them."""
    wanted = sheet.query or examples()[0].query
    if st.session_state.get(_OF) != wanted or _key() not in st.session_state:
        st.session_state[_OF] = wanted
        _begin(wanted)
    with st.container(gap="xxsmall"):
        st.subheader("Ask anything, in SQL", anchor=False)
        st.caption("It can only read: each question has a confined process of its own. Money is exact, times are UTC.")
    st.html(_STYLE)
    with st.form("sql", border=False):
        with st.container(key="sql-text"):
            _, begun = st.session_state[_FIELD]
            st.text_area("SQL", begun, key=_key(), height=_HEIGHT_PX, label_visibility="collapsed")
        with st.container(horizontal=True, gap="small", vertical_alignment="center"):
            st.form_submit_button("Run", type="primary", on_click=_run, args=(sheet, False), key="sql-run")
            st.form_submit_button("Explain", on_click=_run, args=(sheet, True), key="sql-explain")
            st.form_submit_button("Format", on_click=_format, key="sql-format")
            st.caption("Ctrl+Enter runs it. With completion, in a terminal: spanledger sql --shell.")
    if any(unicodedata.category(character) == "Cf" for character in sheet.query):
        st.warning("Characters in this query hide others or turn them around. As it is run:")
        st.code(visible(sheet.query, len(sheet.query)), language=None, wrap_lines=True)
    if refused := st.session_state.pop(_REFUSED, None):
        st.info(markdown(refused, 300))


def _begin(text: str) -> None:
    """Have another field, with a text in it."""
    number, _ = st.session_state.get(_FIELD, (0, ""))
    st.session_state[_FIELD] = (number + 1, text)


def _key() -> str:
    """Return the key of the field that stands there."""
    number, _ = st.session_state.get(_FIELD, (0, ""))
    return f"sql-text-{number}"


def open_query(query: str) -> None:
    """Ask another query, from a callback; a look at the answer that was chosen for another one is left behind."""
    session.forget()
    go(Sheet(query))


def _run(sheet: Sheet, explained: bool) -> None:
    text = st.session_state[_key()].strip()
    session.forget()
    st.session_state[_OF] = text
    go(sheet.asking(text, explained=explained))


def _format() -> None:
    try:
        _begin(formatted(st.session_state[_key()]))
    except FormatError as error:
        st.session_state[_REFUSED] = str(error)
