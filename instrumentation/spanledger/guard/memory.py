"""The store of one process: dictionaries under a lock.

The lock can be taken again by the thread that has it, as a signal handler or the finaliser of a stream may come in
between. Memory is bounded: accounts are as many as there are scopes in windows that haven't ended, and of calls that
have ended the last `MOST_CALLS` are kept. A forked child starts with what was spent, and without its parent's calls.
"""

from __future__ import annotations

import os
import threading
import weakref
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Final, TypeAlias

from .counting import CHARGED, GONE, RETURNED, SENT, SETTLED, UNSENT, Fate, count
from .sliding import Slid, corrected, room_in_ms, slide
from .store import KEEP_ACCOUNTS_MS, KEEP_CALLS_MS, LEASE_MS, Account, Balance, Charge, Kind, Line, Reserved, Unit

MOST_CALLS: Final = 10_000
"""Calls that are kept after their end; nobody in another process could confirm them anyway."""
_NOTHING: Final = Balance(0, 0)
_new: Final = tuple.__new__  # of a named tuple: half of what calling it costs


class _Entry:
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

    def add(self, amount: int, window_ms: int, now_ms: int) -> None:
        """Count something in a rate now."""
        if now_ms // window_ms != self.slot or window_ms != self.window_ms:
            self.spent, self.previous, self.slot, _ = self.slid(window_ms, now_ms)
            self.window_ms = window_ms
        self.spent += amount

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


class _Call:
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
        return Fate(self.state, self.usd, self.tokens, self.flagged)

    def become(self, fate: Fate) -> None:
        self.state, self.usd, self.tokens, self.flagged = fate

    def estimate(self, unit: Unit) -> int:
        """Return the largest of its estimates."""
        return max([line.amount for line in self.lines if line.kind == "budget" and line.unit == unit], default=0)


_Found: TypeAlias = tuple[_Entry, int, int, int]
"""An account, the amount wanted of it, what it has, and the length of a rate's window."""


def _held(found: list[_Found], now_ms: int) -> tuple[Balance, ...]:
    """Hold what is wanted; returns the accounts with it."""
    balances = []
    for entry, amount, used, window_ms in found:
        if window_ms:
            entry.add(amount, window_ms, now_ms)
            balances.append(_new(Balance, (used + amount, 0)))
        else:
            entry.held += amount
            balances.append(_new(Balance, (entry.spent, entry.held)))
    return tuple(balances)


class MemoryStore:
    """Accounts of this process; see `Store` for what the methods do."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._accounts: dict[str, _Entry] = {}
        self._live: dict[str, _Call] = {}
        self._ended: dict[str, _Call] = {}
        """Settled, charged and returned ones."""
        self._order: deque[str] = deque()
        """In which they ended."""
        self._states: dict[str, str] = {}
        self._next_expiry_ms = 0
        """No live call expires before that."""
        _stores.add(self)

    def reserve(self, call: str, lines: Sequence[Line], now_ms: int) -> Reserved:
        """Hold the amounts of all lines for `LEASE_S` seconds, or of none."""
        with self._lock:
            if call in self._live or call in self._ended:
                return Reserved(self._balances(lines, now_ms))
            found, fresh = self._look(lines, now_ms)
            if len(found) < len(lines) and self._expire(now_ms):
                found, fresh = self._look(lines, now_ms)
            if (place := len(found)) < len(lines):
                return Reserved(self._balances(lines, now_ms), place, self._room_in_ms(lines[place], now_ms))
            if fresh:
                self._accounts.update(fresh)
            made = self._live[call] = _Call(lines, now_ms)
            if made.expires_ms < self._next_expiry_ms or len(self._live) == 1:
                self._next_expiry_ms = made.expires_ms
            return _new(Reserved, (_held(found, now_ms), -1, 0))

    def _look(self, lines: Sequence[Line], now_ms: int) -> tuple[list[_Found], dict[str, _Entry]]:
        """Return the accounts of lines, up to the line without room, and those of them that weren't there."""
        find = self._accounts.get
        found: list[_Found] = []
        fresh: dict[str, _Entry] = {}
        for key, kind, unit, amount, cap, until_ms, window_ms in lines:
            entry = find(key)
            if entry is None:
                entry = fresh[key] = _Entry(kind, unit, until_ms, window_ms)
            used = entry.used(window_ms, now_ms) if window_ms else entry.spent + entry.held
            if used + amount > cap >= 0:
                break
            found.append((entry, amount, used, window_ms))
        return found, fresh

    def _balances(self, lines: Sequence[Line], now_ms: int) -> tuple[Balance, ...]:
        balances = []
        for line in lines:
            entry = self._accounts.get(line.key)
            if entry is None:
                balances.append(_NOTHING)
            elif line.kind == "rate":
                balances.append(Balance(entry.used(line.window_ms, now_ms), 0))
            else:
                balances.append(Balance(entry.spent, entry.held))
        return tuple(balances)

    def _room_in_ms(self, line: Line, now_ms: int) -> int:
        if line.kind != "rate":
            return 0
        entry = self._accounts.get(line.key) or _Entry(line.kind, line.unit, 0, line.window_ms)
        return room_in_ms(entry.slid(line.window_ms, now_ms), line.window_ms, line.amount, line.cap, now_ms)

    def sent(self, call: str) -> None:
        """Note that the request is about to leave."""
        with self._lock:
            if found := self._live.get(call):
                found.state = SENT

    def settle(self, call: str, usd: int, tokens: int, now_ms: int, *, flagged: bool = False) -> bool:
        """Swap the hold, or the estimate that was charged for it, for what was spent."""
        with self._lock:
            found = self._live.pop(call, None)
            if found is not None:
                self._settle(found, usd, tokens, now_ms, flagged)
                self._keep(call, found)
                return True
            found = self._ended.get(call)
            if found is None or found.state == SETTLED:
                return False
            self._step(found, Fate(SETTLED, usd, tokens, flagged), now_ms)
            return True

    def _settle(self, call: _Call, usd: int, tokens: int, now_ms: int, flagged: bool) -> None:
        """`_step`, for the way that most calls go."""
        find = self._accounts.get
        for key, kind, unit, amount, _cap, _until_ms, _window_ms in call.lines:
            entry = find(key)
            if entry is None:
                continue
            actual = usd if unit == "usd" else tokens if unit == "tokens" else amount
            if kind == "budget":
                entry.held -= amount
                entry.spent += actual
                if flagged:
                    entry.flagged += actual
            elif kind == "lease":
                entry.held -= amount
            elif actual != amount:
                entry.correct(actual - amount, call.at_ms, now_ms)
        call.state, call.usd, call.tokens, call.flagged = SETTLED, usd, tokens, flagged

    def _step(self, call: _Call, after: Fate, now_ms: int, kind: Kind | None = None) -> None:
        """Count a call for what becomes of it, in accounts of one kind or all."""
        before = call.fate()
        for line in call.lines:
            entry = self._accounts.get(line.key)
            if entry and (kind is None or entry.kind == kind):
                entry.step(line.amount, before, after, call.at_ms, now_ms)
        call.become(after)

    def release(self, call: str, now_ms: int) -> bool:
        """Give back all that a call holds, rates of calls but for that."""
        with self._lock:
            found = self._live.pop(call, None)
            if found is None:
                return False
            self._step(found, Fate(GONE), now_ms)
            return True

    def renew(self, calls: Sequence[str], now_ms: int) -> None:
        """Have the holds of these calls live for another `LEASE_S` seconds."""
        with self._lock:
            for call in calls:
                if found := self._live.get(call):
                    found.expires_ms = now_ms + LEASE_MS
                    self._next_expiry_ms = min(self._next_expiry_ms, found.expires_ms)

    def sweep(self, now_ms: int) -> int:
        """End what has expired, and forget what is old."""
        with self._lock:
            for found in self._live.values():
                # Held by a clock that was ahead, and has been set back.
                found.expires_ms = min(found.expires_ms, now_ms + 2 * LEASE_MS)
                self._next_expiry_ms = min(self._next_expiry_ms, found.expires_ms)
            ended = self._expire(now_ms)
            for call in [call for call, found in self._ended.items() if found.at_ms <= now_ms - KEEP_CALLS_MS]:
                del self._ended[call]
            for key in [key for key, entry in self._accounts.items() if entry.is_over(now_ms)]:
                del self._accounts[key]
            return ended

    def _expire(self, now_ms: int) -> int:
        if now_ms < self._next_expiry_ms:
            return 0
        expired = [(call, found) for call, found in self._live.items() if found.expires_ms <= now_ms]
        for call, found in expired:
            charged = Fate(CHARGED, found.estimate("usd"), found.estimate("tokens"), True)
            self._step(found, charged if found.state == SENT else Fate(RETURNED), now_ms)
            del self._live[call]
            self._keep(call, found)
        self._next_expiry_ms = min([found.expires_ms for found in self._live.values()], default=0)
        return len(expired)

    def _keep(self, call: str, found: _Call) -> None:
        self._ended[call] = found
        self._order.append(call)
        if len(self._order) > MOST_CALLS:
            self._ended.pop(self._order.popleft(), None)

    def accounts(self) -> list[Account]:
        """List all accounts, by key."""
        with self._lock:
            return [
                Account(key, entry.kind, entry.unit, entry.spent, entry.held, entry.flagged, entry.until_ms)
                for key, entry in sorted(self._accounts.items())
            ]

    def charges(self, before_ms: int, limit: int) -> list[Charge]:
        """List calls reserved before a moment that the lake hasn't confirmed, oldest first."""
        with self._lock:
            found = [
                Charge(call, one.at_ms, one.usd, one.tokens, one.flagged)
                for call, one in self._ended.items()
                if one.at_ms < before_ms and one.state != RETURNED
            ]
        return sorted(found, key=lambda charge: (charge.at_ms, charge.call))[:limit]

    def confirm(self, call: str, usd: int, tokens: int) -> bool:
        """Put what the lake says in place of what a call was charged, and forget the call."""
        with self._lock:
            found = self._ended.get(call)
            if found is None or found.state == RETURNED:
                return False
            self._step(found, Fate(SETTLED, usd, tokens), found.at_ms, "budget")
            del self._ended[call]
            return True

    def set_spent(self, key: str, spent: int, until_ms: int, unit: Unit) -> None:
        """Say what a budget's account has spent; holds stay."""
        with self._lock:
            entry = self._budget(key, until_ms, unit)
            entry.spent, entry.flagged = spent, 0

    def raise_spent(self, floors: Mapping[str, tuple[int, int, Unit]]) -> None:
        """See that accounts have spent at least so much."""
        with self._lock:
            for key, (spent, until_ms, unit) in floors.items():
                entry = self._budget(key, until_ms, unit)
                entry.spent = max(entry.spent, spent)

    def _budget(self, key: str, until_ms: int, unit: Unit) -> _Entry:
        return self._accounts.setdefault(key, _Entry("budget", unit, until_ms, 0))

    def states(self, prefix: str) -> dict[str, str]:
        """Return what was kept under keys that begin with this."""
        with self._lock:
            return {key: value for key, value in sorted(self._states.items()) if key.startswith(prefix)}

    def put_state(self, key: str, value: str | None, expected: str | None) -> bool:
        """Keep a text, or None for nothing more, if what is kept is still `expected`."""
        with self._lock:
            if self._states.get(key) != expected:
                return False
            if value is None:
                self._states.pop(key, None)
            else:
                self._states[key] = value
            return True

    def close(self) -> None:
        """Do nothing: there is nothing to let go of."""

    def _start_anew_in_child(self) -> None:
        self._lock = threading.RLock()
        self._live = {}
        for entry in self._accounts.values():
            entry.held = 0


_stores: Final[weakref.WeakSet[MemoryStore]] = weakref.WeakSet()


def _after_fork_in_child() -> None:
    for store in list(_stores):
        store._start_anew_in_child()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
