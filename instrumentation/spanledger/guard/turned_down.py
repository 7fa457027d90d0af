"""Models whose provider keeps refusing the requests that they stand in for: they are let be for a while.

Trying one costs the application a request each time, and a provider that has refused a few in a row, because the
account has no access to the model, say, refuses the next one, too. A request that it takes ends that.
"""

from __future__ import annotations

from typing import Final

from .recent import Recent

MOST: Final = 3
"""In a row, of one model that is asked for and one that stands in."""
PAUSE_MS: Final = 600_000
WHY: Final = f"the provider refused it {MOST} times in a row; it is tried again after {PAUSE_MS // 60_000} minutes"


class TurnedDown:
    """What the provider of one process refused lately."""

    def __init__(self) -> None:
        self._rows: Recent[tuple[int, int]] = Recent()
        """How many in a row, and when the last one was, Unix milliseconds."""

    def add(self, model: str, to: str, now_ms: int) -> None:
        """Note that a request for `model` was refused which asked for `to`."""
        many, _ = self._rows.get(_pair(model, to)) or (0, 0)
        self._rows.put(_pair(model, to), (many + 1, now_ms))

    def taken(self, model: str, to: str) -> None:
        """Note that one was answered."""
        self._rows.drop(_pair(model, to))

    def why_not(self, model: str, to: str, now_ms: int) -> str | None:
        """Say why `to` is let be now; None where it isn't."""
        many, last_ms = self._rows.get(_pair(model, to)) or (0, 0)
        return WHY if many >= MOST and 0 <= now_ms - last_ms < PAUSE_MS else None


def _pair(model: str, to: str) -> str:
    return f"{model}\0{to}"
