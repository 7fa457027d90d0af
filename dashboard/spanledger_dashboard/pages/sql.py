"""SQL: any question to the lake, in a box that can only read, with charts, files and an address to share.

A query that comes by the address is asked at once: it may do no more than its reader could do anyway (`sql.asking`).
"""

from __future__ import annotations

import streamlit as st

from spanledger.settings import load
from spanledger_dashboard.components.address import mark_address
from spanledger_dashboard.components.trouble import told
from spanledger_dashboard.data import shown_lake
from spanledger_dashboard.format import markdown
from spanledger_dashboard.prices.in_force import in_force
from spanledger_dashboard.sql import asking, session
from spanledger_dashboard.sql.editor import show_editor
from spanledger_dashboard.sql.result import show_result
from spanledger_dashboard.sql.sheet import CHART, Sheet, go, parse
from spanledger_dashboard.sql.shelf import show_history, show_shelf
from spanledger_dashboard.state import BadLinkError


def page() -> None:
    """Draw the page."""
    asking.prepare()
    in_force()  # for the fees and rates of exchange of the contract
    _panel()


@st.fragment
def _panel() -> None:
    with told("sql"):
        _draw()


def _draw() -> None:
    mark_address("look", *CHART)
    try:
        sheet = parse(st.query_params.to_dict())
    except BadLinkError as error:
        st.warning(markdown(str(error), 300))
        st.button("Begin with an example", on_click=go, args=(Sheet(),), type="primary")
        return
    lake = shown_lake()
    asked = session.current(sheet, lake)
    editor, shelf = st.columns([0.66, 0.34], gap="large")
    with editor:
        show_editor(sheet)
    with shelf:
        last = show_shelf(sheet, load().home if lake.scope.is_everything else None)
    if asked is not None:
        show_result(sheet, asked, lake)
    with last:
        show_history()
