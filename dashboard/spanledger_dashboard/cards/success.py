"""What a success cost in the last seven days, failures included: cheap models can't hide behind it."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any, Final

import streamlit as st

from spanledger_analytics.reports.calendar import Calendar, Period
from spanledger_analytics.reports.question import Question
from spanledger_dashboard.charts.colours import BLUE, GREY, PALE, VERMILLION
from spanledger_dashboard.charts.mini import Stretch, stretches
from spanledger_dashboard.components.card import card
from spanledger_dashboard.components.kpis import Kpi, show_kpi, show_picture
from spanledger_dashboard.data import Lake, shown_lake
from spanledger_dashboard.format import change, markdown, usd, usd_exact

from .size import NUMBER_PX

_WEEK: Final = timedelta(days=7)
_STATES: Final = (("successes", BLUE), ("failures", VERMILLION), ("silent", GREY), ("undecided", PALE))


@card("success", NUMBER_PX)
def show_success(calendar: Calendar) -> None:
    """Draw it, with how work ended."""
    lake = shown_lake()
    today = calendar.today()
    row, last = _latest(lake, today, calendar)
    if row is None:
        show_kpi(Kpi("Cost per success", "unknown"))
        st.caption("No success of the last 7 days is known; an application tells one by spanledger.outcome.")
        return
    before = _week(lake, last - _WEEK, calendar)
    cost, past = row["success_usd"], before["success_usd"] if before else None
    compared = "7 days vs the 7 before" if past else "7 days, today included" if last == today else "7 full days"
    show_kpi(Kpi("Cost per success", usd(cost), change(cost, past), compared, usd_exact(cost)))
    works = sum(row[name] for name, _ in _STATES)
    parts, begin = [], 0.0
    for name, colour in _STATES:
        end = begin + row[name] / works
        parts += [Stretch(begin, end, colour)] if row[name] else []
        begin = end
    counts = ", ".join(f"{row[name]:,} {name}" for name, _ in _STATES if row[name])
    show_picture(stretches(parts), f"A bar of how work ended: {counts}.")
    st.caption(markdown(f"{_sure(row)}{counts}", 200))


def _latest(lake: Lake, today: date, calendar: Calendar) -> tuple[dict[str, Any] | None, date]:
    """Return the last seven full days and the last of them, or those up to today where only these have a success."""
    for last in (today - timedelta(days=1), today):
        row = _week(lake, last, calendar)
        if row is not None and row["successes"]:
            return row, last
    return None, today


def _sure(row: dict[str, Any]) -> str:
    return f"95 %: {usd(row['low_usd'])} to {usd(row['high_usd'])}; " if row["low_usd"] and row["high_usd"] else ""


def _week(lake: Lake, last: date, calendar: Calendar) -> dict[str, Any] | None:
    frame = lake.report("unit-cost", Question(Period(last - _WEEK + timedelta(days=1), last, calendar))).frame
    return frame.row(0, named=True) if frame.height else None
