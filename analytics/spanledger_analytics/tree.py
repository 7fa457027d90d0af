"""The spans of one trace as a tree, in the order a person reads it.

Spans arrive from several processes and some never arrive: a span whose parent is missing stands at the top, and a
ring of parents (broken emitters make them) is cut at its earliest span.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
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
    estimated_calls: int
    """Calls whose cost is that of tokens that nobody reported."""
    estimated_usd: Decimal


def is_charged(span: SpanRow) -> bool:
    """Tell whether a span is one row of `llm_calls`: a call, or an agent that stands for those that nobody told of."""
    if span["duplicate_of"] is not None or span["role"] not in ("inference", "agent"):
        return False
    settled_agent = span["unpriced_reason"] is not None and span["unpriced_reason"] != "aggregate"
    return span["role"] == "inference" or span["cost_usd"] is not None or settled_agent


def is_estimated(span: SpanRow) -> bool:
    """Tell whether a charged span's cost is that of tokens that nobody reported, as `llm_calls.estimated` does."""
    by_tokens = span["cost_source"] in ("list", "contract")
    return span["usage_state"] == "estimated" and by_tokens and span["cost_usd"] is not None


def total(costs: Iterable[object]) -> Decimal | None:
    """Add up what has a price; None where nothing has."""
    known = [cost for cost in costs if isinstance(cost, Decimal)]
    return sum(known, Decimal(0)) if known else None


def nodes(trace: pl.DataFrame) -> list[Node]:
    """Return the spans depth first, siblings by start; [] for an empty trace."""
    spans = trace.to_dicts()
    if not spans:
        return []
    started = spans[0]["start_time"]
    children = _children(spans)
    found: list[Node] = []
    for span, depth, below in _walk(spans, children):
        charged = [each for each in below if is_charged(each)]
        found.append(
            Node(
                span=span,
                depth=depth,
                offset_us=_microseconds(span["start_time"] - started),
                duration_us=span["duration_us"] or 0,
                cost_usd=total(each["cost_usd"] for each in charged),
                calls=len(charged),
                unpriced_calls=sum(map(_is_unpriced, charged)),
            )
        )
    return found


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
        estimated_calls=len(estimated),
        estimated_usd=sum(estimated, Decimal(0)),
    )


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


def _walk(
    spans: Sequence[SpanRow], children: dict[object, list[SpanRow]]
) -> Iterator[tuple[SpanRow, int, list[SpanRow]]]:
    """Yield (span, depth, the span and all below it), depth first."""
    seen: set[object] = set()
    order: list[tuple[SpanRow, int]] = []
    # A ring of parents hangs from no top, so what the tops don't reach is walked from its earliest span.
    for top in [*children.get(None, []), *spans]:
        stack = [(top, 0)]
        while stack:
            span, depth = stack.pop()
            if span["span_id"] in seen:
                continue
            seen.add(span["span_id"])
            order.append((span, depth))
            stack += [(child, depth + 1) for child in reversed(children.get(span["span_id"], []))]
    for place, (span, depth) in enumerate(order):
        end = place + 1
        while end < len(order) and order[end][1] > depth:
            end += 1
        yield span, depth, [each for each, _ in order[place:end]]
