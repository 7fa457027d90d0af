"""What a process knows of a store that it can lose: what accounts had when it last looked, and its own open calls.

Bounded: `MOST_ACCOUNTS` accounts, those looked at last; calls until they end, or have not been renewed for an hour.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Final

from .store import NO_CAP, Line, Unit

MOST_ACCOUNTS: Final = 10_000
_LOST_MS: Final = 3_600_000


class OpenCall:
    """A call of this process that isn't settled."""

    __slots__ = ("lines", "now_ms", "sent", "there")

    def __init__(self, lines: Sequence[Line], now_ms: int) -> None:
        self.lines = lines
        self.now_ms = now_ms
        """When it was reserved, or last renewed."""
        self.sent = False
        self.there = True
        """Whether the store said that it is held; where a question was lost, it may be all the same."""

    def uncapped(self) -> list[Line]:
        """Return its lines as they are held again whatever others have: it is under way."""
        return [line._replace(cap=NO_CAP) for line in self.lines]


class Known:
    """Accounts and open calls, as last seen by this process."""

    def __init__(self) -> None:
        self.calls: dict[str, OpenCall] = {}
        self._spent: dict[str, tuple[int, int, Unit]] = {}
        self._lock = threading.RLock()

    def saw(self, lines: Sequence[Line], spent: Sequence[int], *, at_least: bool = False) -> None:
        """Note what the accounts of lines have spent, in their order; `at_least`: it may be from a while ago."""
        with self._lock:
            for line, amount in zip(lines, spent, strict=True):
                if line.kind == "budget":
                    known = self._spent.pop(line.key, None)
                    most = max(amount, known[0]) if at_least and known else amount
                    self._spent[line.key] = most, line.until_ms, line.unit
            while len(self._spent) > MOST_ACCOUNTS:
                del self._spent[next(iter(self._spent))]

    def ended(self, lines: Sequence[Line], usd: int, tokens: int) -> None:
        """Note what a call of this process has spent since accounts were last seen."""
        with self._lock:
            for line in lines:
                if known := self._spent.get(line.key):
                    actual = usd if line.unit == "usd" else tokens if line.unit == "tokens" else line.amount
                    self._spent[line.key] = known[0] + actual, *known[1:]

    def floors(self) -> dict[str, tuple[int, int, Unit]]:
        """Return what budgets had spent: key to (spent, until_ms, unit)."""
        with self._lock:
            return dict(self._spent)

    def renewed(self, calls: Sequence[str], now_ms: int) -> None:
        """Note that calls go on."""
        for call in calls:
            if found := self.calls.get(call):
                found.now_ms = now_ms

    def forget_lost(self, now_ms: int) -> None:
        """Forget calls that nobody renews any more."""
        for call, found in list(self.calls.items()):
            if found.now_ms + _LOST_MS < now_ms:
                self.calls.pop(call, None)

    def start_anew(self) -> None:
        """Leave the calls to the parent of this forked process; another thread may have held its lock."""
        self._lock = threading.RLock()
        self.calls = {}
