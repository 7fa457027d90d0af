"""The spans of one trace as a tree, in the order a person reads it.

Spans arrive from several processes and some never arrive: a span whose parent is missing stands at the top, and a
ring of parents (broken emitters make them) is cut at its earliest span.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

import polars as pl

SpanRow = Mapping[str, Any]
"""One row of the query `trace`."""


@dataclass(frozen=True, slots=True)
class Node:
    """One span in its place."""

    span: SpanRow
    depth: int
    """0 at the top."""
    offset_us: int
    """From the start of the trace, microseconds."""
    duration_us: int
    cost_usd: Decimal | None
    """Its own charge and that of all below it; None where nothing there has a price."""
    calls: int
    """Charged LLM calls, itself and all below."""
    unpriced_calls: int
    errors: int
    """Failed spans of any role, itself and all below."""
    parent: int | None
    """Its place in the list of nodes; None at the top."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What one trace amounts to; money and tokens are those of charged LLM calls."""

    started: datetime
    duration_us: int
    """From the first start to the last end."""
    spans: int
    calls: int
    unpriced_calls: int
    input_tokens: int
    output_tokens: int
    errors: int
    """Failed spans of any role."""
    cost_usd: Decimal | None
    days: tuple[date, ...]
    """UTC days on which it was spent: those of calls that cost anything."""
    estimated_calls: int
    """Calls whose cost is that of tokens that nobody reported."""
    estimated_usd: Decimal
    retries: int
    """Attempts of charged calls beyond the first."""
    retry_usd: Decimal | None
    """What those that failed may have cost; in no other sum."""
    tools_usd: Decimal | None
    """What was declared for other steps than LLM calls; in no other sum."""


def is_charged(span: SpanRow) -> bool:
    """Tell whether a span is one row of `llm_calls`: a call, or an agent that stands for those that nobody told of."""
    if span["duplicate_of"] is not None or span["role"] not in ("inference", "agent") or is_refused(span):
        return False
    settled_agent = span["unpriced_reason"] is not None and span["unpriced_reason"] != "aggregate"
    return span["role"] == "inference" or span["cost_usd"] is not None or settled_agent


def is_refused(span: SpanRow) -> bool:
    """Tell whether a call was refused before anything was sent, as `is_refusal` does."""
    return span["guard_action"] in ("block", "defer") and span["cost_usd"] == 0


def is_estimated(span: SpanRow) -> bool:
    """Tell whether a charged span's cost is that of tokens that nobody reported, as `llm_calls.estimated` does."""
    by_tokens = span["cost_source"] in ("list", "contract")
    return span["usage_state"] == "estimated" and by_tokens and span["cost_usd"] is not None


def total(costs: Iterable[object]) -> Decimal | None:
    """Add up what has a price; None where nothing has."""
    known = [cost for cost in costs if isinstance(cost, Decimal)]
    return sum(known, Decimal(0)) if known else None


def steps(trace: pl.DataFrame) -> pl.DataFrame:
    """Return the spans of the work itself, without those that only say how it ended; all, where there are no others."""
    work = trace.filter(~pl.col("is_outcome"))
    return work if work.height else trace


def nodes(trace: pl.DataFrame) -> list[Node]:
    """Return the spans depth first, siblings by start; [] for an empty trace."""
    spans = trace.to_dicts()
    if not spans:
        return []
    started = spans[0]["start_time"]
    order = _order(spans, _children(spans))
    sums = _sums(order)
    return [
        Node(
            span=span,
            depth=depth,
            offset_us=_microseconds(span["start_time"] - started),
            duration_us=span["duration_us"] or 0,
            cost_usd=below.cost_usd,
            calls=below.calls,
            unpriced_calls=below.unpriced_calls,
            errors=below.errors,
            parent=parent,
        )
        for (span, depth, parent), below in zip(order, sums, strict=True)
    ]


def facts(trace: pl.DataFrame) -> Facts:
    """Sum up a trace that has at least one span."""
    spans = trace.to_dicts()
    started = min(span["start_time"] for span in spans)
    ended = max(span["start_time"] + timedelta(microseconds=span["duration_us"] or 0) for span in spans)
    charged = [span for span in spans if is_charged(span)]
    estimated = [span["cost_usd"] for span in charged if is_estimated(span)]
    return Facts(
        started=started,
        duration_us=_microseconds(ended - started),
        spans=len(spans),
        calls=len(charged),
        unpriced_calls=sum(map(_is_unpriced, charged)),
        input_tokens=sum(span["input_tokens"] or 0 for span in charged),
        output_tokens=sum(span["output_tokens"] or 0 for span in charged),
        errors=sum(span["status"] == "error" for span in spans),
        cost_usd=total(span["cost_usd"] for span in charged),
        days=tuple(sorted({span["start_time"].date() for span in charged if span["cost_usd"]})),
        estimated_calls=len(estimated),
        estimated_usd=sum(estimated, Decimal(0)),
        retries=sum(max(0, (span["attempts"] or 1) - 1) for span in charged),
        retry_usd=total(span["retry_cost_usd"] for span in charged),
        tools_usd=total(span["cost_usd"] for span in spans if _is_declared(span)),
    )


def _is_declared(span: SpanRow) -> bool:
    """Whether its money is no LLM call's; what was refused has none, though that is known to be 0."""
    return not is_charged(span) and not is_refused(span) and span["duplicate_of"] is None


def _is_unpriced(span: SpanRow) -> bool:
    """Whether money is missing; what a plan pays for has none to miss."""
    return span["cost_usd"] is None and span["unpriced_reason"] != "plan"


def _microseconds(span: timedelta) -> int:
    return span // timedelta(microseconds=1)


def _children(spans: Sequence[SpanRow]) -> dict[object, list[SpanRow]]:
    known = {span["span_id"] for span in spans}
    children: dict[object, list[SpanRow]] = {}
    for span in spans:
        parent = span["parent_span_id"]
        children.setdefault(parent if parent in known else None, []).append(span)
    return children


@dataclass(slots=True)
class _Sums:
    """What a span and all below it amount to."""

    cost_usd: Decimal | None = None
    calls: int = 0
    unpriced_calls: int = 0
    errors: int = 0

    def add(self, other: _Sums) -> None:
        if other.cost_usd is not None:
            self.cost_usd = other.cost_usd + (self.cost_usd or 0)
        self.calls += other.calls
        self.unpriced_calls += other.unpriced_calls
        self.errors += other.errors


_Placed = tuple[SpanRow, int, int | None]
"""A span, its depth, and the place of the span above it."""


def _sums(order: Sequence[_Placed]) -> list[_Sums]:
    """Return the sums of each span; from the end, so that each is whole when it is added to its parent."""
    sums = [_own(span) for span, _, _ in order]
    for place in range(len(order) - 1, -1, -1):
        parent = order[place][2]
        if parent is not None:
            sums[parent].add(sums[place])
    return sums


def _own(span: SpanRow) -> _Sums:
    failed = int(span["status"] == "error")
    if not is_charged(span):
        return _Sums(errors=failed)
    return _Sums(span["cost_usd"], 1, int(_is_unpriced(span)), failed)


def _order(spans: Sequence[SpanRow], children: dict[object, list[SpanRow]]) -> list[_Placed]:
    """Return the spans depth first."""
    seen: set[object] = set()
    order: list[_Placed] = []
    # A ring of parents hangs from no top, so what the tops don't reach is walked from its earliest span.
    for top in [*children.get(None, []), *spans]:
        stack: list[_Placed] = [(top, 0, None)]
        while stack:
            span, depth, parent = stack.pop()
            if span["span_id"] in seen:
                continue
            seen.add(span["span_id"])
            place = len(order)
            order.append((span, depth, parent))
            stack += [(child, depth + 1, place) for child in reversed(children.get(span["span_id"], []))]
    return order
