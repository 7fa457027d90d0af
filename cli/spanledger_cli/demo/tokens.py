"""How the local provider counts tokens, and its prompt cache.

A token is four bytes, so that text of a wished size can be made exactly and history that is sent again costs
exactly what it cost when it was written.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

BYTES_PER_TOKEN: Final = 4
SMALLEST_CACHED: Final = 1024
"""Shorter prefixes are never cached, at either provider."""

Ttl = Literal["5m", "1h"]
_TTL_S: Final[dict[Ttl, float]] = {"5m": 300.0, "1h": 3600.0}
_UNCOUNTED_KEYS: Final = frozenset(
    {"role", "type", "id", "call_id", "tool_call_id", "tool_use_id", "status", "signature", "cache_control"}
)
_PROSE: Final = (
    "The lines below stand in for what a model would have said; only their length matters here. "
    "Each four bytes are one token, and whoever sends them again pays for them again. "
)


@dataclass(frozen=True, slots=True)
class Segment:
    """A stretch of a prompt, in the order that the prompt cache sees."""

    text: str
    tokens: int
    ttl: Ttl | None = None
    """Set where a cache breakpoint stands behind it."""


@dataclass(frozen=True, slots=True)
class CacheUse:
    """Tokens of one prompt that came from the cache or went into it."""

    read: int = 0
    write_5m: int = 0
    write_1h: int = 0


def count_tokens(value: object) -> int:
    """Count the tokens of a text, or of every text inside a message, a list of them, or a tool definition."""
    size = sum(len(text.encode()) for text in _texts(value))
    return -(-size // BYTES_PER_TOKEN)


def make_text(tokens: int, opening: str = "") -> str:
    """Return ASCII text of exactly that many tokens, beginning with (a part of) `opening`."""
    size = tokens * BYTES_PER_TOKEN
    text = opening.encode("ascii", "replace").decode()
    text += " " if text else ""
    return (text + _PROSE * (size // len(_PROSE) + 1))[:size]


def make_segment(value: object, ttl: Ttl | None = None) -> Segment:
    """Wrap one part of a request."""
    return Segment(json.dumps(value, sort_keys=True), count_tokens(value), ttl)


class PromptCache:
    """Which prefixes were seen, until when.

    Anthropic's rules for both providers: entries are written at breakpoints and looked up at every segment.
    """

    def __init__(self) -> None:
        self._until: dict[str, tuple[Ttl, float]] = {}

    def use(self, model: str, segments: Sequence[Segment], now_s: float) -> CacheUse:
        """Say what this prompt reads and writes, and remember its prefixes."""
        prefixes = list(_prefixes(model, segments))
        read_tokens, read_until = 0, -1
        for place, (key, tokens) in enumerate(prefixes):
            known = self._until.get(key)
            if known and known[1] > now_s and tokens >= SMALLEST_CACHED:
                self._until[key] = (known[0], now_s + _TTL_S[known[0]])
                read_tokens, read_until = tokens, place
        written: dict[Ttl, int] = {"5m": 0, "1h": 0}
        done = read_tokens
        for place, (key, tokens) in enumerate(prefixes):
            ttl = segments[place].ttl
            if ttl is None or place <= read_until or tokens < SMALLEST_CACHED:
                continue
            self._until[key] = (ttl, now_s + _TTL_S[ttl])
            written[ttl] += tokens - done
            done = tokens
        return CacheUse(read_tokens, written["5m"], written["1h"])


def _prefixes(model: str, segments: Sequence[Segment]) -> Iterator[tuple[str, int]]:
    digest = hashlib.sha256(model.encode())
    tokens = 0
    for segment in segments:
        digest.update(segment.text.encode())
        tokens += segment.tokens
        yield digest.hexdigest(), tokens


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            if key not in _UNCOUNTED_KEYS:
                yield from _texts(inner)
    elif isinstance(value, Sequence):
        for inner in value:
            yield from _texts(inner)
