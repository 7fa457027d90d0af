"""The waterfall of one trace: rows for `components/waterfall`, and which of them are folded at first.

A trace of two thousand steps is no picture, so a large one opens where the money is: the dearest branches are open
until the view is full, and of many siblings the dearest and some of the failed ones stand out while runs of the
others are folded into one row each. Nothing is left out: every fold opens by a click or by the keyboard.
"""

from __future__ import annotations

import heapq
from collections.abc import Mapping, Sequence
from decimal import Decimal
from itertools import groupby
from typing import Any, Final

from spanledger_analytics.tree import Node, SpanRow, is_charged, is_refused, total
from spanledger_dashboard.format import NO_PRICE, count, duration, many, share, usd, usd_exact, visible

from .colours import BLUE, GREY, PALE

SMALL: Final = 100
"""A trace of so many steps is shown open."""
_ROOM: Final = 40
"""Rows that a larger one opens with, about."""
_MOST_SIBLINGS: Final = 30
_DEAREST: Final = 10
_FAILED: Final = 3
"""So many of more siblings than that stand out."""
_SHORTEST: Final = 0.0025
"""Part of the time axis that a step of no length gets."""
_MOST_TICKS: Final = 6
_SECOND_US: Final = 1_000_000
_STEPS_US: Final = (
    *(size * 10**power for power in range(6) for size in (1, 2, 5)),
    *(
        size * _SECOND_US
        for size in (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 43200, 86400)
    ),
)
"""Distances between moments that are easy to read."""
_KINDS: Final = {"inference": "call", "tool": "tool", "agent": "agent"}


def waterfall(nodes: Sequence[Node], colours: Mapping[str, str]) -> dict[str, Any]:
    """Return the rows, the folds and the time axis of a trace's tree (of `tree.nodes`), ready for JSON.

    Lengths are parts of a whole from 0 to 1: `start` and `width` of the time, `bar` of the dearest step's cost, `part`
    of the cost of all. A row's `fold` is the number of the fold that hides it at first, `open` whether its children are
    shown.
    """
    whole_us = max((node.offset_us + node.duration_us for node in nodes), default=0) or 1
    dearest = max((node.span["cost_usd"] or Decimal(0) for node in nodes), default=Decimal(0))
    of_trace = total(node.span["cost_usd"] for node in nodes if is_charged(node.span))
    children = _children(nodes)
    folds = _folds(nodes, children)
    opened = _opened(nodes, children, folds)
    folded = {place: number for number, members in enumerate(folds) for place in members}
    return {
        "rows": [
            _row(node, colours, whole_us, dearest, of_trace)
            | {"open": place in opened, "fold": folded.get(place), "parent": node.parent}
            for place, node in enumerate(nodes)
        ],
        "folds": [_fold([nodes[place] for place in members], of_trace) for members in folds],
        "ticks": _ticks(whole_us),
    }


def _children(nodes: Sequence[Node]) -> dict[int | None, list[int]]:
    """Return the places of the nodes below each, and of those at the top (None)."""
    children: dict[int | None, list[int]] = {}
    for place, node in enumerate(nodes):
        children.setdefault(node.parent, []).append(place)
    return children


def _folds(nodes: Sequence[Node], children: Mapping[int | None, list[int]]) -> list[list[int]]:
    """Return runs of siblings that are folded: places, in their order."""
    if len(nodes) <= SMALL:
        return []
    folds = []
    for siblings in children.values():
        if len(siblings) > _MOST_SIBLINGS:
            kept = _outstanding(nodes, siblings)
            runs = [(stand_out, list(run)) for stand_out, run in groupby(siblings, kept.__contains__)]
            folds += [run for stand_out, run in runs if not stand_out and len(run) > 1]
    return folds


def _outstanding(nodes: Sequence[Node], siblings: Sequence[int]) -> set[int]:
    """Return which siblings stand out: the dearest, then some of those that failed."""
    by_cost = sorted(siblings, key=lambda place: _rank(nodes[place], place))
    failed = [place for place in by_cost[_DEAREST:] if nodes[place].errors]
    return {*by_cost[:_DEAREST], *failed[:_FAILED]}


def _opened(
    nodes: Sequence[Node], children: Mapping[int | None, list[int]], folds: Sequence[Sequence[int]]
) -> set[int]:
    """Return which nodes show their children at first: all of a small trace, else the dearest while there is room."""
    if len(nodes) <= SMALL:
        return set(range(len(nodes)))
    hidden = {place for members in folds for place in members}
    first_of_fold = {members[0] for members in folds}
    opened: set[int] = set()
    waiting: list[tuple[tuple[Decimal, int], int]] = []

    def show(parent: int | None) -> int:
        rows = [place for place in children.get(parent, []) if place not in hidden or place in first_of_fold]
        for place in rows:
            if place not in hidden and place in children:
                heapq.heappush(waiting, (_rank(nodes[place], place), place))
        return len(rows)

    shown = show(None)
    while waiting and shown < _ROOM:
        _, place = heapq.heappop(waiting)
        opened.add(place)
        shown += show(place)
    return opened


def _rank(node: Node, place: int) -> tuple[Decimal, int]:
    """Order nodes by cost with all below, dearest first, then as they stand."""
    return -(node.cost_usd or Decimal(0)), place


def _row(
    node: Node, colours: Mapping[str, str], whole_us: int, dearest: Decimal, of_trace: Decimal | None
) -> dict[str, Any]:
    span = node.span
    cost, bar, part = _cost(node, dearest, of_trace)
    return {
        "id": span["span_id"],
        "depth": node.depth,
        "name": visible(span["name"] or "(no name)"),
        "kind": _KINDS.get(str(span["role"]), "other"),
        "failed": span["status"] == "error",
        "errors": node.errors,
        "attempts": max(1, span["attempts"] or 1),
        "start": node.offset_us / whole_us,
        "width": max(node.duration_us / whole_us, _SHORTEST),
        "colour": _colour(node, colours),
        "took": duration(node.duration_us),
        "bar": bar,
        "part": part,
        "cost": cost,
        "hover": _hover(node, of_trace),
    }


def _cost(node: Node, dearest: Decimal, of_trace: Decimal | None) -> tuple[str, float, float]:
    """Return what stands in the cost column: a step's own cost and its bar, or the sum of all below and its part."""
    span = node.span
    if is_refused(span):
        return "refused", 0.0, 0.0
    if is_charged(span) or (span["cost_usd"] is not None and span["duplicate_of"] is None):
        if is_charged(span) and span["unpriced_reason"] == "plan":
            return "plan", 0.0, 0.0
        return usd(span["cost_usd"]), _ratio(span["cost_usd"], dearest), 0.0
    return (f"Σ {usd(node.cost_usd)}", 0.0, _ratio(node.cost_usd, of_trace)) if node.calls else ("", 0.0, 0.0)


def _ratio(cost: Decimal | None, whole: Decimal | None) -> float:
    """Money becomes a float here, where it becomes a length."""
    return float(cost / whole) if cost and whole else 0.0


def _colour(node: Node, colours: Mapping[str, str]) -> str:
    if node.span["role"] == "inference":
        return colours.get(str(node.span["model"] or ""), BLUE)
    return GREY if node.span["role"] == "tool" else PALE


def _hover(node: Node, of_trace: Decimal | None) -> list[str]:
    """Return plain lines about a step; the first is its name."""
    span = node.span
    lines = [
        visible(span["name"] or "(no name)", 200),
        f"starts at {duration(node.offset_us)} · takes {duration(node.duration_us)}",
    ]
    if is_charged(span):
        lines.append(f"{_money(span['cost_usd'], of_trace)} · {visible(span['model'] or '(no model)')}")
        if span["cost_usd"] is None:
            lines.append(f"unpriced: {visible(span['unpriced_reason'] or 'unknown')}")
        lines.append(f"{span['input_tokens'] or 0:,} tokens in · {span['output_tokens'] or 0:,} out")
        lines += _controlled(span)
    elif is_refused(span):
        lines.append(f"refused by {visible(span['guard_policy'] or 'the policy')} before it was sent: it cost nothing")
    elif span["duplicate_of"] is not None:
        lines.append("counted elsewhere: another witness told of the same call")
    elif span["cost_usd"] is not None:
        lines.append(f"{usd_exact(span['cost_usd'])} declared for this step, beside what LLM calls cost")
    if node.calls > int(is_charged(span)):
        lines.append(f"{_money(node.cost_usd, of_trace)} in {many(node.calls, 'call')} here and below")
    if (span["attempts"] or 1) > 1:
        lines.append(f"{span['attempts']} attempts")
    if span["status"] == "error":
        lines.append(f"failed: {visible(span['error_type'] or span['status_message'] or 'error')}")
    return lines


def _controlled(span: SpanRow) -> list[str]:
    """Say what a policy did to a call that was answered."""
    lines = []
    if span["cache_hit"]:
        lines.append("answered by the response cache: nothing was sent")
    if span["routed_from"]:
        lines.append(f"{visible(span['routed_from'])} was asked for; {visible(span['guard_policy'] or 'the policy')}")
    if span["avoided_usd"]:
        lines.append(f"{usd_exact(span['avoided_usd'])} avoided")
    return lines


def _money(cost: Decimal | None, of_trace: Decimal | None) -> str:
    return NO_PRICE if cost is None else f"{usd_exact(cost)}, {share(cost, of_trace)} of the request"


def _fold(members: Sequence[Node], of_trace: Decimal | None) -> dict[str, Any]:
    """Return the one row that stands for a run of siblings."""
    cost, errors = total(node.cost_usd for node in members), sum(node.errors for node in members)
    steps = f"{count(len(members))} more steps"
    return {
        "name": f"{steps}, {many(errors, 'error')}" if errors else steps,
        "cost": f"Σ {usd(cost)}" if any(node.calls for node in members) else "",
        "part": _ratio(cost, of_trace),
        "depth": members[0].depth,
        "hover": [steps, f"{usd_exact(cost)} in {many(sum(node.calls for node in members), 'call')}"],
    }


def _ticks(whole_us: int) -> list[dict[str, Any]]:
    """Return round moments from the start: their place from 0 to 1, and what is written there."""
    step = next((step for step in _STEPS_US if step * _MOST_TICKS >= whole_us), whole_us)
    return [{"at": moment / whole_us, "text": _moment(moment)} for moment in range(0, whole_us, step)]


def _moment(moment_us: int) -> str:
    return duration(moment_us).replace(".0 s", " s") if moment_us else "0"
