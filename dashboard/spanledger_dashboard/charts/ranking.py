"""Who or what cost most: bars, dearest first, with their share written beside them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

import plotly.graph_objects as go
import polars as pl

from spanledger_dashboard.format import change, cost_and_share, count, figure_text, many, share, usd, usd_exact, visible

from .colours import BLUE, GREY
from .layout import add_hit_rows, base, keep_margins

NO_USER: Final = "(no user)"
MOST_USERS: Final = 20


@dataclass(frozen=True, slots=True)
class Rank:
    """One bar."""

    id: str
    """Handed to whoever clicks it."""
    name: str
    """Plain text."""
    cost_usd: Decimal | None
    colour: str
    hover: str
    """Escaped already."""
    before_usd: Decimal | None = None
    """What it cost in the period before; None: nothing to compare with."""
    more: str = ""
    """Our own words after cost and share."""


def ranking_figure(ranks: Sequence[Rank], whole: Decimal | None, room: float) -> go.Figure:
    """Draw bars with cost and share of `whole`; `room` is the part of the width kept free for those words.

    A click's `customdata[0]` is the id.
    """
    figure = base(30 * len(ranks) + 16, bargap=0.32, barmode="overlay")
    costs = [float(rank.cost_usd or 0) for rank in ranks]
    figure.add_bar(
        y=list(range(len(ranks))),
        x=costs,
        orientation="h",
        marker={"color": [rank.colour for rank in ranks]},
        text=[_beside(rank, whole) for rank in ranks],
        textposition="outside",
        cliponaxis=False,
        hoverinfo="skip",
        showlegend=False,
    )
    span = (0.0, max(costs, default=0.0) / (1 - room) or 1.0)
    add_hit_rows(figure, [rank.id for rank in ranks], [rank.hover for rank in ranks], "x", span)
    figure.update_layout(xaxis={"visible": False, "range": span})
    figure.update_yaxes(
        tickvals=list(range(len(ranks))),
        ticktext=[figure_text(rank.name, 24) for rank in ranks],
        range=[len(ranks) - 0.5, -0.5],
        showgrid=False,
        ticklabelstandoff=8,
    )
    keep_margins(figure, [visible(rank.name, 24) for rank in ranks])
    figure.update_layout(margin={"b": 4})
    return figure


def users_figure(users: pl.DataFrame, whole: Decimal | None, room: float = 0.3, *, each: bool = False) -> go.Figure:
    """Draw the dearest users (frame `users`) with their share of `whole`, with `each` the cost a request."""
    ranks = [
        Rank(
            row["user_id"],
            row["user_id"] or NO_USER,
            row["cost_usd"],
            BLUE if row["user_id"] else GREY,
            _user_hover(row, whole),
            more=_a_request(row) if each else "",
        )
        for row in users.head(MOST_USERS).iter_rows(named=True)
    ]
    return ranking_figure(ranks, whole, room)


def _beside(rank: Rank, whole: Decimal | None) -> str:
    words = cost_and_share(rank.cost_usd, whole)
    changed = change(rank.cost_usd, rank.before_usd)
    return "  ·  ".join(part for part in (words, changed, rank.more) if part)


def _a_request(row: dict[str, Any]) -> str:
    cost, requests = row["cost_usd"], row["requests"]
    return f"{many(requests, 'request')}, {usd(cost / requests)} each" if cost is not None and requests > 1 else ""


def _user_hover(row: dict[str, Any], whole: Decimal | None) -> str:
    name = figure_text(row["user_id"]) if row["user_id"] else NO_USER
    part = "" if row["cost_usd"] is None else f" · {share(row['cost_usd'], whole)} of the total"
    lines = [
        f"<b>{name}</b>",
        f"<b>{usd_exact(row['cost_usd'])}</b>{part}",
        f"{many(row['requests'], 'request')} · {many(row['calls'], 'call')}",
        f"{count(row['input_tokens'])} tokens in · {count(row['output_tokens'])} out",
    ]
    if row["unpriced_calls"]:
        lines.append(f"{many(row['unpriced_calls'], 'call')} without a price")
    if row["estimated_calls"]:
        lines.append(f"{usd_exact(row['estimated_usd'])} of it estimated, {many(row['estimated_calls'], 'call')}")
    return "<br>".join(lines)
