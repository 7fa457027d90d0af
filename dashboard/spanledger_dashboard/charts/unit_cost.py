"""What a unit of work costs: a success with its interval where outcomes are known, else a request."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any, Final

import plotly.graph_objects as go

from spanledger_dashboard.format import figure_text, many, share, usd, usd_exact

from .colours import BLUE, GREY, PALE
from .layout import add_beside, add_hit_rows, base

_ROOM: Final = 0.36
"""Of the width, kept free for words."""
_ROW_PX: Final = 34
_FARTHEST: Final = 1.5
"""Times the longest bar that a whisker may reach; of few successes it has hardly an end."""


def unit_cost_figure(rows: Sequence[dict[str, Any]], by: str, nameless: str) -> go.Figure:
    """Draw rows of the report on unit cost (all columns), in their order."""
    figure = base(_ROW_PX * len(rows) + 16, barmode="overlay", bargap=0.4, showlegend=False)
    places = list(range(len(rows)))
    unit = [row["success_usd"] if row["success_usd"] is not None else row["request_usd"] for row in rows]
    costs = [float(cost or 0) for cost in unit]
    farthest = max(costs, default=0.0) * _FARTHEST
    ends = [min(_end(row["high_usd"], cost), farthest) for row, cost in zip(rows, costs, strict=True)]
    starts = [_end(row["low_usd"], cost) for row, cost in zip(rows, costs, strict=True)]
    figure.add_bar(
        y=places,
        x=costs,
        orientation="h",
        marker={"color": [BLUE if row["success_usd"] is not None else PALE for row in rows], "line": {"width": 0}},
        error_x={
            "type": "data",
            "symmetric": False,
            "array": [end - cost for end, cost in zip(ends, costs, strict=True)],
            "arrayminus": [cost - start for start, cost in zip(starts, costs, strict=True)],
            "color": GREY,
            "thickness": 1.5,
            "width": 5,
        },
        hoverinfo="skip",
    )
    add_beside(
        figure, [max(pair) for pair in zip(ends, costs, strict=True)], places, [f"   {_beside(row)}" for row in rows]
    )
    span = (0.0, max([*ends, *costs], default=0.0) / (1 - _ROOM) or 1.0)
    names = [row[by] or nameless for row in rows]
    add_hit_rows(figure, [row[by] or "" for row in rows], list(map(_hover, rows, names)), "x", span)
    figure.update_layout(xaxis={"visible": False, "range": span})
    figure.update_yaxes(
        tickvals=places,
        ticktext=[figure_text(name, 24) for name in names],
        range=[len(rows) - 0.5, -0.5],
        showgrid=False,
        ticklabelstandoff=8,
    )
    return figure


def _end(end: Decimal | None, cost: float) -> float:
    """Return where a whisker ends: with the bar, where no end is known."""
    return cost if end is None else float(end)


def _beside(row: dict[str, Any]) -> str:
    if row["success_usd"] is None:
        return f"{usd(row['request_usd'])} a request"
    decided = row["successes"] + row["failures"] + row["silent"]
    return f"{usd(row['success_usd'])}  ·  {share(row['successes'], decided)}"


def _hover(row: dict[str, Any], name: str) -> str:
    lines = [f"<b>{figure_text(name)}</b>, {usd_exact(row['cost_usd'])} in all"]
    if row["success_usd"] is not None:
        lines.append(f"a success <b>{usd(row['success_usd'], 6)}</b>{_interval(row)}")
    units = (("a session", "session_usd"), ("a request", "request_usd"), ("a call", "call_usd"))
    lines += [f"{unit} <b>{usd(row[column], 6)}</b>" for unit, column in units]
    states = ("successes", "failures", "silent", "undecided")
    lines.append(", ".join(f"{row[state]:,} {state}" for state in states))
    if row["unpriced_calls"]:
        lines.append(f"{many(row['unpriced_calls'], 'call')} without a price")
    return "<br>".join(lines)


def _interval(row: dict[str, Any]) -> str:
    if row["low_usd"] is None:
        return ", too few for an interval"
    return f", 95 %: {usd(row['low_usd'], 6)} to {usd(row['high_usd'], 6) if row['high_usd'] is not None else 'no end'}"
