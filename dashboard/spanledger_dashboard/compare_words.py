"""The answers of the page that compares, a sentence each, as plain text."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final

from .charts.movers import Move, cause
from .format import change, times, usd, visible

_PLACES: Final = 5
"""Decimals of what a request costs."""


def periods(row: Mapping[str, Any] | None) -> str:
    """Say what two periods cost."""
    if row is None or row["change_usd"] is None:
        return "One of the two has no calls with a price"
    if not row["change_usd"]:
        return f"{usd(row['cost_usd'])} in both"
    changed = change(row["cost_usd"], row["cost_before_usd"])
    said = f"{usd(row['cost_usd'])} against {usd(row['cost_before_usd'])}, {_more(row['change_usd'])}"
    return f"{said} ({changed})" if changed else said


def slices(row: Mapping[str, Any] | None, one: str, other: str) -> str:
    """Say what two slices cost, and how many times the other the one is."""
    names = visible(one, 60), visible(other, 60)
    if row is None or row["change_usd"] is None:
        return f"{names[0]} or {names[1]} has no calls with a price"
    cost, past = Decimal(row["cost_usd"]), Decimal(row["cost_before_usd"])
    if not past:
        return f"{names[0]} cost {usd(cost)}, {names[1]} nothing"
    return f"{names[0]} cost {usd(cost)}, {times(float(cost / past))} the {usd(past)} of {names[1]}"


def bridge(row: Mapping[str, Any]) -> str:
    """Say by how much cost changed, and what made most of it."""
    if not row["change_usd"]:
        return "Cost is what it was before"
    verb = "rose" if row["change_usd"] > 0 else "fell"
    said = f"Cost {verb} by {usd(abs(row['change_usd']))}"
    if row["state"] != "both":
        return f"{said}: there is nothing on one side"
    return f"{said}, most of all by {cause(Move('', '', row))}"


def moment(row: Mapping[str, Any], *, controlled: bool) -> str:
    """Say what a moment changed, of the row that judges it, and whether that may be chance."""
    amount = row["per_request_change_usd"]
    than = "than as the control went" if controlled else "than before"
    said = f"A request costs {usd(abs(amount), _PLACES)} {'more' if amount > 0 else 'less'} {than}"
    if row["low_usd"] is None:
        return f"{said}; too few to say how sure that is"
    if row["low_usd"] <= 0 <= row["high_usd"]:
        return f"{said}; it may be chance"
    return f"{said}; chance alone hardly makes it"


def _more(amount: Decimal) -> str:
    return f"{usd(abs(amount))} {'more' if amount > 0 else 'less'}"
