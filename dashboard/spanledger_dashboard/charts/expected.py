"""A series by the hour with what was expected of it: the band that is ordinary, and the hours that are not."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, Final

import plotly.graph_objects as go
import polars as pl

from spanledger_dashboard.format import day_name, usd, usd_exact

from .colours import BLUE, GREY, RED
from .layout import TIMES, base

_HEIGHT_PX: Final = 320
_BAND: Final = "rgba(86, 180, 233, 0.25)"
_SHADE: Final = "rgba(217, 45, 32, 0.12)"
_HOUR: Final = timedelta(hours=1)


def expected_figure(frame: pl.DataFrame) -> go.Figure:
    """Draw the frame of the report `expected`: cost, the ordinary band, and each episode shaded."""
    figure = base(_HEIGHT_PX)
    rows = frame.to_dicts()
    judged = [row for row in rows if row["limit_usd"] is not None]
    for name, column, more in (
        ("expected", "expected_usd", {"line": {"color": GREY, "dash": "dot", "width": 1.5, "shape": "hvh"}}),
        (
            "still ordinary",
            "limit_usd",
            {"line": {"width": 0, "shape": "hvh"}, "fill": "tonexty", "fillcolor": _BAND},
        ),
    ):
        figure.add_scatter(
            name=name,
            x=[_clock(row["hour"]) for row in judged],
            y=[float(row[column]) for row in judged],
            mode="lines",
            hoverinfo="skip",
            **more,
        )
    figure.add_scatter(
        name="cost",
        x=[_clock(row["hour"]) for row in rows],
        y=[float(row["cost_usd"]) for row in rows],
        mode="lines",
        line={"color": BLUE, "width": 2, "shape": "hvh"},
        customdata=[[_hover(row)] for row in rows],
        hovertemplate="%{customdata[0]}<extra></extra>",
    )
    _add_episodes(figure, rows)
    figure.update_layout(xaxis=TIMES, yaxis={"tickprefix": "$", "rangemode": "tozero"})
    return figure


def _add_episodes(figure: go.Figure, rows: list[dict[str, Any]]) -> None:
    inside = [row for row in rows if row["episode"] is not None]
    figure.add_scatter(
        name="out of the ordinary",
        x=[_clock(row["hour"]) for row in inside],
        y=[float(row["cost_usd"]) for row in inside],
        mode="markers",
        marker={"color": RED, "size": 8},
        hoverinfo="skip",
    )
    for number in dict.fromkeys(row["episode"] for row in inside):
        hours = [row["hour"] for row in inside if row["episode"] == number]
        figure.add_shape(
            type="rect",
            yref="paper",
            y0=0,
            y1=1,
            x0=_clock(hours[0] - _HOUR / 2),
            x1=_clock(hours[-1] + _HOUR / 2),
            fillcolor=_SHADE,
            line={"width": 0},
            layer="below",
        )


def _clock(moment: datetime) -> str:
    """Write a moment as the clock of its zone has it; plotly knows no zones."""
    return f"{moment:%Y-%m-%d %H:%M}"


def _hover(row: dict[str, Any]) -> str:
    hour = row["hour"]
    lines = [f"<b>{day_name(hour.date())} {hour:%H:%M}</b>", f"<b>{usd_exact(row['cost_usd'])}</b>"]
    if row["expected_usd"] is not None:
        lines.append(f"expected {usd(row['expected_usd'])}")
    if row["limit_usd"] is not None:
        lines.append(f"out of the ordinary from {usd(row['limit_usd'])} on; score {row['score']:.1f}")
    return "<br>".join(lines)
