"""Two slices beside each other: of each value what the one and the other cost."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any, Final

import plotly.graph_objects as go

from spanledger_dashboard.format import figure_text, many, usd, usd_exact

from .colours import BLUE, ORANGE
from .layout import add_hit_rows, base

_ROW_PX: Final = 48
_ROOM: Final = 0.16
_APART: Final = 0.19


def sides_figure(rows: Sequence[dict[str, Any]], by: str, nameless: str, one: str, other: str) -> go.Figure:
    """Draw rows of the report on comparison, the slices named `one` and `other` (plain text)."""
    figure = base(_ROW_PX * len(rows) + 56, barmode="overlay")
    places = list(range(len(rows)))
    sides = (("cost_usd", one, BLUE, -_APART), ("cost_before_usd", other, ORANGE, _APART))
    for column, name, colour, shift in sides:
        figure.add_bar(
            name=figure_text(name, 40),
            y=[place + shift for place in places],
            x=[float(row[column] or 0) for row in rows],
            orientation="h",
            width=0.34,
            marker={"color": colour, "line": {"width": 0}},
            text=[usd(row[column]) if row[column] != 0 else "" for row in rows],
            textposition="outside",
            cliponaxis=False,
            hoverinfo="skip",
        )
    longest = max((row[column] or Decimal(0) for row in rows for column, *_ in sides), default=Decimal(0))
    span = (0.0, float(longest) / (1 - _ROOM) or 1.0)
    hovers = [_hover(row, row[by] or nameless, one, other) for row in rows]
    add_hit_rows(figure, [row[by] or "" for row in rows], hovers, "x", span)
    figure.update_layout(xaxis={"visible": False, "range": span})
    figure.update_yaxes(
        tickvals=places,
        ticktext=[figure_text(row[by] or nameless, 24) for row in rows],
        range=[len(rows) - 0.5, -0.5],
        showgrid=False,
        ticklabelstandoff=8,
    )
    return figure


def _hover(row: dict[str, Any], name: str, one: str, other: str) -> str:
    sides = ((one, "cost_usd", "calls"), (other, "cost_before_usd", "calls_before"))
    lines = [
        f"{figure_text(side, 40)}: <b>{usd_exact(row[cost])}</b> of {many(row[calls], 'call')}"
        for side, cost, calls in sides
    ]
    return "<br>".join([f"<b>{figure_text(name)}</b>", *lines])
