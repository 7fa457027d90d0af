"""What today has cost so far, against the same weekday a week earlier up to the same time."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta
from decimal import Decimal
from typing import Final

import streamlit as st

from spanledger_analytics.errors import QuestionError
from spanledger_analytics.reports.calendar import Calendar, Period
from spanledger_analytics.reports.question import Question
from spanledger_analytics.spend import cost_of
from spanledger_dashboard.charts.mini import bars
from spanledger_dashboard.components.card import card
from spanledger_dashboard.components.kpis import Kpi, show_kpi, show_picture
from spanledger_dashboard.data import Lake, now, shown_lake
from spanledger_dashboard.format import change, day_name, markdown, usd, usd_exact

from .size import NUMBER_PX

_WEEK: Final = timedelta(days=7)
_HOURS: Final = 24
_QUARTER_MINUTES: Final = 15


@card("today", NUMBER_PX)
def show_today(calendar: Calendar) -> None:
    """Draw it, with its hours beside those of the week before."""
    lake = shown_lake()
    moment = now()
    today = calendar.today(moment)
    hours = _hours(lake, today, calendar)
    before = _hours(lake, today - _WEEK, calendar)
    spent = lake.totals(Question(Period(today, today, calendar)))
    cost = cost_of(spent)
    current = calendar.local(moment).hour
    compared = _compared(lake, Question(Period(today, today, calendar)))
    if compared is not None:
        # What is held against the week before is what the card says: both go to the same minute.
        cost = compared[0]
    said = usd(cost) if spent["calls"].sum() else "$0"
    weekday = f"last {today:%A}"
    changed = None if compared is None else change(*compared)
    show_kpi(Kpi("Today so far", said, changed, changed and f"vs {weekday}", usd_exact(cost)))
    show_picture(
        bars(hours, before, current),
        f"Bars of cost by hour of {day_name(today)}, {calendar.zone}, each with the mark of {weekday}.",
    )
    if compared is not None:
        clock = calendar.local(moment)
        quarter = clock.replace(minute=clock.minute // _QUARTER_MINUTES * _QUARTER_MINUTES)
        both = f"{usd(compared[0])}, {weekday} {usd(compared[1])}"
        st.caption(markdown(f"By {quarter:%H:%M} {calendar.zone}: {both}"))


def _hours(lake: Lake, day: date, calendar: Calendar) -> Sequence[float]:
    """Return what each hour of the clock cost, as lengths."""
    costs = [0.0] * _HOURS
    for row in lake.totals(Question(Period(day, day, calendar), ("hour",))).iter_rows(named=True):
        costs[row["hour"].hour] += float(row["cost_usd"] or 0)
    return costs


def _compared(lake: Lake, asked: Question) -> tuple[Decimal | None, Decimal | None] | None:
    """Return what today and the week before cost up to the last full quarter of an hour.

    None before the first, and as long as nothing of today with a price is in it.
    """
    try:
        frame = lake.report("movers", asked, against="week").frame
    except QuestionError:
        return None
    row = frame.row(0, named=True) if frame.height else dict.fromkeys(("cost_usd", "cost_before_usd"), Decimal(0))
    return (row["cost_usd"], row["cost_before_usd"]) if row["cost_usd"] else None
