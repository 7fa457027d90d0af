"""The live strip: what is being spent now, redrawn every five seconds without the rest of the page."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final

import streamlit as st

from spanledger_analytics.live import Rate
from spanledger_dashboard.charts.colours import BLUE
from spanledger_dashboard.charts.mini import line
from spanledger_dashboard.data import now, shown_lake
from spanledger_dashboard.format import NO_PRICE, ago, count, many, markdown, usd
from spanledger_dashboard.health import troubles

from .kpis import show_picture
from .trouble import told

EVERY_S: Final = 5
NARROWEST_PX: Final = 150
"""Of a number: four stand beside each other on a small laptop, two on a phone."""


@st.fragment(run_every=EVERY_S)
def show_live() -> None:
    """Draw spend rate, requests and tokens a minute over the last five minutes, and whether everything comes in."""
    with told("live"):
        _show()


def _show() -> None:
    moment = now()
    lake = shown_lake()
    rate = lake.rate(moment)
    minutes = lake.minutes(moment)
    costs = [float(cost) for cost in minutes["cost_usd"]]
    estimated = rate.estimated_usd_per_hour
    with st.grid(4, key="live", min_column_width=NARROWEST_PX):
        _number("Spending now", _spending(rate), costs, f"{usd(estimated)}/h of it estimated", estimated)
        _number("Requests a minute", count(rate.requests_per_minute), minutes["requests"].to_list())
        _number("Tokens a minute", count(rate.tokens_per_minute), minutes["tokens"].to_list())
        _health(rate, moment, is_whole=lake.is_whole)


def _spending(rate: Rate) -> str:
    """Write the rate; of calls that all lack a price nothing is known."""
    return NO_PRICE if rate.calls and rate.calls == rate.unpriced_calls else f"{usd(rate.usd_per_hour)}/h"


def _number(label: str, value: str, minutes: Sequence[float], remark: str = "", shown: object = None) -> None:
    with st.container(border=True, height="stretch", gap="xsmall"):
        st.metric(label, value, markdown(remark) if shown else None, delta_color="off", delta_arrow="off")
        show_picture(line(minutes, BLUE), f"{label}: the last {len(minutes)} minutes, now {value}.")


def _health(rate: Rate, moment: datetime, *, is_whole: bool) -> None:
    with st.container(border=True, height="stretch", gap="xsmall"):
        st.metric("Last span", ago(rate.last_span, moment) if rate.last_span else "none today")
        said = troubles(rate.last_span, moment, is_whole=is_whole)
        if rate.unpriced_calls:
            said.append(f"{many(rate.unpriced_calls, 'call')} of the last minutes without a price")
        for one in said:
            st.markdown(f":small[:orange[{markdown(one[:1].upper() + one[1:], 200)}.]]")
        if not said:
            st.caption("All that came is in the lake.")
