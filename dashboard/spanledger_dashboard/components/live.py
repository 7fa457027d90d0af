"""The live strip: what is being spent now, redrawn every five seconds without the rest of the page."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import streamlit as st

from spanledger_dashboard.charts.colours import BLUE
from spanledger_dashboard.data import now, shown_lake
from spanledger_dashboard.format import ago, count, many, markdown, usd

from .sparkline import show_sparkline

EVERY_S: Final = 5


@st.fragment(run_every=EVERY_S)
def show_live() -> None:
    """Draw spend rate, requests and tokens a minute over the last five minutes, and the age of the last span."""
    moment = now()
    lake = shown_lake()
    rate = lake.rate(moment)
    minutes = lake.minutes(moment)
    costs = [float(cost) for cost in minutes["cost_usd"]]
    with st.grid(4, key="live"):
        _show(
            "Spending now",
            f"{usd(rate.usd_per_hour)}/h",
            costs,
            f"{usd(rate.estimated_usd_per_hour)}/h of it estimated" if rate.estimated_usd_per_hour else None,
        )
        _show("Requests a minute", count(rate.requests_per_minute), minutes["requests"].to_list())
        _show("Tokens a minute", count(rate.tokens_per_minute), minutes["tokens"].to_list())
        _show(
            "Last span",
            ago(rate.last_span, moment) if rate.last_span else "none today",
            None,
            many(rate.unpriced_calls, "call") + " without a price" if rate.unpriced_calls else None,
        )


def _show(label: str, value: str, minutes: Sequence[float] | None, remark: str | None = None) -> None:
    with st.container(border=True, height="stretch", gap="xsmall"):
        st.metric(label, value, markdown(remark) if remark else None, delta_color="off", delta_arrow="off")
        if minutes is not None:
            show_sparkline(minutes, f"{label}: the last {len(minutes)} minutes, now {value}.", BLUE)
