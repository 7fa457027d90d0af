"""The store of one process: dictionaries under a lock.

The lock can be taken again by the thread that has it, as a signal handler or the finaliser of a stream may come in
between. Memory is bounded: accounts are as many as there are scopes in windows that haven't ended, and of calls that
have ended the last `MOST_CALLS` are kept. A forked child starts with what was spent, and without its parent's calls.
"""

from __future__ import annotations

import os
import threading
import time
import weakref
from collections import deque
from collections.abc import Mapping, Sequence
from heapq import heappop, heappush
from typing import Final

from .counting import CHARGED, GONE, RETURNED, SENT, SETTLED, Fate
from .entries import Call, Entry
from .sliding import room_in_ms
from .store import KEEP_ACCOUNTS_MS, KEEP_CALLS_MS, LEASE_MS, Account, Balance, Charge, Kind, Line, Reserved, Unit

MOST_CALLS: Final = 10_000
"""Calls that are kept after their end; nobody in another process could confirm them anyway."""
_AT_ONCE: Final = 500
"""Accounts that a sweep looks at before calls have their turn."""
_TRIES: Final = range(3)
"""Of holding a call: as it is, with its accounts opened, and after a signal handler that took of them in between."""
_NOTHING: Final = Balance(0, 0)
_new: Final = tuple.__new__  # of a named tuple: half of what calling it costs


class MemoryStore:
    """Accounts of this process; see `Store` for what the methods do."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._accounts: dict[str, Entry] = {}
        self._ends: list[tuple[int, str]] = []
        """Accounts of budgets that end, a heap by when they are forgotten."""
        self._in_use: set[str] = set()
        """Accounts of rates and leases; those that are idle are forgotten."""
        self._live: dict[str, Call] = {}
        self._ended: dict[str, Call] = {}
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
            for _ in _TRIES:
                balances = self._held(lines, now_ms)
                if balances is not None:
                    break
                place = self._refused(lines, now_ms)
                if place >= 0 and self._expire(now_ms):
                    place = self._refused(lines, now_ms)
                if place >= 0:
                    return Reserved(self._balances(lines, now_ms), place, self._room_in_ms(lines[place], now_ms))
                self._make_ready(lines, now_ms)
            else:
                raise ValueError("two lines of a call are of one account, which has no room for both")
            made = self._live[call] = Call(lines, now_ms)
            if made.expires_ms < self._next_expiry_ms or len(self._live) == 1:
                self._next_expiry_ms = made.expires_ms
            return _new(Reserved, (tuple(balances), -1, 0))

    def _held(self, lines: Sequence[Line], now_ms: int) -> list[Balance] | None:
        """Hold all lines; None, and nothing held, if one has no room, or its account isn't ready."""
        find = self._accounts.get
        balances: list[Balance] = []
        for key, _kind, _unit, amount, cap, _until_ms, window_ms in lines:
            entry = find(key)
            if entry is None:
                break
            if window_ms:
                # The clock may have gone back into the window before.
                if window_ms != entry.window_ms or not 0 <= entry.slot - now_ms // window_ms <= 1:
                    break
                used, held = entry.used(window_ms, now_ms) + amount, 0
                if used > cap >= 0:
                    break
                entry.spent += amount
            else:
                used, held = entry.spent, entry.held + amount
                if used + held > cap >= 0:
                    break
                entry.held += amount
            balances.append(_new(Balance, (used, held)))
        else:
            return balances
        for line in lines[: len(balances)]:
            entry = self._accounts[line.key]
            if line.window_ms:
                entry.spent -= line.amount
            else:
                entry.held -= line.amount
        return None

    def _make_ready(self, lines: Sequence[Line], now_ms: int) -> None:
        """Open accounts that aren't there, and move the windows of rates to now, which a refused call must not do."""
        for line in lines:
            entry = self._opened(line.key, line.kind, line.unit, line.until_ms, line.window_ms)
            if line.window_ms:
                entry.move(line.window_ms, now_ms)

    def _refused(self, lines: Sequence[Line], now_ms: int) -> int:
        """Return the place of the line without room, or -1."""
        for place, (line, balance) in enumerate(zip(lines, self._balances(lines, now_ms), strict=True)):
            if sum(balance) + line.amount > line.cap >= 0:
                return place
        return -1

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
        entry = self._accounts.get(line.key) or Entry(line.kind, line.unit, 0, line.window_ms)
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

    def _settle(self, call: Call, usd: int, tokens: int, now_ms: int, flagged: bool) -> None:
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

    def _step(self, call: Call, after: Fate, now_ms: int, kind: Kind | None = None) -> None:
        """Count a call for what becomes of it, in accounts of one kind or all."""
        before = call.fate()
        for line in call.lines:
            entry = self._accounts.get(line.key)
            if entry and (kind is None or entry.kind == kind):
                entry.step(line.amount, before, after, call.at_ms, now_ms)
        call.become(after)

    def tell_settled(self, call: str, usd: int, tokens: int, now_ms: int, *, flagged: bool = False) -> None:
        """Settle: there is nothing to wait for but the work."""
        self.settle(call, usd, tokens, now_ms, flagged=flagged)

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
        self._forget_accounts(now_ms)
        return ended

    def _forget_accounts(self, now_ms: int) -> None:
        """Forget accounts that are over, some at a time; calls wait for none of the others, one for each session."""
        in_use, held = list(self._in_use), list[tuple[int, str]]()
        for start in range(0, len(in_use), _AT_ONCE):
            with self._lock:
                some = in_use[start : start + _AT_ONCE]
                self._in_use.difference_update([key for key in some if self._forget(key, now_ms)])
            time.sleep(0)  # has whoever waits for the lock go on
        while self._ends and self._ends[0][0] <= now_ms:
            with self._lock:
                for _ in range(_AT_ONCE):
                    if not self._ends or self._ends[0][0] > now_ms:
                        break
                    end = heappop(self._ends)
                    if not self._forget(end[1], now_ms):
                        held.append(end)
            time.sleep(0)
        with self._lock:
            for end in held:
                heappush(self._ends, end)

    def _forget(self, key: str, now_ms: int) -> bool:
        """Forget an account if it is over; False where it isn't."""
        entry = self._accounts.get(key)
        if entry is not None and not entry.is_over(now_ms):
            return False
        self._accounts.pop(key, None)
        return True

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

    def _keep(self, call: str, found: Call) -> None:
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

    def charges(self, before_ms: int, limit: int, after: Charge | None = None) -> list[Charge]:
        """List calls reserved before a moment that the lake hasn't confirmed, oldest first; those `after` one."""
        with self._lock:
            found = [
                Charge(call, one.at_ms, one.usd, one.tokens, one.flagged)
                for call, one in self._ended.items()
                if one.at_ms < before_ms
                and one.state != RETURNED
                and (after is None or (one.at_ms, call) > (after.at_ms, after.call))
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

    def set_spent(self, key: str, spent: int, until_ms: int, unit: Unit, expected: int | None = None) -> bool:
        """Say what a budget's account has spent, if that was `expected`; holds stay."""
        with self._lock:
            known = self._accounts.get(key)
            if expected is not None and (known.spent if known else 0) != expected:
                return False
            entry = self._opened(key, "budget", unit, until_ms, 0)
            entry.spent, entry.flagged = spent, 0
            return True

    def raise_spent(self, floors: Mapping[str, tuple[int, int, Unit]]) -> None:
        """See that accounts have spent at least so much."""
        with self._lock:
            for key, (spent, until_ms, unit) in floors.items():
                entry = self._opened(key, "budget", unit, until_ms, 0)
                entry.spent = max(entry.spent, spent)

    def _opened(self, key: str, kind: Kind, unit: Unit, until_ms: int, window_ms: int) -> Entry:
        """Return an account, opened if it isn't there."""
        entry = self._accounts.get(key)
        if entry is None:
            entry = self._accounts[key] = Entry(kind, unit, until_ms, window_ms)
            if kind != "budget":
                self._in_use.add(key)
            elif until_ms > 0:
                heappush(self._ends, (until_ms + KEEP_ACCOUNTS_MS, key))
        return entry

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
