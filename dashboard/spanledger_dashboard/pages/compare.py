"""Compare: two periods, two slices of the calls, or before and after a moment."""

from __future__ import annotations

from typing import Final

import streamlit as st

from spanledger_dashboard.cards.bridge import show_bridge
from spanledger_dashboard.cards.choosing import show_comparison
from spanledger_dashboard.cards.compared import MOMENT, NOTHING, OWN, PERIODS, kind_of, unreadable
from spanledger_dashboard.cards.moment import show_moment
from spanledger_dashboard.cards.sums import show_sums
from spanledger_dashboard.cards.told_apart import show_told_apart
from spanledger_dashboard.components.bar import show_bar
from spanledger_dashboard.data import shown_lake
from spanledger_dashboard.format import markdown
from spanledger_dashboard.state import go

_WEEK: Final = 7
"""Days, where the address names none: a lake has two weeks sooner than two months."""


def page() -> None:
    """Draw the page; the address says what is compared."""
    lake = shown_lake()
    asked = show_bar(lake, OWN, usual=_WEEK)
    trouble = unreadable(asked)
    if trouble is not None:
        st.warning(markdown(f"{trouble[:1].upper()}{trouble[1:]}.", 400))
        st.button("Compare with the days before", on_click=go, args=(asked.told(**NOTHING),), type="primary")
        return
    show_comparison(asked, lake)
    kind = kind_of(asked)
    if kind == MOMENT:
        show_moment(asked)
        return
    show_sums(asked)
    if kind == PERIODS:
        show_bridge(asked)
    show_told_apart(asked)
