"""What a request cost before a moment and after it, and how sure the change is."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any, Final

import plotly.graph_objects as go

from spanledger_dashboard.format import many, usd, usd_exact

from .colours import BLUE, GREY, ORANGE
from .layout import GRID, base

NAMES: Final = {"asked": "these calls", "control": "control", "difference": "the difference"}
COLOURS: Final = {"asked": BLUE, "control": GREY, "difference": ORANGE}
_HEIGHT_PX: Final = 250
_PLACES: Final = 5
"""Decimals of what a request costs."""


def levels_figure(rows: Sequence[dict[str, Any]]) -> go.Figure:
    """Draw what a request cost before and after, a line a group."""
    figure = base(_HEIGHT_PX, showlegend=False, margin={"l": 4, "r": 8, "t": 20, "b": 4})
    for row in rows:
        if row["group"] not in ("asked", "control"):
            continue
        costs = [row["per_request_before_usd"], row["per_request_usd"]]
        counts = [row["requests_before"], row["requests"]]
        figure.add_scatter(
            x=[0, 1],
            y=[float(cost) for cost in costs],
            mode="lines+markers+text",
            line={"color": COLOURS[row["group"]], "width": 2.5, "dash": "solid" if row["group"] == "asked" else "dot"},
            marker={"size": 10},
            text=[f"{usd(costs[0], _PLACES)}  ", f"  {NAMES[row['group']]} {usd(costs[1], _PLACES)}"],
            textposition=["middle left", "middle right"],
            cliponaxis=False,
            customdata=[
                [f"{when}: {usd_exact(cost)} a request, of {many(count, 'request')}"]
                for when, cost, count in zip(("before", "after"), costs, counts, strict=True)
            ],
            hovertemplate=f"<b>{NAMES[row['group']]}</b><br>%{{customdata[0]}}<extra></extra>",
        )
    figure.update_layout(
        xaxis={"range": [-0.5, 1.9], "tickvals": [0, 1], "ticktext": ["before", "after"]},
        yaxis={"rangemode": "tozero", "visible": False},
    )
    return figure


def intervals_figure(rows: Sequence[dict[str, Any]]) -> go.Figure:
    """Draw the change of a request's cost with its interval, a row a group; the line is no change."""
    figure = base(_HEIGHT_PX, showlegend=False, margin={"l": 4, "r": 8, "t": 20, "b": 4})
    for place, row in enumerate(rows):
        colour = COLOURS[row["group"]]
        if row["low_usd"] is not None:
            figure.add_scatter(
                x=[float(row["low_usd"]), float(row["high_usd"])],
                y=[place, place],
                mode="lines",
                line={"color": colour, "width": 8},
                opacity=0.4,
                hoverinfo="skip",
            )
        figure.add_scatter(
            x=[float(row["per_request_change_usd"])],
            y=[place],
            mode="markers+text",
            marker={"color": colour, "size": 13},
            text=[signed(row["per_request_change_usd"])],
            textposition="top center",
            cliponaxis=False,
            customdata=[[_hover(row)]],
            hovertemplate="%{customdata[0]}<extra></extra>",
        )
    figure.update_layout(
        xaxis={
            "tickprefix": "$",
            "nticks": 5,
            "showgrid": True,
            "gridcolor": GRID,
            "zeroline": True,
            "zerolinecolor": GREY,
            "zerolinewidth": 2,
        }
    )
    figure.update_yaxes(
        tickvals=list(range(len(rows))),
        ticktext=[NAMES[row["group"]] for row in rows],
        range=[len(rows) - 0.5, -0.6],
        showgrid=False,
        ticklabelstandoff=8,
    )
    return figure


def signed(amount: Decimal) -> str:
    """Write a change of what a request costs."""
    return f"{'+' if amount > 0 else ''}{usd(amount, _PLACES)}"


def _hover(row: dict[str, Any]) -> str:
    change = f"<b>{NAMES[row['group']]}</b><br><b>{usd_exact(row['per_request_change_usd'])}</b> a request"
    if row["low_usd"] is None:
        return f"{change}<br>too few for an interval"
    return f"{change}<br>95 %: {usd_exact(row['low_usd'])} to {usd_exact(row['high_usd'])}"
