"""What the SQL page keeps for the length of a session: the question that is on its way or answered, and those before.

It is no state of the page, which is the URL alone: lost, it is asked again.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Final, cast

import streamlit as st
from streamlit import runtime
from streamlit.runtime.scriptrunner import get_script_run_ctx

from spanledger_dashboard.data import Lake, now
from spanledger_dashboard.format import duration, many

from .asking import Asking
from .sheet import Sheet

_ASKING: Final = "sql-asking"
_PAST: Final = "sql-past"
_MOST_PAST: Final = 50


@dataclass(frozen=True, slots=True)
class Past:
    """A question that was asked in this session."""

    query: str
    at: datetime
    """When it ended, UTC."""
    ended: str
    """In words."""


def current(sheet: Sheet, lake: Lake) -> Asking | None:
    """Return the question of a sheet, asked if it isn't yet; None where it has none."""
    asking = cast("Asking | None", st.session_state.get(_ASKING))
    if asking is not None and (asking.query, asking.explained) == (sheet.query, sheet.explained):
        return asking
    forget()
    if not sheet.query.strip():
        return None
    asking = Asking(sheet.query, sheet.explained)
    asking.start(lake.files(), lake.scope, _page())
    st.session_state[_ASKING] = asking
    return asking


def _page() -> Callable[[], bool]:
    """Return what tells whether this page is still open in a browser."""
    context = get_script_run_ctx()
    if context is None or not runtime.exists():
        return lambda: True
    return partial(runtime.get_instance().is_active_session, context.session_id)


def forget() -> None:
    """Stop what is on its way, so that the sheet is asked anew."""
    asking = cast("Asking | None", st.session_state.pop(_ASKING, None))
    if asking is not None:
        asking.stop()


def note(asking: Asking) -> None:
    """Put a question that has ended into the history, once; one that is asked again moves up."""
    kept = _kept()
    if asking.noted or asking.explained:
        return
    asking.noted = True
    for one in [one for one in kept if one.query == asking.query]:
        kept.remove(one)
    kept.appendleft(Past(asking.query, now(), _ended(asking)))


def past() -> list[Past]:
    """Return the questions of this session, the latest first."""
    return list(_kept())


def _kept() -> deque[Past]:
    return cast("deque[Past]", st.session_state.setdefault(_PAST, deque(maxlen=_MOST_PAST)))


def _ended(asking: Asking) -> str:
    outcome = asking.outcome
    if outcome is None or outcome.stopped:
        return "stopped"
    if outcome.wrong:
        return "an error"
    rows = many(outcome.table.num_rows, "row") if outcome.table is not None else "no answer"
    return f"{rows} in {duration(outcome.seconds * 1e6)}"
