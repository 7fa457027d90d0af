"""How much of the cost can be told by each tag: a bar from nothing to all of it, what names none left pale."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any, Final

import plotly.graph_objects as go

from spanledger_dashboard.format import figure_text, many, share, usd, usd_exact

from .colours import BLUE, GREY, PALE
from .layout import add_hit_rows, base

_ROOM: Final = 42
"""Percent of the whole, kept free for words."""


def coverage_figure(rows: Sequence[dict[str, Any]], whole: Decimal, calls: int, picked: str) -> go.Figure:
    """Draw rows of the report on tag coverage; `picked` is the tag that the page is about."""
    figure = base(30 * len(rows) + 16, bargap=0.36, barmode="overlay", showlegend=False)
    places = list(range(len(rows)))
    shares = [float(row["cost_share"] or 0) * 100 for row in rows]
    figure.add_bar(
        y=places,
        x=[100] * len(rows),
        orientation="h",
        marker={"color": PALE, "opacity": 0.45, "line": {"width": 0}},
        text=[_beside(row, whole) for row in rows],
        textposition="outside",
        cliponaxis=False,
        hoverinfo="skip",
    )
    colours = [BLUE if row["tag"] == picked else GREY for row in rows]
    figure.add_bar(y=places, x=shares, orientation="h", marker={"color": colours}, hoverinfo="skip")
    span = (0.0, 100.0 + _ROOM)
    add_hit_rows(figure, [""] * len(rows), [_hover(row, whole, calls) for row in rows], "x", span)
    figure.update_layout(xaxis={"visible": False, "range": span})
    figure.update_yaxes(
        tickvals=places,
        ticktext=[figure_text(row["tag"], 18) for row in rows],
        range=[len(rows) - 0.5, -0.5],
        showgrid=False,
        ticklabelstandoff=8,
    )
    return figure


def _beside(row: dict[str, Any], whole: Decimal) -> str:
    silent = whole - (row["cost_usd"] or Decimal(0))
    return f"{share(row['cost_usd'], whole)}  ·  {usd(silent)} not" if silent else "all of it"


def _hover(row: dict[str, Any], whole: Decimal, calls: int) -> str:
    silent = whole - (row["cost_usd"] or Decimal(0))
    lines = [
        f"<b>{figure_text(row['tag'])}</b>",
        f"named by {many(row['calls'], 'call')}: <b>{usd_exact(row['cost_usd'])}</b>",
        f"not by {many(calls - row['calls'], 'call')}: <b>{usd_exact(silent)}</b>",
        f"together {usd_exact(whole)}",
    ]
    return "<br>".join(lines)
