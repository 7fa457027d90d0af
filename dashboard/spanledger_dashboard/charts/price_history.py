"""What a model has cost over time: a step a change of price."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, Final

import plotly.graph_objects as go
import polars as pl

from spanledger_dashboard.format import figure_text, usd_exact

from .colours import BLUE, GREEN, GREY, ORANGE, SKY, VERMILLION
from .layout import base

_NAMES: Final = {
    "input_uncached_tokens": ("input", BLUE),
    "cache_read_tokens": ("cache read", SKY),
    "cache_write_5m_tokens": ("cache write, 5 minutes", GREEN),
    "cache_write_1h_tokens": ("cache write, 1 hour", "#007A5A"),
    "output_text_tokens": ("output", ORANGE),
    "reasoning_tokens": ("reasoning", VERMILLION),
}
"""Meter to its name and colour, those of a request's parts."""
_OPEN: Final = timedelta(days=90)
"""Drawn of what has held since ever, and of what is to hold from a day to come."""
_HEIGHT_PX: Final = 300


def meter_name(meter: str) -> str:
    """Return a meter in words."""
    return _NAMES[meter][0] if meter in _NAMES else meter.removesuffix("_tokens").replace("_", " ")


def changes(history: pl.DataFrame) -> pl.DataFrame:
    """Return those rows of a history (`price_list.history`) that can be drawn: by the million, whatever the hour."""
    return history.filter(pl.col("a_million") & (pl.col("when") == ""))


def price_figure(history: pl.DataFrame, now: datetime) -> go.Figure:
    """Draw `changes` as steps, dollars a million tokens; an open end is `now`, or after what is to come."""
    figure = base(_HEIGHT_PX)
    edges = [moment for name in ("starts_at", "ends_at") for moment in history[name].drop_nulls()]
    first = min(edges, default=now) - _OPEN
    last = now if max(edges, default=now) <= now else max(edges) + _OPEN
    for meter, rows in history.group_by("meter", maintain_order=True):
        name, colour = _NAMES.get(str(meter[0]), (meter_name(str(meter[0])), GREY))
        figure.add_scatter(
            name=name,
            mode="lines",
            line={"color": colour, "width": 2.5, "shape": "hv"},
            **_steps(rows.sort("starts_at", nulls_last=False), name, first, last),
        )
    figure.update_layout(yaxis={"tickprefix": "$", "rangemode": "tozero", "nticks": 6}, showlegend=True)
    return figure


def _steps(rows: pl.DataFrame, name: str, first: datetime, last: datetime) -> dict[str, Any]:
    along: list[datetime | None] = []
    prices: list[float | None] = []
    hovers: list[str] = []
    for row in rows.iter_rows(named=True):
        start, end = row["starts_at"] or first, row["ends_at"] or last
        if along and along[-1] is not None and along[-1] < start:
            along.append(None)  # nothing was charged by the book in between
            prices.append(None)
            hovers.append("")
        hover = f"<b>{usd_exact(row['price_usd'])}</b> a million {name}<br>{figure_text(row['price_id'])}"
        along += [start, end]
        prices += [float(row["price_usd"])] * 2
        hovers += [hover] * 2
    return {"x": along, "y": prices, "customdata": hovers, "hovertemplate": "%{customdata}<br>%{x}<extra></extra>"}
