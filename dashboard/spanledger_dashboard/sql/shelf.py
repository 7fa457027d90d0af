"""Beside the editor: questions to begin with, those that were kept, what there is to ask about, and what was asked."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from spanledger_analytics import catalogue, saved_queries
from spanledger_analytics.errors import SavedQueryError
from spanledger_dashboard.format import markdown

from . import session
from .editor import open_query
from .sheet import Sheet

_NAME: Final = "sql-save-name"
_SAID: Final = "sql-save-said"
_HEIGHT_PX: Final = 330
_PAST_CHARACTERS: Final = 120
_FIRST_VIEWS: Final = ("llm_calls", "traces", "sessions", "spans")


def show_shelf(sheet: Sheet, home: Path | None) -> DeltaGenerator:
    """Draw the shelves but the last, which is returned: what was asked is known when it was answered.

    Queries are kept in `home`; None for who doesn't see everything, because what is kept there may name others.
    """
    begin, *kept, schema, before = st.tabs(["Examples", *(["Saved"] if home else []), "Views", "History"])
    with begin:
        _show_examples()
    if home:
        with kept[0]:
            _show_saved(sheet, home)
    with schema:
        _show_views()
    return before


def _show_examples() -> None:
    with st.container(gap="xxsmall"):
        for number, example in enumerate(saved_queries.examples()):
            st.button(
                markdown(example.name),
                key=f"sql-example-{number}",
                type="tertiary",
                on_click=open_query,
                args=(example.query,),
            )


def _show_saved(sheet: Sheet, home: Path) -> None:
    with st.form("sql-save", border=False, clear_on_submit=True):
        st.text_input("Save this query as", key=_NAME, placeholder="Spend by plan")
        st.form_submit_button("Save", on_click=_save, args=(home, sheet.query), disabled=not sheet.query)
    if said := st.session_state.pop(_SAID, None):
        st.info(markdown(said, 400))
    for one in saved_queries.saved(home):
        with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
            name = markdown(one.name)
            st.button(name, key=f"sql-open-{one.name}", type="tertiary", on_click=open_query, args=(one.query,))
            st.button("Remove", key=f"sql-remove-{one.name}", type="tertiary", on_click=_remove, args=(home, one.name))
    for path, why in saved_queries.unread(home):
        st.warning(markdown(f"{path.name} can't be read, so it isn't offered: {why}.", 300))
    st.caption(markdown(f"Files of {home / saved_queries.FOLDER}; spanledger sql - < FILE asks one.", 400))


def _save(home: Path, query: str) -> None:
    name = st.session_state[_NAME]
    try:
        path = saved_queries.save(home, name, query)
        st.session_state[_SAID] = f"Saved as {path.name}."
    except SavedQueryError as error:
        st.session_state[_SAID] = str(error)


def _remove(home: Path, name: str) -> None:
    try:
        if any(one.name == name for one in saved_queries.saved(home)):
            saved_queries.remove(home, name)
    except SavedQueryError as error:
        st.session_state[_SAID] = str(error)


def _show_views() -> None:
    words = st.text_input("Find a column", key="sql-find", placeholder="cache read")
    if words:
        found = catalogue.find(words)
        st.dataframe(found, key="sql-found", hide_index=True, height=_HEIGHT_PX)
        return
    known = catalogue.views()
    names = [*_FIRST_VIEWS, *(name for name in known["view"] if name not in _FIRST_VIEWS)]
    view = st.selectbox("View", names, key="sql-view")
    of_view = catalogue.columns().filter(view=view).select("column", "comment", "type")
    st.caption(markdown(f"{known.filter(view=view)['comment'][0]}.", 300))
    st.dataframe(of_view, key="sql-columns", hide_index=True, height=_HEIGHT_PX)
    st.button("See ten rows", key="sql-look-at", on_click=open_query, args=(f"select *\nfrom {view}\nlimit 10;",))


def show_history() -> None:
    """Draw what was asked in this session, the latest first."""
    asked = session.past()
    if not asked:
        st.caption("Nothing was asked in this session yet.")
    for one in asked:
        with st.container(gap=None):
            st.button(
                markdown(" ".join(one.query.split()), _PAST_CHARACTERS),
                key=f"sql-past-{one.at:%H%M%S%f}",
                type="tertiary",
                on_click=open_query,
                args=(one.query,),
            )
            st.caption(f"{one.at:%H:%M:%S} UTC, {one.ended}")
