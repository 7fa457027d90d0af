"""The live strip: what is being spent now, redrawn every five seconds without the rest of the page."""

from __future__ import annotations

from typing import Final

import streamlit as st

from spanledger.lake_path import LakePath
from spanledger_dashboard.data import Lake, now
from spanledger_dashboard.format import ago, count, many, markdown, usd

EVERY_S: Final = 5


@st.fragment(run_every=EVERY_S)
def show_live(path: LakePath) -> None:
    """Draw spend rate, requests and tokens a minute over the last five minutes, and the age of the last span."""
    moment = now()
    lake = Lake(path)
    rate = lake.rate(moment)
    minutes = lake.minutes(moment)
    with st.grid(4, key="live"):
        st.metric(
            "Spending now",
            f"{usd(rate.usd_per_hour)}/h",
            markdown(f"{usd(rate.estimated_usd_per_hour)}/h of it estimated") if rate.estimated_usd_per_hour else None,
            delta_color="off",
            delta_arrow="off",
            border=True,
            chart_data=[float(cost) for cost in minutes["cost_usd"]],
            chart_type="area",
            height="stretch",
        )
        st.metric(
            "Requests a minute",
            count(rate.requests_per_minute),
            border=True,
            chart_data=minutes["requests"].to_list(),
            chart_type="bar",
            height="stretch",
        )
        st.metric(
            "Tokens a minute",
            count(rate.tokens_per_minute),
            border=True,
            chart_data=minutes["tokens"].to_list(),
            chart_type="area",
            height="stretch",
        )
        st.metric(
            "Last span",
            ago(rate.last_span, moment) if rate.last_span else "none today",
            many(rate.unpriced_calls, "call") + " without a price" if rate.unpriced_calls else None,
            delta_color="off",
            delta_arrow="off",
            border=True,
            height="stretch",
        )
