"""Revenue with cost laid over it: what is left of the bar is margin; what sticks out is loss."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any, Final

import plotly.graph_objects as go

from spanledger_dashboard.format import figure_text, many, usd, usd_exact

from .colours import BLUE, PALE, RED
from .layout import add_beside, add_hit_rows, base

_ROOM: Final = 0.34
"""Of the width, kept free for words."""


def margins_figure(rows: Sequence[dict[str, Any]], by: str) -> go.Figure:
    """Draw rows of the report on margin that name one, with revenue and a known cost."""
    figure = base(34 * len(rows) + 48, barmode="overlay", bargap=0.3)
    places = list(range(len(rows)))
    revenue, cost = ([float(row[name]) for row in rows] for name in ("revenue_usd", "cost_usd"))
    longest = max([*revenue, *cost], default=0.0)
    figure.add_bar(
        name="revenue",
        y=places,
        x=revenue,
        orientation="h",
        marker={"color": PALE, "line": {"width": 0}},
        hoverinfo="skip",
    )
    for name, colour, wanted in (("cost", BLUE, False), ("cost above revenue", RED, True)):
        lost = [row["margin_usd"] < 0 for row in rows]
        if wanted in lost:
            figure.add_bar(
                name=name,
                y=[place for place in places if lost[place] == wanted],
                x=[cost[place] for place in places if lost[place] == wanted],
                orientation="h",
                width=0.34,
                marker={"color": colour, "line": {"width": 0}},
                hoverinfo="skip",
            )
    add_beside(
        figure, [max(pair) for pair in zip(revenue, cost, strict=True)], places, [f"  {_beside(row)}" for row in rows]
    )
    span = (0.0, longest / (1 - _ROOM) or 1.0)
    hovers = [_hover(row, row[by]) for row in rows]
    add_hit_rows(figure, [row[by] for row in rows], hovers, "x", span)
    figure.update_layout(xaxis={"visible": False, "range": span})
    figure.update_yaxes(
        tickvals=places,
        ticktext=[figure_text(row[by], 24) for row in rows],
        range=[len(rows) - 0.5, -0.5],
        showgrid=False,
        ticklabelstandoff=8,
    )
    return figure


def _beside(row: dict[str, Any]) -> str:
    part = row["margin_share"]
    percent = "" if part is None else f"  ·  {_percent(part)}"
    return f"{usd(row['margin_usd'])}{percent}"


def _percent(part: Decimal) -> str:
    return f"{part * 100:.0f} %"


def _hover(row: dict[str, Any], name: str) -> str:
    lines = [
        f"<b>{figure_text(name)}</b>",
        f"revenue <b>{usd_exact(row['revenue_usd'])}</b>",
        f"cost <b>{usd_exact(row['cost_usd'])}</b> of {many(row['calls'], 'call')}",
        f"margin <b>{usd_exact(row['margin_usd'])}</b>",
    ]
    if row["unpriced_calls"]:
        lines.append(f"{many(row['unpriced_calls'], 'call')} without a price: the margin is too high by what they cost")
    return "<br>".join(lines)
