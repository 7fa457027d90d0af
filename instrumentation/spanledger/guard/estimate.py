"""What a call will cost, before it is made: its input by size, its output by what calls like it gave lately.

The input is priced as uncached. `expected` takes the 95th percentile of recent outputs of the same feature and model,
so that budgets stay usable next to models that may write 128,000 tokens and never do; `strict` takes the most that the
request allows, times the answers that it asks for.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Any, Final

from spanledger.evidence import OPERATIONS
from spanledger.pricing import price
from spanledger.texts import asked_texts
from spanledger.usage import Usage

FIRST_OUTPUT: Final = 1024
"""Tokens that a call is expected to write before any like it was seen."""
MOST_OUTPUT: Final = 16_384
"""Tokens that a strict estimate takes where the request states no most."""
_NOT_TEXT: Final = 2_000
"""Tokens added for pictures, sound and files, which have no size in tokens here."""
_BYTES_PER_TOKEN: Final = 4
_REMEMBERED: Final = 64
_MOST_KEYS: Final = 1024


class _Seen:
    """Recent calls of one feature and model."""

    __slots__ = ("in_bytes", "in_tokens", "outputs", "usual")

    def __init__(self) -> None:
        self.outputs: deque[int] = deque(maxlen=_REMEMBERED)
        self.usual = FIRST_OUTPUT
        self.in_bytes = self.in_tokens = 0


class Estimates:
    """Learns from calls that are over; shared by threads, where a number lost does no harm."""

    def __init__(self) -> None:
        self._seen: dict[tuple[str, str], _Seen] = {}

    def tokens(
        self, feature: str, model: str, body: Mapping[str, Any], most: int | None, *, strict: bool
    ) -> tuple[int, int, int]:
        """Return tokens of the input, of the output, and bytes of the input, of a call that is to be made."""
        asked = asked_texts(body)
        size = asked.size
        seen = self._seen.get((feature, model))
        if seen is not None and seen.in_tokens:
            into = -(-size * seen.in_tokens * 11 // (seen.in_bytes * 10))
        else:
            into = -(-size * 11 // (_BYTES_PER_TOKEN * 10)) + (0 if asked.whole else _NOT_TEXT)
        usual = seen.usual if seen is not None else FIRST_OUTPUT
        if most is not None:
            most *= _answers(body)
        if strict:
            out = most if most is not None else max(MOST_OUTPUT * _answers(body), usual)
        else:
            out = usual if most is None else min(usual, most)
        return into + asked.token_ids, out, size

    def learn(self, feature: str, model: str, size: int, usage: Usage) -> None:
        """Learn from a call of which the provider told the tokens."""
        seen = self._seen.get((feature, model))
        if seen is None:
            if len(self._seen) >= _MOST_KEYS:
                return
            seen = self._seen[feature, model] = _Seen()
        seen.outputs.append(usage.output_tokens)
        ordered = sorted(seen.outputs)
        seen.usual = max(1, ordered[(len(ordered) * 95 - 1) // 100])
        if size and usage.input_tokens:
            seen.in_bytes, seen.in_tokens = seen.in_bytes + size, seen.in_tokens + usage.input_tokens
            if seen.in_tokens > 1 << 20:
                seen.in_bytes, seen.in_tokens = max(1, seen.in_bytes // 2), seen.in_tokens // 2


def _answers(body: Mapping[str, Any]) -> int:
    """Return how many answers are written, each of which may be as long as the request allows."""
    config = body.get("generationConfig")
    told = body.get("n"), body.get("best_of"), config.get("candidateCount") if isinstance(config, Mapping) else None
    return max([1, *(one for one in told if type(one) is int)])


def is_estimated(operation: str) -> bool:
    """Tell whether a kind of call is one whose cost can be told before it: text in, text or vectors out."""
    return operation in OPERATIONS


def nano_usd(provider: str, model: str, operation: str, into: int, out: int, at_ns: int) -> int | None:
    """Price tokens as nano-dollars, rounded up; None where there is no price."""
    usage = Usage(input_uncached_tokens=into, output_text_tokens=0 if operation == "embeddings" else out)
    pico = price(provider, model, usage, at_ns, itemised=False).cost_pico
    return None if pico is None else up(pico)


def up(pico: int) -> int:
    """Return pico-dollars as nano-dollars, rounded up."""
    return -(-pico // 1000)
