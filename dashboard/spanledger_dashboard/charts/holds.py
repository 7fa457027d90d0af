"""How much of each budget is spent and held: lying bars up to what may be spent, with marks where something is done."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import plotly.graph_objects as go

from spanledger.guard.decisions import exact
from spanledger.guard.store import Unit
from spanledger_analytics.controls.balances import BudgetBalance
from spanledger_dashboard.format import figure_text, share, usd, visible

from .colours import BLUE, GREY, ORANGE, SKY, VERMILLION
from .layout import add_beside, add_hit_rows, base

_ROW_PX: Final = 34
_ROOM: Final = 1.9
"""Width of the figure, for bars that end at 1 and the words beside them."""
_LONGEST: Final = 1.08
"""A bar of more than the budget ends here."""
_COLOURS: Final = {
    "ok": BLUE,
    "warn": BLUE,
    "throttle": ORANGE,
    "degrade": ORANGE,
    "defer": VERMILLION,
    "block": VERMILLION,
}
DONE: Final = {
    "warn": "warned of",
    "throttle": "slowed down",
    "degrade": "answered by a cheaper model",
    "defer": "put off",
    "block": "refused",
}
"""Action to what becomes of calls."""


def holds_figure(rows: Sequence[BudgetBalance]) -> go.Figure:
    """Draw budgets that have an account, in the order given."""
    figure = base(_ROW_PX * len(rows) + 24, bargap=0.45, barmode="overlay")
    places = list(range(len(rows)))
    spent = [min(_LONGEST, _part(one.spent, one)) for one in rows]
    held = [max(0.0, min(_LONGEST - most, _part(one.held, one))) for one, most in zip(rows, spent, strict=True)]
    figure.add_bar(
        name="spent",
        y=places,
        x=spent,
        orientation="h",
        marker={"color": [_COLOURS[one.state] for one in rows], "line": {"width": 0}},
        hoverinfo="skip",
        showlegend=False,
    )
    figure.add_bar(
        name="held by calls under way",
        y=places,
        x=held,
        base=spent,
        orientation="h",
        marker={"color": SKY, "pattern": {"shape": "/", "size": 6, "fgopacity": 0.5}, "line": {"width": 0}},
        hoverinfo="skip",
        showlegend=any(held),
    )
    for place, one in enumerate(rows):
        for threshold in one.budget.at:
            _add_mark(figure, place, float(threshold.share))
    ends = [max(1.0, most + more) + 0.02 for most, more in zip(spent, held, strict=True)]
    add_beside(figure, ends, places, [figure_text(beside(one)) for one in rows])
    figure.update_layout(xaxis={"visible": False, "range": [0, _ROOM]})
    add_hit_rows(figure, [str(place) for place in places], [_hover(one) for one in rows], "x", (0.0, _ROOM))
    figure.update_yaxes(
        tickvals=places,
        ticktext=[figure_text(_label(one)) for one in rows],
        range=[len(rows) - 0.5, -0.5],
        showgrid=False,
        ticklabelstandoff=8,
    )
    return figure


def amount_words(amount: int | None, unit: Unit) -> str:
    """Write nano-dollars, tokens or calls as all pages do."""
    return usd(exact(amount or 0, unit)) if unit == "usd" else f"{amount or 0:,} {unit}"


def name_of(one: BudgetBalance) -> str:
    """Name an account: the budget, and whose it is where there are several."""
    exact = all(value is not None for _, _, value, _ in one.budget.match.keys)
    whose = "" if exact else f", {one.scope}"
    session = f", {one.window.removeprefix('session:')}" if one.budget.per == "session" else ""
    return f"{one.budget.name}{whose}{session}"


def _label(one: BudgetBalance) -> str:
    """Name an account in little room: the end of what tells it from others of its budget."""
    name, whose = one.budget.name, name_of(one).removeprefix(one.budget.name)
    return visible(name, 30) if not whose else f"{visible(name, 18)}, …{visible(whose[-12:], 12)}"


def beside(one: BudgetBalance) -> str:
    """Say what part is used of how much."""
    return f"{share(one.used, one.budget.cap)} of {amount_words(one.budget.cap, one.budget.unit)}"


def _part(amount: int | None, one: BudgetBalance) -> float:
    """Money becomes a float here, where it becomes a length."""
    return (amount or 0) / one.budget.cap


def _add_mark(figure: go.Figure, place: int, share: float) -> None:
    figure.add_shape(
        type="line",
        x0=min(share, _LONGEST),
        x1=min(share, _LONGEST),
        y0=place - 0.42,
        y1=place + 0.42,
        line={"color": GREY, "width": 2},
    )


def _hover(one: BudgetBalance) -> str:
    unit = one.budget.unit
    lines = [
        f"<b>{figure_text(name_of(one), 60)}</b>",
        f"{amount_words(one.spent, unit)} spent, {amount_words(one.held, unit)} held"
        f" of {amount_words(one.budget.cap, unit)}",
    ]
    lines += [
        f"at {float(threshold.share * 100):g} %: {DONE.get(threshold.action, threshold.action)}"
        for threshold in one.budget.at
    ]
    if one.flagged:
        lines.append(f"{amount_words(one.flagged, unit)} of it by estimate: nobody came to settle it")
    return "<br>".join(lines)
