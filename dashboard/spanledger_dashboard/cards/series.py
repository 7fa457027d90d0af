"""A series that was out of the ordinary: its hours with the band that was expected, and who made them up."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any, Final

import polars as pl
import streamlit as st

from spanledger_analytics.reports.anomalies import TOTAL
from spanledger_analytics.reports.question import Question, Where
from spanledger_analytics.reports.registry import REPORTS
from spanledger_analytics.spend import Doubts
from spanledger_dashboard.charts.expected import expected_figure
from spanledger_dashboard.components.card import card, show_answer
from spanledger_dashboard.components.figure import show_figure
from spanledger_dashboard.components.heading import show_heading
from spanledger_dashboard.components.options import cut_apart
from spanledger_dashboard.components.showing import key_showing
from spanledger_dashboard.data import shown_lake
from spanledger_dashboard.state import Window, go

from .strange import row_of

FOUND: Final = "found"
"""The page's own parameter: which of the findings is drawn; the largest unless it is named."""
_HEIGHT_PX: Final = 470
_BEFORE: Final = timedelta(days=5)
_AFTER: Final = timedelta(days=2)


@card("series", _HEIGHT_PX)
def show_series(asked: Window) -> None:
    """Draw the series of one finding; another can be picked."""
    lake = shown_lake()
    frame = lake.report("anomalies", asked.question(REPORTS["anomalies"].by)).frame
    found = {key_of(row): row for row in frame.filter(pl.col("kind") == "hours").to_dicts()}
    if not found:
        show_heading("No hour is out of the ordinary", "Nothing is said of a series before it has 48 hours.", Doubts())
        return
    picked = asked.own[FOUND] if asked.own[FOUND] in found else next(iter(found))
    told = row_of(found[picked])
    title = f"{told.title[:1].upper()}{told.title[1:]}: {told.amount} beyond expectation"
    show_heading(title, told.said, Doubts())
    _show_choice(asked, picked, found)
    question = question_of(asked, found[picked])
    show_figure(
        expected_figure(lake.report("expected", question).frame),
        key="series",
        alt=f"Cost by the hour with the band that is ordinary. {title}. {told.said}",
    )
    zone = asked.period.calendar.zone
    st.caption(f"Cost by the hour ({zone}); below the band's upper edge an hour is ordinary, red ones are not.")
    show_answer(lake, "series", "expected", question)


def key_of(row: Mapping[str, Any]) -> str:
    """Return what a finding is called in the address."""
    return f"{row['of']}:{row['since']:%Y-%m-%dT%H}:{'' if row['of'] == TOTAL else row[row['of']] or ''}"


def question_of(asked: Window, row: Mapping[str, Any]) -> Question:
    """Return what is asked of the series of a finding: some days around it, its calls alone."""
    period = asked.period
    today = period.calendar.today()
    first, last = row["since"].date() - _BEFORE, min(today, row["until"].date() + _AFTER)
    where = Where() if row["of"] == TOTAL else Where({row["of"]: (row[row["of"]] or "",)})
    return replace(asked.question(where=where), period=replace(period, first=first, last=last))


def _show_choice(asked: Window, picked: str, found: Mapping[str, Mapping[str, Any]]) -> None:
    shown = key_showing("series-found", picked)

    def chosen() -> None:
        go(asked.told(**{FOUND: st.session_state[shown]}))

    told = {key: row_of(row) for key, row in found.items()}
    words = cut_apart({key: f"{row.title}, {row.amount}" for key, row in told.items()}, 100)
    st.selectbox(
        "Series",
        list(found),
        key=shown,
        format_func=words.__getitem__,
        on_change=chosen,
        label_visibility="collapsed",
        width=460,
    )
