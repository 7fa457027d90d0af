"""How a conversation grows: tokens that a call sends, and what all calls cost, by its number in the conversation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import plotly.graph_objects as go
import polars as pl

from spanledger_dashboard.format import many, share, usd_exact

from .colours import BLUE, GREEN, GREY, VERMILLION
from .layout import base

_HEIGHT_PX: Final = 260


def sent_figure(frame: pl.DataFrame) -> go.Figure:
    """Draw the tokens that a call sends on average (frame of the report `growth`), history and new text apart.

    Where no call of a step has fingerprints its tokens are not told apart.
    """
    rows = frame.to_dicts()
    figure = base(_HEIGHT_PX, bargap=0.16)
    for name, colour, tokens in (
        (
            "new",
            GREEN,
            [_tokens(row, None if row["history_share"] is None else 1 - row["history_share"]) for row in rows],
        ),
        ("history, sent again", VERMILLION, [_tokens(row, row["history_share"]) for row in rows]),
        ("not told apart", GREY, [row["input_tokens"] if row["history_share"] is None else 0 for row in rows]),
    ):
        if any(tokens):
            _add(figure, rows, tokens, name, colour)
    _steps(figure, rows, "tokens")
    return figure


def paid_figure(frame: pl.DataFrame) -> go.Figure:
    """Draw what all calls of each step cost."""
    rows = frame.to_dicts()
    figure = base(_HEIGHT_PX, bargap=0.16)
    _add(figure, rows, [float(row["cost_usd"] or 0) for row in rows], "cost", BLUE)
    _steps(figure, rows, "dollars")
    figure.update_layout(showlegend=False, yaxis={"tickprefix": "$"})
    return figure


def _tokens(row: Mapping[str, Any], part: Any) -> int:
    return 0 if part is None else round(row["input_tokens"] * part)


def _add(
    figure: go.Figure, rows: Sequence[Mapping[str, Any]], heights: Sequence[float], name: str, colour: str
) -> None:
    figure.add_bar(
        name=name,
        x=[row["step"] for row in rows],
        y=list(heights),
        marker={"color": colour, "line": {"width": 0}},
        customdata=[[_hover(row)] for row in rows],
        hovertemplate="%{customdata[0]}<extra></extra>",
    )


def _steps(figure: go.Figure, rows: Sequence[Mapping[str, Any]], unit: str) -> None:
    steps = [row["step"] for row in rows]
    every = max(1, len(steps) // 10)
    figure.update_layout(
        xaxis={"title": {"text": "call of a conversation"}, "tickvals": steps[::every]},
        yaxis={"title": {"text": unit}, "rangemode": "tozero", "nticks": 5},
    )


def _hover(row: Mapping[str, Any]) -> str:
    lines = [
        f"<b>call {row['step']}</b> · {many(row['calls'], 'call')}",
        f"{row['input_tokens']:,} tokens in each",
        f"{usd_exact(row['cost_usd'])} in all · {usd_exact(row['call_usd'])} each",
    ]
    if row["grown_tokens"] is not None:
        lines.append(f"{row['grown_tokens']:+,} tokens on the call before")
    if row["history_share"] is not None:
        lines.append(f"{share(row['history_share'], 1)} of it had been sent before")
    return "<br>".join(lines)
