"""Level four: the requests of one user, dearest first."""

from __future__ import annotations

from decimal import Decimal

import polars as pl
import streamlit as st

from .. import headlines
from ..components.figure import show_table
from ..components.heading import show_heading
from ..components.kpis import Kpi, show_kpis, show_unpriced
from ..data import Lake
from ..format import count, duration, share, usd, usd_exact, visible
from ..state import View, go

_ROW_PX = 36
_MOST_ROWS = 14


def show(view: View, lake: Lake) -> None:
    """Draw a user's requests as a table; picking a row goes to the trace."""
    assert view.user is not None
    requests = lake.ask("requests", view.day, view.hour, view.user, view.filters)
    users = lake.ask("users", view.day, view.hour, view.filters)
    show_heading(
        headlines.user(view.user, requests), "One row a request (trace), dearest first. Pick a row to see its steps."
    )
    if not requests.height:
        st.button("Up one level", on_click=go, args=(_above(view),))
        return
    show_unpriced(int(requests["unpriced_calls"].sum()))
    _kpis(requests, headlines.total(users))

    def picked() -> None:
        rows = st.session_state["requests"].selection.rows
        if rows:
            go(view.at_trace(requests["trace_id"][rows[0]]))

    st.dataframe(
        _table(requests),
        key="requests",
        on_select=picked,
        selection_mode="single-row",
        hide_index=True,
        row_height=_ROW_PX,
        height=_ROW_PX * (min(requests.height, _MOST_ROWS) + 1) + 2,
        column_config=_columns(requests),
        alt=f"Requests of {headlines.person(view.user)}, dearest first.",
    )
    show_table(requests, key="requests-all", query="requests")


def _above(view: View) -> View:
    assert view.day is not None
    return view.at_day(view.day) if view.hour is None else view.at_hour(view.hour)


def _kpis(requests: pl.DataFrame, whole: Decimal | None) -> None:
    cost = headlines.total(requests)
    dearest = requests.row(0, named=True)
    show_kpis(
        [
            Kpi("Cost", usd(cost), None, f"{share(cost, whole)} of all users here", usd_exact(cost)),
            Kpi("Requests", count(requests.height), None, f"{count(requests['calls'].sum())} LLM calls"),
            Kpi("Cost per request", usd(cost / requests.height if cost is not None else None)),
            Kpi("Dearest request", usd(dearest["cost_usd"]), None, f"{share(dearest['cost_usd'], cost)} of these", usd_exact(dearest["cost_usd"])),
        ]
    )  # fmt: skip


def _table(requests: pl.DataFrame) -> pl.DataFrame:
    rows = requests.iter_rows(named=True)
    return pl.DataFrame(
        [
            {
                "cost": row["cost_usd"],
                "share": float(row["cost_usd"] or 0),
                "started": row["started"].replace(tzinfo=None),
                "request": visible(row["name"] or "(no name)"),
                "feature": visible(row["feature"]) if row["feature"] else "",
                "models": ", ".join(visible(model, 40) or "(no model)" for model in row["models"]),
                "calls": row["calls"],
                "input": row["input_tokens"],
                "output": row["output_tokens"],
                "took": duration(row["duration_us"]),
                "state": _state(row["errors"], row["unpriced_calls"]),
            }
            for row in rows
        ],
        infer_schema_length=None,
    )


def _state(errors: int, unpriced: int) -> str:
    words = [f"{errors} failed"] if errors else []
    return ", ".join([*words, f"{unpriced} unpriced"] if unpriced else words)


def _columns(requests: pl.DataFrame) -> dict[str, object]:
    dearest = float(requests["cost_usd"].max() or 0)  # type: ignore[arg-type]
    column = st.column_config
    return {
        "cost": column.NumberColumn("cost, USD", format="%.4f", width="small"),
        "share": column.ProgressColumn("", format=" ", min_value=0, max_value=dearest or 1, width="small"),
        "started": column.DatetimeColumn("started, UTC", format="HH:mm:ss", width="small"),
        "calls": column.NumberColumn("calls", width="small"),
        "input": column.NumberColumn("tokens in", format="localized", width="small"),
        "output": column.NumberColumn("tokens out", format="localized", width="small"),
    }
