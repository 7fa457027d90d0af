"""What the dollars of a request were for (report `drivers`): a bar a part, with what had been sent before apart."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import plotly.graph_objects as go
import polars as pl

from spanledger_dashboard.format import count, many, share, usd, usd_exact

from .colours import GREEN, GREY, PALE, RED, VERMILLION
from .layout import add_beside, base

NAMES: Final[Mapping[str, str]] = {
    "tool_definitions": "tool definitions",
    "system_prompt": "system prompt",
    "history": "history, sent again",
    "tool_results": "new tool results",
    "user_text": "new text",
    "unknown": "input, not told apart",
    "cache_premium": "cache writes, beyond input",
    "reasoning": "reasoning",
    "output": "answers",
    "fees": "searches and fees",
    "failed_calls": "failed calls, paid",
}
"""Part to what a reader calls it."""
_COLOURS: Final[Mapping[str, str]] = {
    **dict.fromkeys(("tool_definitions", "system_prompt", "history", "tool_results", "user_text"), GREEN),
    **dict.fromkeys(("reasoning", "output"), PALE),
    "failed_calls": RED,
}
AGAIN: Final = "sent again in this request"
_KINDS: Final = {GREEN: "sent the first time", PALE: "answered", RED: "failed", GREY: "other"}
_ROW_PX: Final = 30
_ROOM: Final = 0.42
"""Part of the width that is kept free for words."""


def drivers_height(rows: int) -> int:
    """Return how high (px) the figure of so many parts is."""
    return _ROW_PX * rows + 56


def drivers_figure(frame: pl.DataFrame) -> go.Figure:
    """Draw the frame of the report `drivers` without `by`, dearest part first."""
    rows = frame.to_dicts()
    figure = base(drivers_height(len(rows)), bargap=0.34)
    places = list(range(len(rows)))
    for colour, name in {**_KINDS, VERMILLION: AGAIN}.items():
        lengths = [_length(row, colour) for row in rows]
        if any(lengths):
            figure.add_bar(
                name=name,
                y=places,
                x=lengths,
                orientation="h",
                marker={"color": colour, "line": {"width": 0}},
                customdata=[[_hover(row)] for row in rows],
                hovertemplate="%{customdata[0]}<extra></extra>",
            )
    _add_words(figure, rows, places)
    return figure


def _length(row: Mapping[str, Any], colour: str) -> float:
    """Return how much of a part has a colour; money becomes a float here, where it becomes a length."""
    again = row["again_usd"] or 0
    if colour == VERMILLION:
        return float(again)
    return float((row["cost_usd"] or 0) - again) if colour == _COLOURS.get(row["part"], GREY) else 0.0


def _add_words(figure: go.Figure, rows: list[dict[str, Any]], places: list[int]) -> None:
    costs = [float(row["cost_usd"] or 0) for row in rows]
    add_beside(figure, costs, places, [f"  {_words(row)}" for row in rows])
    figure.update_layout(
        xaxis={"visible": False, "range": [0, (max(costs, default=0.0) or 1.0) / (1 - _ROOM)]},
        yaxis={
            "tickvals": places,
            "ticktext": [NAMES[row["part"]] for row in rows],
            "range": [len(rows) - 0.5, -0.5],
            "showgrid": False,
            "ticklabelstandoff": 8,
        },
    )


def _words(row: Mapping[str, Any]) -> str:
    tokens = f"  ·  {count(row['tokens'])} tokens" if row["tokens"] else ""
    part = f"  ·  {share(row['cost_share'], 1)}" if row["cost_share"] is not None else ""
    return f"{usd(row['cost_usd'], 4 if (row['cost_usd'] or 0) < 10 else None)}{part}{tokens}"


def _hover(row: Mapping[str, Any]) -> str:
    lines = [
        f"<b>{NAMES[row['part']]}</b>",
        f"<b>{usd_exact(row['cost_usd'])}</b> · {row['tokens']:,} tokens · {many(row['calls'], 'call')}",
    ]
    if row["again_usd"]:
        lines.append(f"{usd_exact(row['again_usd'])} of it for what had been sent before")
    if row["saved_usd"]:
        lines.append(f"the prompt cache saved {usd_exact(row['saved_usd'])} of it")
    return "<br>".join(lines)
