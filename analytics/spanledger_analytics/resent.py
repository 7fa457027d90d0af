"""Why a request costs what it does: history that is sent again with every call.

A chat API has no memory, so each call of an agent carries all that was said before. From the token counts alone
(no text is needed) this tells new text from history, and what the history cost:

- Calls belong to one conversation when they share the nearest agent span above them, the session and the model.
- A call continues the one before it in its conversation when it began after that one ended, carries at least its
  input, and (where known) more messages. Then the history is the earlier input, plus the earlier visible output
  if that fits too (reasoning is not sent again). Anything else begins anew: all of its input is new text.
- New text is taken from the tokens that were billed afresh (uncached or written to the cache) and only then from
  cache reads, at the prices of that very call. So `once_usd` + `resent_usd` is exactly what was billed.

It is an estimate in one direction that counts cannot decide: two unrelated calls, the second longer than the
first, look like a conversation. Embeddings never do.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import Any, Final

import polars as pl

from .tree import is_charged, total

PICO: Final = Decimal("0.000000000001")
_FRESH: Final = (
    "input_uncached_tokens",
    "cache_write_5m_tokens",
    "cache_write_1h_tokens",
    "cache_write_12h_tokens",
    "input_audio_tokens",
    "input_image_tokens",
)


@dataclass(frozen=True, slots=True)
class CallInput:
    """What one LLM call sent, split into new text and history."""

    span_id: str
    model: str
    new_tokens: int
    resent_tokens: int
    output_tokens: int
    cost_usd: Decimal | None
    resent_usd: Decimal | None
    """Part of cost_usd that paid for history; None where the call has no price."""

    @property
    def input_tokens(self) -> int:
        """All input tokens of the call."""
        return self.new_tokens + self.resent_tokens


@dataclass(frozen=True, slots=True)
class Resent:
    """What re-sending history cost a trace."""

    calls: tuple[CallInput, ...]
    """By start; priced or not."""

    @property
    def input_tokens(self) -> int:
        """Input tokens billed."""
        return sum(call.input_tokens for call in self.calls)

    @property
    def new_tokens(self) -> int:
        """Input tokens if each were sent once."""
        return sum(call.new_tokens for call in self.calls)

    @property
    def billed_usd(self) -> Decimal | None:
        """What the priced calls cost; None where none has a price."""
        return total(call.cost_usd for call in self.calls)

    @property
    def resent_usd(self) -> Decimal | None:
        """What their history cost."""
        return total(call.resent_usd for call in self.calls)

    @property
    def once_usd(self) -> Decimal | None:
        """What they would have cost if each token were sent once."""
        if self.billed_usd is None or self.resent_usd is None:
            return None
        return self.billed_usd - self.resent_usd

    @property
    def factor(self) -> float | None:
        """Billed over once; None where that can't be told."""
        if not self.billed_usd or not self.once_usd:
            return None
        return float(self.billed_usd / self.once_usd)


def resent(trace: pl.DataFrame) -> Resent:
    """Split the input of each charged call of a trace (rows of the query `trace`)."""
    spans = trace.to_dicts()
    by_id = {span["span_id"]: span for span in spans}
    last: dict[tuple[object, ...], dict[str, Any]] = {}
    calls = []
    for span in spans:
        if not is_charged(span):
            continue
        conversation = (_agent(span, by_id), span["session_id"], span["model"], span["operation"])
        before = last.get(conversation)
        history = _history(before, span) if before else 0
        calls.append(_split(span, history))
        last[conversation] = span
    return Resent(tuple(calls))


def _agent(span: dict[str, Any], by_id: dict[str, dict[str, Any]]) -> str | None:
    """Return the id of the nearest agent span above, else of the topmost span above."""
    seen = {span["span_id"]}
    above = by_id.get(span["parent_span_id"])
    top = None
    while above is not None and above["span_id"] not in seen:
        seen.add(above["span_id"])
        top = above["span_id"]
        if above["role"] == "agent":
            break
        above = by_id.get(above["parent_span_id"])
    return top


def _history(before: dict[str, Any], span: dict[str, Any]) -> int:
    ended = before["start_time"] + timedelta(microseconds=before["duration_us"] or 0)
    if span["operation"] == "embeddings" or span["start_time"] < ended:
        return 0
    said_before, says = before["message_count"], span["message_count"]
    if said_before is not None and says is not None and says <= said_before:
        return 0
    sent, sends = before["input_tokens"] or 0, span["input_tokens"] or 0
    answered = (before["output_tokens"] or 0) - (before["reasoning_tokens"] or 0)
    if sends >= sent + answered:
        return sent + answered
    return sent if sends >= sent else 0


def _split(span: dict[str, Any], history: int) -> CallInput:
    tokens = span["input_tokens"] or 0
    new = tokens - history
    return CallInput(
        span_id=span["span_id"],
        model=span["model"] or "",
        new_tokens=new,
        resent_tokens=history,
        output_tokens=span["output_tokens"] or 0,
        cost_usd=span["cost_usd"],
        resent_usd=None if span["cost_usd"] is None else _input_cost(span) - _new_cost(span, new),
    )


def _input_cost(span: dict[str, Any]) -> Decimal:
    return _sum(span[part] for part in ("cost_input", "cost_cache_read", "cost_cache_write"))


def _new_cost(span: dict[str, Any], new: int) -> Decimal:
    fresh = sum(span[part] or 0 for part in _FRESH)
    read = (span["cache_read_tokens"] or 0) + (span["cache_read_audio_tokens"] or 0)
    afresh = _share(_sum((span["cost_input"], span["cost_cache_write"])), min(new, fresh), fresh)
    return afresh + _share(_sum((span["cost_cache_read"],)), max(0, new - fresh), read)


def _share(cost: Decimal, part: int, whole: int) -> Decimal:
    return (cost * part / whole).quantize(PICO) if whole else Decimal(0)


def _sum(costs: Iterable[Decimal | None]) -> Decimal:
    return sum((cost for cost in costs if cost is not None), Decimal(0))
