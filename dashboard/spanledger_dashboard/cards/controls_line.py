"""One line of the Overview on controls; there is none where they had nothing to do."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final

import streamlit as st

from spanledger_analytics.reports.calendar import Calendar, Period
from spanledger_dashboard.components.links import show_link
from spanledger_dashboard.data import now, shown_lake
from spanledger_dashboard.format import many, markdown, usd

_DAYS: Final = 7


def show_line(calendar: Calendar) -> None:
    """Say what controls refused and saved in the last seven days, with a way to them."""
    today = calendar.today(now())
    days = Period(today - timedelta(days=_DAYS - 1), today, calendar)
    words = line_of(shown_lake().controls_seen(*days.utc_days()))
    if words:
        with st.container(horizontal=True, vertical_alignment="center", key="controls-line"):
            st.caption(markdown(words, 200), width="content")
            show_link("controls", "All controls", {})


def line_of(seen: Mapping[str, Any]) -> str:
    """Return what is said of a row of `controls_seen`; '' where there is nothing to say."""
    said = []
    if seen["refused"]:
        said.append(f"{many(seen['refused'], 'call')} refused")
    if seen["avoided_usd"]:
        said.append(f"{usd(seen['avoided_usd'])} avoided on {many(seen['saving'], 'call')}")
    return f"Controls, the last {_DAYS} days: {', '.join(said)}." if said else ""
