"""A store that goes on by what this process knows while the one behind it is away.

Where that fails, or isn't in time, the caller has waited for it once; from then on nobody asks it but a thread of ours,
after one second, then two, and so on up to ten, and calls are held in memory, upon the last balances seen. When it is
back, what calls have spent meanwhile is handed over, each once by its id, and those under way are held there; only
then is it asked again. What this raises would be a fault of its own: `StoreAwayError` ends here, and `away` tells.
"""

from __future__ import annotations

import contextlib
import os
import threading
import weakref
from collections.abc import Callable, Mapping, Sequence
from typing import Final, NamedTuple, TypeAlias, TypeVar

from spanledger import faults

from .known import Known, OpenCall
from .memory import MemoryStore
from .store import Account, Charge, Line, Reserved, Store, StoreAwayError, Unit

FIRST_WAIT_S: Final = 1.0
MOST_WAIT_S: Final = 10.0
MOST_ENDED: Final = 100_000
"""Calls that ended while the store was away; of more, the oldest are not handed over."""
_FEW: Final = 50
"""Calls that are handed over while new ones wait."""
_T = TypeVar("_T")
_Settle: TypeAlias = Callable[..., bool | None]
"""How a call is settled in the store: `settle` or `tell_settled`."""


class _Ended(NamedTuple):
    """A call that ended while the store was away."""

    call: OpenCall
    now_ms: int
    usd: int = 0
    tokens: int = 0
    flagged: bool = False
    released: bool = False
    held_again: bool = False
    """It had been released before, which the store doesn't know."""


class FallbackStore:
    """A store, and memory for when it is away; see `Store` for what the methods do. None of them raises."""

    def __init__(
        self,
        primary: Store,
        first_wait_s: float = FIRST_WAIT_S,
        most_wait_s: float = MOST_WAIT_S,
        *,
        blocks: bool = False,
    ) -> None:
        self.blocks = blocks
        """Whether the primary is asked over a network, which an event loop must not wait for."""
        self.away = False
        """Whether calls are held by what this process knows alone; budgets that are to refuse then, do."""
        self._primary = primary
        self._first_wait_s = first_wait_s
        self._most_wait_s = most_wait_s
        self._known = Known()
        self._states: dict[str, str] = {}
        """As the store had them when it was last asked."""
        self._start_anew()
        _stores.add(self)

    def _start_anew(self) -> None:
        self.away = False
        self._lock = threading.RLock()
        self._known.start_anew()
        self._local = MemoryStore()
        self._ended: dict[str, _Ended] = {}
        self._put: dict[str, tuple[str | None, str | None]] = {}
        """Texts that were kept while the store was away, and what it had before."""
        self._closing = threading.Event()

    def reserve(self, call: str, lines: Sequence[Line], now_ms: int) -> Reserved:
        """Hold the amounts of all lines for `LEASE_S` seconds, or of none."""
        told = self._asked(lambda: self._primary.reserve(call, lines, now_ms))
        there = told is not None
        if told is None:
            told = self._local.reserve(call, lines, now_ms)
        else:
            self._known.saw(lines, [balance.spent for balance in told.balances])
        if told.refused < 0:
            opened = self._known.calls.setdefault(call, OpenCall(lines, now_ms))
            opened.there = opened.there and there
        return told

    def sent(self, call: str) -> None:
        """Note that the request is about to leave."""
        if opened := self._known.calls.get(call):
            opened.sent = True
        if not self._told(lambda: self._primary.sent(call)):
            self._local.sent(call)

    def settle(self, call: str, usd: int, tokens: int, now_ms: int, *, flagged: bool = False) -> bool:
        """Swap the hold, or the estimate that was charged for it, for what was spent."""
        return self._end(self._primary.settle, call, usd, tokens, now_ms, flagged)

    def tell_settled(self, call: str, usd: int, tokens: int, now_ms: int, *, flagged: bool = False) -> None:
        """Settle; the store sees later to it that it was done."""
        self._end(self._primary.tell_settled, call, usd, tokens, now_ms, flagged)

    def _end(self, settle: _Settle, call: str, usd: int, tokens: int, now_ms: int, flagged: bool) -> bool:
        opened = self._known.calls.get(call)
        ended = _Ended(opened, now_ms, usd, tokens, flagged) if opened else None
        settled = self._asked(lambda: self._settle_there(settle, call, ended, usd, tokens, now_ms, flagged))
        if settled is None:
            if ended is None:
                return False
            if not self._keep(call, ended):
                return self._end(settle, call, usd, tokens, now_ms, flagged)
            self._local.settle(call, usd, tokens, now_ms, flagged=flagged)
            settled = True
        if self._known.calls.pop(call, None) and ended:
            self._known.ended(ended.call.lines, usd, tokens)
        return settled

    def release(self, call: str, now_ms: int) -> bool:
        """Give back all that a call holds, rates of calls but for that."""
        opened = self._known.calls.get(call)
        released = self._asked(lambda: self._primary.release(call, now_ms))
        if released is None and opened and not self._keep(call, _Ended(opened, now_ms, released=True)):
            return self.release(call, now_ms)
        self._local.release(call, now_ms)
        self._known.calls.pop(call, None)
        return bool(released) or opened is not None

    def renew(self, calls: Sequence[str], now_ms: int) -> None:
        """Have the holds of these calls live for another `LEASE_S` seconds."""
        self._known.renewed(calls, now_ms)
        if not self._told(lambda: self._primary.renew(calls, now_ms)):
            self._local.renew(calls, now_ms)

    def sweep(self, now_ms: int) -> int:
        """End what has expired, and forget what is old."""
        self._known.forget_lost(now_ms)
        ended = self._asked(lambda: self._primary.sweep(now_ms))
        return self._local.sweep(now_ms) if ended is None else ended

    def accounts(self) -> list[Account]:
        """List all accounts, by key; of a store that is away, those that this process knows."""
        told = self._asked(self._primary.accounts)
        return self._local.accounts() if told is None else told

    def charges(self, before_ms: int, limit: int, after: Charge | None = None) -> list[Charge]:
        """List calls reserved before a moment that the lake hasn't confirmed; none while the store is away."""
        return self._asked(lambda: self._primary.charges(before_ms, limit, after)) or []

    def confirm(self, call: str, usd: int, tokens: int) -> bool:
        """Put what the lake says in place of what a call was charged, and forget the call."""
        return self._asked(lambda: self._primary.confirm(call, usd, tokens)) or False

    def set_spent(self, key: str, spent: int, until_ms: int, unit: Unit, expected: int | None = None) -> bool:
        """Say what a budget's account has spent; while the store is away, to this process alone."""
        done = self._asked(lambda: self._primary.set_spent(key, spent, until_ms, unit, expected))
        return self._local.set_spent(key, spent, until_ms, unit, expected) if done is None else done

    def raise_spent(self, floors: Mapping[str, tuple[int, int, Unit]]) -> None:
        """See that accounts have spent at least so much."""
        if not self._told(lambda: self._primary.raise_spent(floors)):
            self._local.raise_spent(floors)

    def states(self, prefix: str) -> dict[str, str]:
        """Return what was kept under keys that begin with this."""
        told = self._asked(lambda: self._primary.states(prefix))
        if told is None:
            return self._local.states(prefix)
        self._states = {key: text for key, text in self._states.items() if not key.startswith(prefix)} | told
        return told

    def put_state(self, key: str, value: str | None, expected: str | None) -> bool:
        """Keep a text, or None for nothing more, if what is kept is still `expected`."""
        kept = self._asked(lambda: self._primary.put_state(key, value, expected))
        if kept:
            self._saw_state(key, value)
        if kept is not None:
            return kept
        with self._lock:
            if not self.away:
                return self.put_state(key, value, expected)
            before = self._put.get(key, (None, self._states.get(key)))[1]
            kept = self._local.put_state(key, value, expected)
            if kept:
                self._put[key] = value, before
            return kept

    def close(self) -> None:
        """Hand over what can be, and let go of the store."""
        self._closing.set()
        if self.away:
            with contextlib.suppress(StoreAwayError):
                self._hand_over()
        self._primary.close()

    def _asked(self, ask: Callable[[], _T]) -> _T | None:
        """Ask the store; None where it is away."""
        if self.away:
            return None
        try:
            return ask()
        except StoreAwayError as error:
            self._leave(error)
            return None

    def _told(self, tell: Callable[[], None]) -> bool:
        """Tell the store; False where it is away."""
        if self.away:
            return False
        try:
            tell()
        except StoreAwayError as error:
            self._leave(error)
            return False
        return True

    def _leave(self, error: StoreAwayError) -> None:
        """Go on in memory."""
        with self._lock:
            if self.away:
                return
            faults.report("store of budgets", error, expected=True)
            self._local = MemoryStore()
            self._local.raise_spent(self._known.floors())
            for call, opened in list(self._known.calls.items()):
                self._local.reserve(call, opened.uncapped(), opened.now_ms)
                if opened.sent:
                    self._local.sent(call)
            for key, text in self._states.items():
                self._local.put_state(key, text, None)
            self.away = True
            try:
                threading.Thread(target=self._come_back, name="spanledger-guard", daemon=True).start()
            except RuntimeError as fault:
                self.away = False  # no thread to be had: the next call asks the store again
                faults.report("store of budgets", fault)

    def _keep(self, call: str, ended: _Ended) -> bool:
        """Keep what became of a call for the store; False where that is back."""
        with self._lock:
            if not self.away:
                return False
            before = self._ended.pop(call, None)
            again = before is not None and (before.released or before.held_again)
            self._ended[call] = ended._replace(held_again=again)
            if len(self._ended) > MOST_ENDED:
                del self._ended[next(iter(self._ended))]
                faults.report("store of budgets", "a call that wasn't handed over")
            return True

    # The way back

    def _come_back(self) -> None:
        wait_s = self._first_wait_s
        while not self._closing.wait(wait_s):
            try:
                self._hand_over()
                return
            except StoreAwayError:
                wait_s = min(2 * wait_s, self._most_wait_s)
            except Exception as error:
                faults.report("store of budgets", error)
                wait_s = self._most_wait_s

    def _hand_over(self) -> None:
        self._primary.charges(0, 1)
        while len(self._ended) + len(self._unheld()) > _FEW:
            self._hand_over_once()
        with self._lock:
            self._hand_over_once()
            for key, (value, before) in self._put.items():
                if self._primary.put_state(key, value, before):
                    self._saw_state(key, value)
            self._put = {}
            for call, opened in list(self._known.calls.items()):
                if opened.sent:
                    self._primary.sent(call)
            self.away = False

    def _hand_over_once(self) -> None:
        for call, ended in list(self._ended.items()):
            if ended.released:
                self._primary.release(call, ended.now_ms)
                self._handed_over(call, ended)
        for call, opened in self._unheld():
            if call not in self._ended:  # else it was released in between, and held again: that comes first
                self._primary.reserve(call, opened.uncapped(), opened.now_ms)
                opened.there = True
        for call, ended in list(self._ended.items()):
            if not ended.released:
                if ended.held_again and not ended.call.there:
                    self._primary.release(call, ended.now_ms)
                settle = self._primary.settle
                self._settle_there(settle, call, ended, ended.usd, ended.tokens, ended.now_ms, ended.flagged)
                self._handed_over(call, ended)

    def _handed_over(self, call: str, ended: _Ended) -> None:
        with self._lock:
            if self._ended.get(call) is ended:
                del self._ended[call]

    def _unheld(self) -> list[tuple[str, OpenCall]]:
        return [(call, opened) for call, opened in list(self._known.calls.items()) if not opened.there]

    def _settle_there(
        self,
        settle: _Settle,
        call: str,
        ended: _Ended | None,
        usd: int,
        tokens: int,
        now_ms: int,
        flagged: bool,
    ) -> bool:
        """Settle a call in the store, where it may never have been held."""
        if ended is not None and not ended.call.there:
            budgets = [line for line in ended.call.uncapped() if line.kind == "budget"]
            self._primary.reserve(call, budgets, ended.call.now_ms)
            ended.call.there = True
        return settle(call, usd, tokens, now_ms, flagged=flagged) is not False

    def _saw_state(self, key: str, value: str | None) -> None:
        rest = {name: text for name, text in self._states.items() if name != key}
        self._states = rest if value is None else {**rest, key: value}


_stores: Final[weakref.WeakSet[FallbackStore]] = weakref.WeakSet()


def _after_fork_in_child() -> None:
    # What its parent holds or owes is the parent's; whether the store is away, a child finds out.
    for store in list(_stores):
        store._start_anew()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
