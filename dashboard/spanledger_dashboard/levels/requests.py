"""Level four: the requests of one user, dearest first."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any, Final

import polars as pl
import streamlit as st

from spanledger_analytics.spend import cost_of, doubts, sum_of
from spanledger_dashboard import headlines
from spanledger_dashboard.components.figure import Columns, show_table
from spanledger_dashboard.components.heading import show_heading
from spanledger_dashboard.components.kpis import Kpi, show_kpis
from spanledger_dashboard.data import Lake
from spanledger_dashboard.format import count, duration, share, usd, usd_exact, visible
from spanledger_dashboard.state import View, go

_ROW_PX: Final = 36
_MOST_ROWS: Final = 14


def show(view: View, day: date, user: str, lake: Lake) -> None:
    """Draw a user's requests as a table; picking a row goes to the trace."""
    requests = lake.requests(day, view.hour, user, view.filters)
    show_heading(
        headlines.user(user, requests),
        "One row a request (trace), dearest first. Pick a row to see its steps.",
        doubts(requests),
    )
    if not requests.height:
        above = view.at_day(day) if view.hour is None else view.at_hour(view.hour)
        st.button("Up one level", on_click=go, args=(above,))
        return
    _kpis(requests, cost_of(lake.users(day, view.hour, view.filters)))

    def picked() -> None:
        selection = st.session_state["requests"].selection
        rows = [*selection.rows, *(row for row, _ in selection.cells)]
        if rows:
            go(view.at_trace(requests["trace_id"][rows[0]]))

    st.dataframe(
        _table(requests),
        key="requests",
        on_select=picked,
        selection_mode=["single-row", "single-cell"],
        hide_index=True,
        row_height=_ROW_PX,
        height=_ROW_PX * (min(requests.height, _MOST_ROWS) + 1) + 2,
        column_config=_columns(max((cost for cost in requests["cost_usd"] if cost is not None), default=Decimal(0))),
        alt=f"Requests of {headlines.person(user)}, dearest first.",
    )
    show_table(requests, key="requests-all", query="requests")


def _kpis(requests: pl.DataFrame, whole: Decimal | None) -> None:
    cost, dearest = cost_of(requests), requests["cost_usd"][0]
    each = cost / requests.height if cost is not None else None
    of_these = f"{share(dearest, cost)} of these"
    show_kpis(
        [
            Kpi("Cost", usd(cost), None, f"{share(cost, whole)} of all users here", usd_exact(cost)),
            Kpi("Requests", count(requests.height), None, f"{count(sum_of(requests, 'calls'))} LLM calls"),
            Kpi("Cost per request", usd(each)),
            Kpi("Dearest request", usd(dearest), None, of_these, usd_exact(dearest)),
        ]
    )


def _table(requests: pl.DataFrame) -> pl.DataFrame:
    return pl.DataFrame([_row(row) for row in requests.iter_rows(named=True)], infer_schema_length=None)


def _row(row: dict[str, Any]) -> dict[str, object]:
    return {
        "cost": row["cost_usd"],
        "of dearest": float(row["cost_usd"] or 0),
        "started": row["started"].replace(tzinfo=None),
        "request": visible(row["name"] or "(no name)"),
        "feature": visible(row["feature"] or ""),
        "models": ", ".join(visible(model, 40) or "(no model)" for model in row["models"]),
        "calls": row["calls"],
        "input": row["input_tokens"],
        "output": row["output_tokens"],
        "took": duration(row["duration_us"]),
        "state": _state(row["errors"], row["unpriced_calls"], row["estimated_calls"]),
    }


def _state(errors: int, unpriced: int, estimated: int) -> str:
    said = {"failed": errors, "unpriced": unpriced, "estimated": estimated}
    return ", ".join(f"{calls} {word}" for word, calls in said.items() if calls)


def _columns(dearest: Decimal) -> Columns:
    column = st.column_config
    bar_end = float(dearest) or 1.0
    return {
        "cost": column.NumberColumn("cost, USD", format="%.4f", width="small"),
        "of dearest": column.ProgressColumn("", format=" ", min_value=0, max_value=bar_end, width="small"),
        "started": column.DatetimeColumn("started, UTC", format="HH:mm:ss", width="small"),
        "calls": column.NumberColumn("calls", width="small"),
        "input": column.NumberColumn("tokens in", format="localized", width="small"),
        "output": column.NumberColumn("tokens out", format="localized", width="small"),
    }
