"""What a trace's tokens and dollars were for: fresh input, cache, output, reasoning."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

import polars as pl

from .tree import is_charged

PICO: Final = Decimal("0.000000000001")
_WRITES: Final = ("cache_write_5m_tokens", "cache_write_1h_tokens", "cache_write_12h_tokens")


@dataclass(frozen=True, slots=True)
class Part:
    """One kind of token across a trace."""

    name: str
    tokens: int
    cost_usd: Decimal


def parts(trace: pl.DataFrame) -> list[Part]:
    """Split the priced calls of a trace into parts that add up to their tokens and cost; empty ones left out.

    Reasoning is billed as output, so its cost is its share of the output's.
    """
    spans = [span for span in trace.to_dicts() if is_charged(span) and span["cost_usd"] is not None]
    reads, writes = _tokens(spans, "cache_read_tokens", "cache_read_audio_tokens"), _tokens(spans, *_WRITES)
    inputs, outputs = _tokens(spans, "input_tokens"), _tokens(spans, "output_tokens")
    thought = _tokens(spans, "reasoning_tokens")
    thought_usd = sum((_reasoning_cost(span) for span in spans), Decimal(0))
    split = [
        Part("input, uncached", inputs - reads - writes, _money(spans, "cost_input")),
        Part("cache read", reads, _money(spans, "cost_cache_read")),
        Part("cache write", writes, _money(spans, "cost_cache_write")),
        Part("output", outputs - thought, _money(spans, "cost_output") - thought_usd),
        Part("reasoning", thought, thought_usd),
        Part("searches and fees", 0, _money(spans, "cost_other")),
    ]
    return [part for part in split if part.tokens or part.cost_usd]


def _reasoning_cost(span: dict[str, Any]) -> Decimal:
    output = span["output_tokens"]
    if not output:
        return Decimal(0)
    cost: Decimal = (span["cost_output"] or Decimal(0)) * (span["reasoning_tokens"] or 0) / output
    return cost.quantize(PICO)


def _tokens(spans: Sequence[dict[str, Any]], *columns: str) -> int:
    return sum(span[column] or 0 for span in spans for column in columns)


def _money(spans: Sequence[dict[str, Any]], column: str) -> Decimal:
    return sum((span[column] or Decimal(0) for span in spans), Decimal(0))
