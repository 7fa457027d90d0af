"""What fires now, and what has fired in the last seven days."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, Final

import polars as pl
import streamlit as st

from spanledger import settings
from spanledger_analytics.alerts.store import store_path
from spanledger_analytics.reports.calendar import Calendar, Period
from spanledger_analytics.reports.question import Question
from spanledger_dashboard.charts.colours import GREY, ORANGE, RED
from spanledger_dashboard.charts.mini import Stretch, stretches
from spanledger_dashboard.components.card import card
from spanledger_dashboard.components.kpis import Kpi, show_kpi, show_picture
from spanledger_dashboard.components.links import show_link
from spanledger_dashboard.data import now, shown_lake
from spanledger_dashboard.format import ago, many, markdown

from .size import NUMBER_PX

_DAYS: Final = 7
_NO_RULES: Final = "No rule was ever evaluated here; spanledger alerts init writes the first ones."
_COLOURS: Final = {"critical": RED, "warning": ORANGE, "info": GREY}


@card("alerts", NUMBER_PX)
def show_alerts(calendar: Calendar) -> None:
    """Draw how many fire, when others did, and what the latest says."""
    moment = now()
    today = calendar.today(moment)
    period = Period(today - timedelta(days=_DAYS - 1), today, calendar)
    fired = shown_lake().report("alerts", Question(period)).frame.filter(pl.col("fired_at").is_not_null())
    firing = fired.filter(pl.col("state") == "firing")
    rules = firing["rule"].unique(maintain_order=True).to_list()
    show_kpi(Kpi("Alerts", f"{len(rules)} firing" if rules else "none firing"))
    if not fired.height:
        st.caption(f"None has fired in {_DAYS} days." if store_path(settings.load().home).exists() else _NO_RULES)
        return
    parts = [_stretch(row, period.begin, moment) for row in fired.iter_rows(named=True)]
    show_picture(stretches(parts), f"A time line of the last {_DAYS} days: {many(fired.height, 'alert')} fired.")
    st.caption(_latest(fired.row(0, named=True), moment) + _others(rules[1:]))
    show_link("alerts", "All alerts", {})


def _stretch(row: dict[str, Any], begin: datetime, until: datetime) -> Stretch:
    whole = until - begin
    first = max(row["fired_at"], begin)
    return Stretch((first - begin) / whole, ((row["resolved_at"] or until) - begin) / whole, _COLOURS[row["severity"]])


def _others(rules: list[str]) -> str:
    return f" Also {markdown(', '.join(rules), 60)}." if rules else ""


def _latest(row: dict[str, Any], moment: datetime) -> str:
    since = ago(row["fired_at"], moment)
    told = f"for {since.removesuffix(' ago')}" if row["state"] == "firing" else f"fired {since}"
    case = row["summary"].split("; ")[0]
    return f"**{markdown(row['rule'], 60)}** {told}: {markdown(case, 120)}."
