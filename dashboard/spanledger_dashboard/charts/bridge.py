"""The way from what was spent before to what is spent now: a bar for each part of the change, end to end."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final

import plotly.graph_objects as go

from spanledger_dashboard.format import share, usd, usd_exact

from .colours import BLUE, GREY, VERMILLION
from .layout import GRID, add_beside, add_hit_rows, base
from .movers import CAUSES, signed

_ROW_PX: Final = 36
_ROOM: Final = 0.24
"""Of the width, kept free for words."""


def bridge_figure(row: Mapping[str, Any]) -> go.Figure:
    """Draw a row of the report on movers whose change is known; parts that are nothing are left out."""
    parts = [(name, Decimal(row[name])) for name in CAUSES if row[name]]
    names = ["before", *(CAUSES[name] for name, _ in parts), "now"]
    costs = [Decimal(row["cost_before_usd"]), *(part for _, part in parts), Decimal(row["cost_usd"])]
    starts = _starts(costs)
    figure = base(_ROW_PX * len(names) + 16, barmode="overlay", bargap=0.34, showlegend=False)
    places = list(range(len(names)))
    ends = [float(start + cost) for start, cost in zip(starts, costs, strict=True)]
    figure.add_bar(
        y=places,
        x=[float(cost) for cost in costs],
        base=[float(start) for start in starts],
        orientation="h",
        marker={"color": [GREY, *(VERMILLION if part > 0 else BLUE for _, part in parts), GREY], "line": {"width": 0}},
        hoverinfo="skip",
    )
    tips = [max(float(start), end) for start, end in zip(starts, ends, strict=True)]
    add_beside(figure, tips, places, [f"  {_beside(place, cost, len(costs))}" for place, cost in enumerate(costs)])
    for place, end in enumerate(ends[:-1]):
        figure.add_shape(
            type="line", x0=end, x1=end, y0=place, y1=place + 1, line={"color": GREY, "width": 1, "dash": "dot"}
        )
    low = min(0.0, *map(float, starts), *ends)
    span = (low, (max(tips) - low) / (1 - _ROOM) + low or 1.0)
    hovers = [
        _hover(name, cost, place, row, len(costs)) for place, (name, cost) in enumerate(zip(names, costs, strict=True))
    ]
    add_hit_rows(figure, [""] * len(names), hovers, "x", span)
    figure.update_layout(
        xaxis={"showticklabels": False, "range": span, "showgrid": True, "gridcolor": GRID, "zeroline": True}
    )
    figure.update_yaxes(
        tickvals=places, ticktext=names, range=[len(names) - 0.5, -0.5], showgrid=False, ticklabelstandoff=8
    )
    return figure


def _starts(costs: list[Decimal]) -> list[Decimal]:
    """Return where each bar begins: both ends at nothing, each part where the one before it ended."""
    starts, reached = [Decimal(0)], costs[0]
    for part in costs[1:-1]:
        starts.append(reached)
        reached += part
    return [*starts, Decimal(0)]


def _beside(place: int, cost: Decimal, count: int) -> str:
    return usd(cost) if place in (0, count - 1) else signed(cost)


def _hover(name: str, cost: Decimal, place: int, row: Mapping[str, Any], count: int) -> str:
    if place in (0, count - 1):
        return f"<b>{name}</b><br><b>{usd_exact(cost)}</b>"
    part = share(abs(cost), row["cost_before_usd"])
    return f"<b>{name}</b><br><b>{usd_exact(cost)}</b> · {part} of what was spent before"
