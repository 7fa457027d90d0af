"""The store of one process: dictionaries under a lock.

The lock can be taken again by the thread that has it, as a signal handler or the finaliser of a stream may come in
between. Memory is bounded: accounts are as many as there are scopes in windows that haven't ended, and of calls that
have ended the last `MOST_CALLS` are kept. A forked child starts with what was spent, and without its parent's calls.
"""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Mapping, Sequence
from typing import Final

from .counting import CHARGED, GONE, RETURNED, SENT, SETTLED, UNSENT, Fate, count
from .sliding import Slid, corrected, room_in_ms, slide
from .store import KEEP_ACCOUNTS_MS, KEEP_CALLS_MS, LEASE_MS, Account, Balance, Charge, Kind, Line, Reserved, Unit

MOST_CALLS: Final = 10_000
"""Calls that are kept after their end; nobody in another process could confirm them anyway."""
_LIVE: Final = (Fate(UNSENT), Fate(SENT))
_NOTHING: Final = Balance(0, 0)


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
        at, elapsed = divmod(now_ms, window_ms)
        if at == self.slot and window_ms == self.window_ms:  # `slid`, for the way that most calls go
            return self.spent + self.previous * (window_ms - elapsed) // window_ms
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
            slid = self.slid(self.window_ms, now_ms)
            self.slot = slid.slot
            self.spent, self.previous = corrected(slid, difference, at_ms // self.window_ms)

    def is_over(self, now_ms: int) -> bool:
        """Tell whether nothing is lost by forgetting it."""
        if self.kind == "rate":
            return now_ms // self.window_ms > self.slot + 1
        ended = self.kind == "lease" or 0 < self.until_ms <= now_ms - KEEP_ACCOUNTS_MS
        return ended and not self.held


class _Call:
    """A call, and what it wants of which accounts."""

    __slots__ = ("amounts", "at_ms", "expires_ms", "fate")

    def __init__(self, amounts: list[tuple[str, int]], now_ms: int, expires_ms: int) -> None:
        self.amounts = amounts
        self.at_ms = now_ms
        self.expires_ms = expires_ms
        self.fate = _LIVE[UNSENT]


class MemoryStore:
    """Accounts of this process; see `Store` for what the methods do."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._accounts: dict[str, _Entry] = {}
        self._live: dict[str, _Call] = {}
        self._ended: dict[str, _Call] = {}
        """Settled, charged and returned ones, as they ended."""
        self._states: dict[str, str] = {}
        self._next_expiry_ms = 0
        """No live call expires before that."""
        _stores.add(self)

    def reserve(self, call: str, lines: Sequence[Line], now_ms: int) -> Reserved:
        """Hold the amounts of all lines for `LEASE_S` seconds, or of none."""
        with self._lock:
            place, entries, used = self._look(lines, now_ms)
            if call in self._live or call in self._ended:
                return Reserved(self._balances(lines, now_ms))
            if place >= 0 and self._expire(now_ms):
                place, entries, used = self._look(lines, now_ms)
            if place >= 0:
                return Reserved(self._balances(lines, now_ms), place, self._room_in_ms(lines[place], now_ms))
            return self._hold(call, lines, entries, used, now_ms)

    def _look(self, lines: Sequence[Line], now_ms: int) -> tuple[int, list[_Entry | None], list[int]]:
        """Return the place of the line without room, or -1, and accounts with what they have."""
        find = self._accounts.get
        entries: list[_Entry | None] = []
        has: list[int] = []
        for key, kind, _unit, amount, cap, _until_ms, window_ms in lines:
            entry = find(key)
            if entry is None:
                used = 0
            elif kind == "rate":
                used = entry.used(window_ms, now_ms)
            else:
                used = entry.spent + entry.held
            if used + amount > cap >= 0:
                return len(entries), entries, has
            entries.append(entry)
            has.append(used)
        return -1, entries, has

    def _hold(
        self, call: str, lines: Sequence[Line], entries: Sequence[_Entry | None], used: Sequence[int], now_ms: int
    ) -> Reserved:
        balances, amounts = [], []
        for (key, kind, unit, amount, _cap, until_ms, window_ms), entry, has in zip(lines, entries, used, strict=True):
            if entry is None:
                entry = self._accounts[key] = _Entry(kind, unit, until_ms, window_ms)
            if kind == "rate":
                entry.add(amount, window_ms, now_ms)
                balances.append(Balance(has + amount, 0))
            else:
                entry.held += amount
                balances.append(Balance(entry.spent, entry.held))
            amounts.append((key, amount))
        expires_ms = now_ms + LEASE_MS
        if expires_ms < self._next_expiry_ms or not self._live:
            self._next_expiry_ms = expires_ms
        self._live[call] = _Call(amounts, now_ms, expires_ms)
        return Reserved(tuple(balances))

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
        return room_in_ms(entry.slid(line.window_ms, now_ms), line.window_ms, line.amount, line.cap)

    def sent(self, call: str) -> None:
        """Note that the request is about to leave."""
        with self._lock:
            if found := self._live.get(call):
                found.fate = _LIVE[SENT]

    def settle(self, call: str, usd: int, tokens: int, now_ms: int, *, flagged: bool = False) -> bool:
        """Swap the hold, or the estimate that was charged for it, for what was spent."""
        fate = Fate(SETTLED, usd, tokens, flagged)
        with self._lock:
            found = self._live.pop(call, None)
            if found is not None:
                self._settle(found, fate, now_ms)
                self._keep(call, found)
                return True
            found = self._ended.get(call)
            if found is None or found.fate.state == SETTLED:
                return False
            self._step(found, fate, now_ms)
            return True

    def _settle(self, call: _Call, fate: Fate, now_ms: int) -> None:
        """`_step`, for the way that most calls go."""
        _, usd, tokens, flagged = fate
        for key, amount in call.amounts:
            entry = self._accounts.get(key)
            if entry is None:
                continue
            kind, unit = entry.kind, entry.unit
            actual = usd if unit == "usd" else tokens if unit == "tokens" else amount
            if kind == "budget":
                entry.held -= amount
                entry.spent += actual
                if flagged:
                    entry.flagged += actual
            elif kind == "lease":
                entry.held -= amount
            elif actual != amount:
                entry.step(amount, call.fate, fate, call.at_ms, now_ms)
        call.fate = fate

    def _step(self, call: _Call, after: Fate, now_ms: int, kind: Kind | None = None) -> None:
        """Count a call for what becomes of it, in accounts of one kind or all."""
        for key, amount in call.amounts:
            entry = self._accounts.get(key)
            if entry and (kind is None or entry.kind == kind):
                entry.step(amount, call.fate, after, call.at_ms, now_ms)
        call.fate = after

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
            self._step(found, self._charged(found) if found.fate.state == SENT else Fate(RETURNED), now_ms)
            del self._live[call]
            self._keep(call, found)
        self._next_expiry_ms = min([found.expires_ms for found in self._live.values()], default=0)
        return len(expired)

    def _charged(self, call: _Call) -> Fate:
        """Return the fate of a call that is charged at the largest of its estimates."""
        most = {"usd": 0, "tokens": 0, "calls": 0}
        for key, amount in call.amounts:
            entry = self._accounts.get(key)
            if entry and entry.kind == "budget":
                most[entry.unit] = max(most[entry.unit], amount)
        return Fate(CHARGED, most["usd"], most["tokens"], True)

    def _keep(self, call: str, found: _Call) -> None:
        self._ended[call] = found
        if len(self._ended) > MOST_CALLS:
            del self._ended[next(iter(self._ended))]

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
                Charge(call, one.at_ms, one.fate.usd, one.fate.tokens, one.fate.flagged)
                for call, one in self._ended.items()
                if one.at_ms < before_ms and one.fate.state != RETURNED
            ]
        return sorted(found, key=lambda charge: (charge.at_ms, charge.call))[:limit]

    def confirm(self, call: str, usd: int, tokens: int) -> bool:
        """Put what the lake says in place of what a call was charged, and forget the call."""
        with self._lock:
            found = self._ended.get(call)
            if found is None or found.fate.state == RETURNED:
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
