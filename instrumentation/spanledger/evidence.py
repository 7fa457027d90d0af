"""What is kept of a call whose tokens nobody counted, and of a few counted ones to learn from.

This is the part of estimating that the application's thread does: references to text, no counting. `estimate` has the
rest, on the ledger's thread.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from .texts import Texts

OPERATIONS: Final = frozenset({"chat", "text_completion", "generate_content", "embeddings"})
"""What is metered in tokens of text."""
MOST_MODELS: Final = 256
_FIRST_LESSONS: Final = 8
_LESSON_EVERY: Final = 32


class Evidence(NamedTuple):
    """What a call is known to have said and heard."""

    asked: Texts
    heard: tuple[str | bytes, ...]
    """Text, or messages of Bedrock's event streams as they came."""
    answered: bool = True
    """The provider took the request on; False where only failed attempts are to be estimated."""


class Lessons:
    """Which counted calls to learn from: the first ones of each model, then a few."""

    def __init__(self) -> None:
        self._seen: dict[tuple[str, str], int] = {}

    def wants(self, provider: str, model: str) -> bool:
        """Say whether to look at this call; a number lost between threads does no harm."""
        key = provider, model
        seen = self._seen.get(key, 0)
        if not seen and len(self._seen) >= MOST_MODELS:
            return False
        self._seen[key] = seen + 1
        return seen < _FIRST_LESSONS or not seen % _LESSON_EVERY
