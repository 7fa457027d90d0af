"""What rose or fell most in the last seven full days against the seven before, and what moved it."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

import streamlit as st

from spanledger_analytics.reports.calendar import Period
from spanledger_analytics.reports.question import Question
from spanledger_analytics.spend import doubts
from spanledger_dashboard import headlines
from spanledger_dashboard.charts.movers import movers_figure, moves_of
from spanledger_dashboard.components.card import card, show_answer
from spanledger_dashboard.components.figure import show_figure
from spanledger_dashboard.components.heading import show_heading
from spanledger_dashboard.components.links import open_page
from spanledger_dashboard.components.place import value_name
from spanledger_dashboard.components.showing import key_showing
from spanledger_dashboard.data import shown_lake
from spanledger_dashboard.state import View, Window, go

BY: Final = ("feature", "team", "model")
_MOST: Final = 7
_DAYS: Final = 7
_HEIGHT_PX: Final = 400


@card("movers", _HEIGHT_PX)
def show_movers(asked: Window) -> None:
    """Draw them by what the address says; a click leads to Explore."""
    lake = shown_lake()
    by = asked.own["movers"]
    calendar = asked.period.calendar
    today = calendar.today()
    question = Question(Period(today - timedelta(days=_DAYS), today - timedelta(days=1), calendar), (by,))
    moves = moves_of(lake.report("movers", question).frame, by, value_name(by, ""), _MOST)
    headline = headlines.movers(moves)
    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
        show_heading(
            headline,
            "Change of cost, the last 7 full days against the 7 before, and what made most of it.",
            doubts(lake.totals(question)),
        )
        _show_choice(asked)
    if moves:
        show_figure(
            movers_figure(moves),
            key="movers",
            alt=f"Bars of what rose and fell by {by}. {headline}.",
            pick=lambda value: open_page("explore", View().filtered(by, value).parameters()),
        )
    show_answer(lake, "movers", "movers", question)


def _show_choice(asked: Window) -> None:
    key = key_showing("movers-by", asked.own["movers"])

    def chosen() -> None:
        go(asked.told(movers=st.session_state[key]))

    st.segmented_control(
        "Movers by",
        BY,
        key=key,
        format_func=str.capitalize,
        on_change=chosen,
        label_visibility="collapsed",
        required=True,
    )
