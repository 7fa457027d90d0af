"""A card: one question, drawn by itself, so that nothing on a page waits for its slowest answer.

A card is a parallel fragment: on a full run it is drawn beside the others, a click inside it draws it alone. Until its
answer is there a skeleton of its height holds its place, and what goes wrong is told inside it.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Final, ParamSpec

import streamlit as st

from spanledger_analytics.connection import load_query
from spanledger_analytics.reports.answer import Value
from spanledger_analytics.reports.question import Question
from spanledger_dashboard.command import command_of
from spanledger_dashboard.data import Lake
from spanledger_dashboard.format import markdown

from .figure import Columns, money_columns
from .trouble import told

_Told = ParamSpec("_Told")
_LONGEST_NOTE: Final = 600


def card(
    key: str, height: int, *, later: str | None = None
) -> Callable[[Callable[_Told, None]], Callable[_Told, None]]:
    """Make a card of a function that draws its inside: heading, chart, table. `height` (px) is what it takes up.

    A callback may have it drawn again by the name `later`, with `st.rerun`.
    The function is run in a thread of its own: it may not write outside of itself, nor switch pages but in callbacks.
    """

    def decorated(draw: Callable[_Told, None]) -> Callable[_Told, None]:
        @st.fragment(parallel=True, key=later)
        def inside(*args: _Told.args, **kwargs: _Told.kwargs) -> None:
            with st.skeleton(height), told(key):
                draw(*args, **kwargs)

        @wraps(draw)
        def drawn(*args: _Told.args, **kwargs: _Told.kwargs) -> None:
            # Outside of the fragment, where it is as high as the cards beside it.
            with st.container(border=True, key=f"card-{key}", height="stretch"):
                inside(*args, **kwargs)

        return drawn

    return decorated


def show_answer(
    lake: Lake, key: str, report: str, asked: Question, config: Columns | None = None, **options: Value
) -> None:
    """Offer a report's rows, its sentences, and how to get the same numbers on the command line, behind one fold."""
    fold = st.expander("Table and SQL", key=f"{key}-fold", on_change="rerun", type="compact")
    if not fold.open:
        return
    with fold:
        answer = lake.report(report, asked, **options)
        st.dataframe(
            answer.frame,
            key=f"{key}-table",
            hide_index=True,
            column_config=money_columns(answer.frame) | (config or {}),
        )
        st.caption("  \n".join(markdown(note, _LONGEST_NOTE) for note in answer.notes))
        st.caption("The same on the command line, and the SQL that it is made of:")
        st.code(command_of(report, asked, options, lake.scope), language="bash")
        for query in lake.queries(report, asked, **options):
            st.code(load_query(query).strip(), language="sql")
