"""Overview: what is being spent now, whether that is as planned, and where to look first."""

from __future__ import annotations

from datetime import date
from typing import Final

import streamlit as st

from spanledger_dashboard.cards.alerts import show_alerts
from spanledger_dashboard.cards.controls_line import show_line
from spanledger_dashboard.cards.month import show_month
from spanledger_dashboard.cards.movers import BY, show_movers
from spanledger_dashboard.cards.success import show_success
from spanledger_dashboard.cards.today import show_today
from spanledger_dashboard.components.bar import asked_window
from spanledger_dashboard.components.breakdown import show_breakdown
from spanledger_dashboard.components.card import card
from spanledger_dashboard.components.links import open_page
from spanledger_dashboard.components.live import NARROWEST_PX, show_live
from spanledger_dashboard.data import now, shown_lake
from spanledger_dashboard.levels import days
from spanledger_dashboard.state import View, Window

_OWN: Final = {"movers": BY}
_DAYS_PX: Final = 520
_WEEK_PX: Final = 330


def page() -> None:
    """Draw the page; picking a day goes on in Explore."""
    asked = asked_window(_OWN)
    calendar = asked.period.calendar
    show_live()
    with st.grid(4, key="numbers", min_column_width=NARROWEST_PX):
        for show in (show_today, show_month, show_success, show_alerts):
            show(calendar)
    controls = st.container()
    _show_days(asked)
    show_movers(asked)
    _show_week()
    with controls:  # last, because what is asked here is waited for
        show_line(calendar)


@card("spend", _DAYS_PX)
def _show_days(asked: Window) -> None:
    # Filters belong to Explore, where they can be seen.
    view = View(days=asked.days or View().days)

    def drill(day: date) -> None:
        open_page("explore", view.at_day(day).parameters())

    days.show(view, shown_lake(), drill, asked.lasting)


@card("week", _WEEK_PX)
def _show_week() -> None:
    def narrow(dimension: str, value: str) -> None:
        open_page("explore", View().filtered(dimension, value).parameters())

    show_breakdown(shown_lake(), now().date(), narrow)
