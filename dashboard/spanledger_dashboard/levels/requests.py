"""Level four: the requests of one user, dearest first."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from decimal import Decimal
from typing import Any, Final

import polars as pl
import streamlit as st

from spanledger_analytics.spend import cost_of, cost_per_request, doubts, sum_of
from spanledger_dashboard import headlines
from spanledger_dashboard.components.figure import Columns, show_table
from spanledger_dashboard.components.heading import show_heading
from spanledger_dashboard.components.kpis import Kpi, show_kpis
from spanledger_dashboard.components.place import show_ways_on
from spanledger_dashboard.components.way import MOST, Way
from spanledger_dashboard.data import Lake, at_once
from spanledger_dashboard.format import button_text, count, duration, share, times, usd, usd_exact, visible
from spanledger_dashboard.state import View, go, while_here

_ROW_PX: Final = 36
_MOST_ROWS: Final = 14
_OPENED: Final = "request-opened"


def show(view: View, day: date, user: str, lake: Lake) -> Way | None:
    """Draw a user's requests as a table and return the way down; picking one goes to the trace.

    By its name at once; of a click elsewhere in the row Streamlit tells after 150 ms.
    """
    requests, users = at_once(
        lambda: lake.requests(day, view.hour, user, view.filters),
        lambda: lake.users(day, view.hour, view.filters),
    )
    shown = requests.head(MOST)
    more = f" The {MOST:,} dearest of {requests.height:,}." if requests.height > MOST else ""
    show_heading(
        headlines.user(user, requests),
        f"One row a request (trace), dearest first. Pick one to see its steps.{more}",
        doubts(requests),
    )
    if not requests.height:
        above = view.at_day(day) if view.hour is None else view.at_hour(view.hour)
        show_ways_on(view, "Up one level", above)
        return None
    _kpis(requests, users)

    def picked() -> None:
        selection = st.session_state["requests"].selection
        rows = [*selection.rows, *(row for row, _ in selection.cells)]
        if rows:
            go(view.at_trace(shown["trace_id"][rows[0]]))

    def opened() -> None:
        go(view.at_trace(shown["trace_id"][st.session_state[_OPENED].row]))

    st.dataframe(
        _table(shown),
        key="requests",
        on_select=while_here(picked),
        selection_mode=["single-row", "single-cell"],
        hide_index=True,
        row_height=_ROW_PX,
        height=_ROW_PX * (min(shown.height, _MOST_ROWS) + 1) + 2,
        column_config=_columns(
            max((cost for cost in requests["cost_usd"] if cost is not None), default=Decimal(0)), opened
        ),
        alt=f"Requests of {headlines.person(user)}, dearest first.",
    )
    show_table(requests, key="requests-all", query="requests")
    places = {
        row[
            "trace_id"
        ]: f"{usd(row['cost_usd'])}  ·  {row['started']:%H:%M:%S}  ·  {visible(row['name'] or '(no name)', 40)}"
        for row in shown.iter_rows(named=True)
    }
    return Way("a request", places, lambda trace: go(view.at_trace(trace)))


def _kpis(requests: pl.DataFrame, users: pl.DataFrame) -> None:
    cost, dearest = cost_of(requests), requests["cost_usd"][0]
    each, usual, whole = cost_per_request(requests.with_columns(requests=1)), cost_per_request(users), cost_of(users)
    against = f"{times(float(each / usual))} all users' {usd(usual)}" if each and usual else None
    of_these = f"{share(dearest, cost)} of these"
    show_kpis(
        [
            Kpi("Cost", usd(cost), None, f"{share(cost, whole)} of all users here", usd_exact(cost)),
            Kpi("Requests", count(requests.height), None, f"{count(sum_of(requests, 'calls'))} LLM calls"),
            Kpi("Cost per request", usd(each), None, against),
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
        "request": button_text(row["name"] or "(no name)"),
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


def _columns(dearest: Decimal, opened: Callable[[], None]) -> Columns:
    column = st.column_config
    bar_end = float(dearest) or 1.0
    return {
        "cost": column.NumberColumn("cost, USD", format="%.4f", width="small"),
        "of dearest": column.ProgressColumn("", format=" ", min_value=0, max_value=bar_end, width=60),
        "started": column.DatetimeColumn("started, UTC", format="HH:mm:ss", width="small"),
        "request": column.ButtonColumn("request", alignment="left", type="tertiary", on_click=opened, key=_OPENED),
        "calls": column.NumberColumn("calls", width="small"),
        "input": column.NumberColumn("tokens in", format="localized", width="small"),
        "output": column.NumberColumn("tokens out", format="localized", width="small"),
    }
