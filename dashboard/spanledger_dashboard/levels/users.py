"""Level three: who caused the cost of an hour."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from typing import Any

import polars as pl
import streamlit as st

from spanledger_analytics.spend import cost_of, doubts
from spanledger_dashboard import headlines
from spanledger_dashboard.charts.ranking import MOST_USERS, users_figure
from spanledger_dashboard.components.figure import show_figure, show_table
from spanledger_dashboard.components.heading import show_heading
from spanledger_dashboard.components.kpis import Kpi, show_kpis
from spanledger_dashboard.data import Lake
from spanledger_dashboard.format import count, day_name, hour_name, share, usd, usd_exact
from spanledger_dashboard.state import View, go


def show(view: View, day: date, hour: int, lake: Lake) -> None:
    """Draw the users of an hour, dearest first; a click goes to the user's requests."""
    users = lake.users(day, hour, view.filters)
    headline = headlines.hour(day, hour, users)
    more = f" The {MOST_USERS} dearest of {users.height:,}; the table has all." if users.height > MOST_USERS else ""
    show_heading(
        headline,
        f"Cost by user. Pick one to see the requests.{more}",
        doubts(users),
    )
    if not users.height:
        st.button(f"Back to {day_name(day)}", on_click=go, args=(view.at_day(day),))
        return
    hours = lake.hours(day, view.filters)
    _kpis(hours.row(by_predicate=pl.col("hour") == hour, named=True), cost_of(hours))
    show_figure(
        users_figure(users, cost_of(users)),
        key="users",
        alt=f"Bars of cost by user from {hour_name(hour)} UTC. {headline}.",
        pick=lambda user: go(view.at_user(user)),
    )
    show_table(users, key="users", query="users")


def _kpis(hour: Mapping[str, Any], usd_of_day: Decimal | None) -> None:
    cost, requests = hour["cost_usd"], hour["requests"]
    each = cost / requests if cost is not None else None
    show_kpis(
        [
            Kpi("Cost", usd(cost), None, f"{share(cost, usd_of_day)} of the day", usd_exact(cost)),
            Kpi("Requests", count(requests), None, f"{count(hour['calls'])} LLM calls"),
            Kpi("Cost per request", usd(each)),
            Kpi("Tokens in / out", f"{count(hour['input_tokens'])} / {count(hour['output_tokens'])}"),
        ]
    )
