"""What the dollars of runs were for (report `drivers`): a stack a feature, a colour a part."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, Final

import plotly.graph_objects as go
import polars as pl

from spanledger_dashboard.format import count, figure_text, many, share, usd, usd_exact

from .colours import BLUE, GREEN, GREY, ORANGE, PALE, RED, SKY, VERMILLION
from .drivers import NAMES
from .layout import add_beside, base

_COLOURS: Final[Mapping[str, str]] = {
    "history": VERMILLION,
    "system_prompt": BLUE,
    "tool_definitions": SKY,
    "tool_results": "#7CCFB4",
    "user_text": GREEN,
    "cache_premium": "#F3C766",
    "unknown": GREY,
    "reasoning": ORANGE,
    "output": PALE,
    "fees": "#CC79A7",
    "failed_calls": RED,
}
"""Of each part, in the order of a stack."""
OTHERS: Final = "all others"
NOBODY: Final = "(none)"
_ROW_PX: Final = 36
_ROOM: Final = 0.28
"""Part of the width that is kept free for words."""


def parts_of(frame: pl.DataFrame) -> dict[str, Decimal]:
    """Return what each part of rows of the report came to, the dearest first; parts without a price are left out."""
    summed = frame.group_by("part").agg(pl.col("cost_usd").sum()).sort("cost_usd", "part", descending=[True, False])
    return {part: cost for part, cost in summed.iter_rows() if cost}


def purposes_figure(frame: pl.DataFrame, by: str, most: int) -> go.Figure:
    """Draw the frame of the report `drivers` by one dimension; beyond the `most` dearest values it is one row."""
    groups = _groups(frame, by, most)
    figure = base(_ROW_PX * len(groups) + 76, bargap=0.34)
    places = list(range(len(groups)))
    for part, colour in _COLOURS.items():
        rows = [_row(group, part) for _, group in groups]
        if any(row["cost_usd"] for row in rows):
            figure.add_bar(
                name=NAMES[part],
                y=places,
                x=[float(row["cost_usd"] or 0) for row in rows],
                orientation="h",
                marker={"color": colour, "line": {"width": 0}},
                customdata=[
                    [_hover(value, NAMES[part], row, _cost(group))]
                    for (value, group), row in zip(groups, rows, strict=True)
                ],
                hovertemplate="%{customdata[0]}<extra></extra>",
            )
    _add_words(figure, groups, places)
    return figure


def _groups(frame: pl.DataFrame, by: str, most: int) -> list[tuple[str, pl.DataFrame]]:
    order = frame.group_by(by).agg(pl.col("cost_usd").sum()).sort("cost_usd", by, descending=[True, False])
    values = order[by].to_list()
    named = values if len(values) <= most + 1 else values[:most]
    groups = [(value or NOBODY, frame.filter(pl.col(by).eq_missing(pl.lit(value)))) for value in named]
    if len(named) < len(values):
        shown = pl.any_horizontal(pl.col(by).eq_missing(pl.lit(value)) for value in named)
        groups.append((OTHERS, frame.filter(~shown)))
    return groups


def _row(group: pl.DataFrame, part: str) -> dict[str, Any]:
    rows = group.filter(pl.col("part") == part)
    sums = {name: sum(rows[name].drop_nulls(), Decimal(0)) for name in ("cost_usd", "again_usd", "saved_usd")}
    return sums | {name: int(rows[name].sum()) for name in ("tokens", "calls")}


def _cost(group: pl.DataFrame) -> Decimal:
    return sum(group["cost_usd"].drop_nulls(), Decimal(0))


def _add_words(figure: go.Figure, groups: Sequence[tuple[str, pl.DataFrame]], places: list[int]) -> None:
    costs = [float(_cost(group)) for _, group in groups]
    whole = sum((_cost(group) for _, group in groups), Decimal(0))
    add_beside(
        figure, costs, places, [f"  {usd(_cost(group))}  ·  {share(_cost(group), whole)}" for _, group in groups]
    )
    figure.update_layout(
        xaxis={"visible": False, "range": [0, (max(costs, default=0.0) or 1.0) / (1 - _ROOM)]},
        yaxis={
            "tickvals": places,
            "ticktext": [figure_text(value, 24) for value, _ in groups],
            "range": [len(groups) - 0.5, -0.5],
            "showgrid": False,
            "ticklabelstandoff": 8,
        },
    )


def _hover(value: str, name: str, row: Mapping[str, Any], whole: Decimal) -> str:
    lines = [
        f"<b>{figure_text(value)}: {name}</b>",
        f"<b>{usd_exact(row['cost_usd'])}</b> · {share(row['cost_usd'], whole)} of it · {many(row['calls'], 'call')}",
    ]
    if row["tokens"]:
        lines.append(f"{count(row['tokens'])} tokens")
    if row["again_usd"]:
        lines.append(f"{usd_exact(row['again_usd'])} of it for what had been sent before")
    if row["saved_usd"]:
        lines.append(f"the prompt cache saved {usd_exact(row['saved_usd'])} of it")
    return "<br>".join(lines)
