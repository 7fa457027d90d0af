"""What the store in memory keeps: accounts, and calls with their lines; the store has the lock.

What is so for most calls is asked first and written out, as a call asks it of each of its accounts.
"""

from __future__ import annotations

from collections.abc import Sequence

from .counting import UNSENT, Fate, count
from .sliding import Slid, corrected, slide
from .store import KEEP_ACCOUNTS_MS, LEASE_MS, Kind, Line, Unit


class Entry:
    """An account; of a rate `spent` is what the window number `slot` has."""

    __slots__ = ("flagged", "held", "kind", "previous", "slot", "spent", "unit", "until_ms", "window_ms")

    def __init__(self, kind: Kind, unit: Unit, until_ms: int, window_ms: int) -> None:
        self.kind: Kind = kind
        self.unit: Unit = unit
        self.until_ms = until_ms
        self.window_ms = window_ms
        self.spent = self.held = self.flagged = self.slot = self.previous = 0

    def slid(self, window_ms: int, now_ms: int) -> Slid:
        """Return a rate's windows as they are now; those of another length start anew."""
        known = window_ms == self.window_ms
        return slide(self.spent if known else 0, self.previous if known else 0, self.slot, window_ms, now_ms)

    def used(self, window_ms: int, now_ms: int) -> int:
        """Return what the sliding window of a rate has."""
        if now_ms // window_ms == self.slot and window_ms == self.window_ms:  # `slid`, for most calls
            if not self.previous:
                return self.spent
            return self.spent + self.previous * (window_ms - now_ms % window_ms) // window_ms
        return self.slid(window_ms, now_ms).used(window_ms)

    def move(self, window_ms: int, now_ms: int) -> None:
        """Move the windows of a rate to now."""
        self.spent, self.previous, self.slot, _ = self.slid(window_ms, now_ms)
        self.window_ms = window_ms

    def step(self, amount: int, before: Fate, after: Fate, at_ms: int, now_ms: int) -> None:
        """Count a call for what becomes of it, and no more for what it was."""
        old, new = count(before, self.kind, self.unit, amount), count(after, self.kind, self.unit, amount)
        difference = new.spent - old.spent
        if self.kind != "rate":
            self.held += new.held - old.held
            self.spent = max(0, self.spent + difference)
            self.flagged = max(0, self.flagged + new.flagged - old.flagged)
        elif difference:
            self.correct(difference, at_ms, now_ms)

    def correct(self, difference: int, at_ms: int, now_ms: int) -> None:
        """Set a rate right by a difference to what was counted then."""
        window_ms = self.window_ms
        if now_ms // window_ms == self.slot == at_ms // window_ms:  # as below, for most calls
            self.spent = max(0, self.spent + difference)
            return
        slid = self.slid(window_ms, now_ms)
        self.slot = slid.slot
        self.spent, self.previous = corrected(slid, difference, at_ms // window_ms)

    def is_over(self, now_ms: int) -> bool:
        """Tell whether nothing is lost by forgetting it."""
        if self.kind == "rate":
            return now_ms // self.window_ms > self.slot + 1
        ended = self.kind == "lease" or 0 < self.until_ms <= now_ms - KEEP_ACCOUNTS_MS
        return ended and not self.held


class Call:
    """A call and its lines; `usd`, `tokens` and `flagged` of one that was settled or charged."""

    __slots__ = ("at_ms", "expires_ms", "flagged", "lines", "state", "tokens", "usd")

    def __init__(self, lines: Sequence[Line], now_ms: int) -> None:
        self.lines = lines
        self.at_ms = now_ms
        self.expires_ms = now_ms + LEASE_MS
        self.state = UNSENT
        self.usd = self.tokens = 0
        self.flagged = False

    def fate(self) -> Fate:
        """Return what has become of it so far."""
        return Fate(self.state, self.usd, self.tokens, self.flagged)

    def become(self, fate: Fate) -> None:
        """Note what has become of it."""
        self.state, self.usd, self.tokens, self.flagged = fate

    def estimate(self, unit: Unit) -> int:
        """Return the largest of its estimates."""
        return max([line.amount for line in self.lines if line.kind == "budget" and line.unit == unit], default=0)
