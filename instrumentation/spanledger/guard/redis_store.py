"""The store of several hosts: a Redis, asked in one round trip for a reservation and in one for a settlement.

A Redis that was restarted empty would unlock every budget, so an epoch lies among the accounts, and each question names
the one that the asker knows. Where it is another, nothing is done; first the asker gives back what it knows: what
budgets had spent, raised and never added, and its own calls that are under way. What only another process knew is
missing until that asks, or somebody has budgets set from the lake: comparing with the lake adds nothing up. A Redis
that drops keys when its memory is full, or comes back as it was a while ago, does the same harm without a trace.

`tell_settled` waits for no answer. The call counts as open here until the answer has been read, and is settled again,
which is idempotent, where it says that nothing was done, or doesn't come.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import weakref
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from itertools import islice
from typing import Any, Final, TypeAlias

from .known import Known, OpenCall
from .redis_wire import TIMEOUT_S, Wire
from .sliding import Slid, room_in_ms
from .store import Account, Balance, Charge, Line, Reserved, StoreAwayError, Unit

PREFIX: Final = "spanledger"
_BATCH: Final = 500
_MOST_ROUNDS: Final = 10
"""Of a sweep, each of which forgets a thousand accounts at most; the next sweep goes on."""
_HELD_ALL: Final = -1
_Settling: TypeAlias = tuple[str, int, int, int, bool]
_encode: Final = json.JSONEncoder(separators=(",", ":")).encode


class RedisStore:
    """Accounts in a Redis; see `Store` for what the methods do. Raises `StoreAwayError` for all that goes wrong."""

    def __init__(self, url: str, *, prefix: str = PREFIX, timeout_s: float = TIMEOUT_S) -> None:
        """Prepare; nothing is connected yet.

        Args:
            url: `redis://`, `rediss://` or `unix://`, as redis-py reads it.
            prefix: What all keys begin with; stores of different prefixes don't see each other.
            timeout_s: Seconds for a connection and, again, for an answer.

        Raises:
            ValueError: the URL is none.
        """
        self._wire = Wire(url, prefix, timeout_s)
        self._known = Known()
        self._lost: dict[str, _Settling] = {}
        """Settlements of which nobody knows whether they were done."""
        self._learn(b"")
        _stores.add(self)

    def reserve(self, call: str, lines: Sequence[Line], now_ms: int) -> Reserved:
        """Hold the amounts of all lines for `LEASE_S` seconds, or of none."""
        refused, *numbers = map(int, self._ask("reserve", call, lines, now_ms))
        rate, numbers = (numbers[:3], numbers[3:]) if refused >= 0 else ([], numbers)
        spent = numbers[::2]
        self._known.saw(lines, spent)
        balances = tuple([Balance(*pair) for pair in zip(spent, numbers[1::2], strict=True)])
        if refused == _HELD_ALL:
            self._known.calls[call] = OpenCall(lines, now_ms)
        if refused < 0:
            return Reserved(balances)
        return Reserved(balances, refused, _room_in_ms(lines[refused], rate, now_ms))

    def sent(self, call: str) -> None:
        """Note that the request is about to leave; whether that arrived isn't waited for."""
        if found := self._known.calls.get(call):
            found.sent = True
        self._wire.tell_sent(call.encode())

    def settle(self, call: str, usd: int, tokens: int, now_ms: int, *, flagged: bool = False) -> bool:
        """Swap the hold, or the estimate that was charged for it, for what was spent."""
        told = self._ask("settle", call, usd, tokens, now_ms, flagged)
        self._ended(call, told)
        return bool(told[0] != b"0")

    def tell_settled(self, call: str, usd: int, tokens: int, now_ms: int, *, flagged: bool = False) -> None:
        """Settle without waiting for the answer."""
        settling = call, usd, tokens, now_ms, flagged
        self._settle_lost()
        self._wire.run_later(
            partial(self._hear, settling), b"settle", self._epoch, self._fresh_epoch, _encode(settling).encode()
        )

    def release(self, call: str, now_ms: int) -> bool:
        """Give back all that a call holds, rates of calls but for that."""
        (released,) = self._ask("release", call, now_ms)
        self._known.calls.pop(call, None)
        return bool(released)

    def renew(self, calls: Sequence[str], now_ms: int) -> None:
        """Have the holds of these calls live for another `LEASE_S` seconds."""
        self._known.renewed(calls, now_ms)
        if calls:
            self._ask("renew", calls, now_ms)

    def sweep(self, now_ms: int) -> int:
        """End what has expired, and forget what is old."""
        self._known.forget_lost(now_ms)
        ended = rounds = 0
        while True:
            batch, has_more = map(int, self._ask("sweep", now_ms))
            ended += batch
            rounds += 1
            if not batch and (not has_more or rounds >= _MOST_ROUNDS):
                return ended

    def accounts(self) -> list[Account]:
        """List all accounts, by key."""
        told: dict[str, Account] = {}
        cursor = "0"
        while True:
            page, rows = self._ask("accounts", cursor)
            for key, kind, unit, *numbers in rows:
                name = key.decode()
                told[name] = Account(name, kind.decode(), unit.decode(), *numbers)
            cursor = page.decode()
            if cursor == "0":
                return [told[key] for key in sorted(told)]

    def charges(self, before_ms: int, limit: int, after: Charge | None = None) -> list[Charge]:
        """List calls reserved before a moment that the lake hasn't confirmed, oldest first; those `after` one."""
        (rows,) = self._ask("charges", before_ms, limit, *((after.at_ms, after.call) if after is not None else (0, "")))
        return [Charge(call.decode(), at_ms, usd, used, bool(flagged)) for call, at_ms, usd, used, flagged in rows]

    def confirm(self, call: str, usd: int, tokens: int) -> bool:
        """Put what the lake says in place of what a call was charged, and forget the call."""
        (confirmed,) = self._ask("confirm", call, usd, tokens)
        return bool(confirmed)

    def set_spent(self, key: str, spent: int, until_ms: int, unit: Unit, expected: int | None = None) -> bool:
        """Say what a budget's account has spent, if that was `expected`; holds stay."""
        (done,) = self._ask("set_spent", key, spent, until_ms, unit, expected)
        return bool(done)

    def raise_spent(self, floors: Mapping[str, tuple[int, int, Unit]]) -> None:
        """See that accounts have spent at least so much."""
        for batch in _batches(floors.items()):
            self._ask("restore", [[key, *floor] for key, floor in batch], [])

    def states(self, prefix: str) -> dict[str, str]:
        """Return what was kept under keys that begin with this."""
        (pairs,) = self._ask("states")
        texts = [text.decode() for text in pairs]
        return {
            key: value for key, value in sorted(zip(texts[::2], texts[1::2], strict=True)) if key.startswith(prefix)
        }

    def put_state(self, key: str, value: str | None, expected: str | None) -> bool:
        """Keep a text, or None for nothing more, if what is kept is still `expected`."""
        (kept,) = self._ask("put_state", key, value, expected)
        return bool(kept)

    def close(self) -> None:
        """Close the connections, once what was sent is settled; the next use makes new ones."""
        with contextlib.suppress(StoreAwayError):
            self._wire.catch_up()
            self._settle_lost()
        self._wire.close()

    def _ask(self, what: str, *arguments: Any) -> list[Any]:
        """Run the script, with all settled that this process has told, as far as a reservation could mind."""
        if what != "reserve":
            self._wire.catch_up()
        self._settle_lost()
        return self._run(what, *arguments)

    def _hear(self, settling: _Settling, answer: Any) -> None:
        """Hear of a settlement that was told."""
        _, *told = _elements(answer) if answer is not None else [b""]
        if told:
            self._ended(settling[0], told)
        else:
            self._lost[settling[0]] = settling

    def _settle_lost(self) -> None:
        while self._lost:
            for call, settling in list(self._lost.items()):
                self._ended(call, self._run("settle", *settling))
                self._lost.pop(call, None)

    def _ended(self, call: str, told: Sequence[Any]) -> None:
        """Note what a settlement was answered with: whether it was one, and what the accounts have spent."""
        found = self._known.calls.pop(call, None)
        if told[0] != b"0" and found:
            self._known.saw(found.lines, [int(spent) for spent in told[1:]], at_least=True)

    def _run(self, what: str, *arguments: Any) -> list[Any]:
        """Run the script; where the store was emptied, once more, after it has what this process knows."""
        asked = _encode(arguments).encode()
        answer: list[Any]
        epoch, *answer = _elements(self._wire.run(what.encode(), self._epoch, self._fresh_epoch, asked))
        if not answer:
            self._restore(epoch)
            epoch, *answer = _elements(self._wire.run(what.encode(), b"", self._fresh_epoch, asked))
        elif not self._epoch:
            self._learn(epoch)
        return answer

    def _learn(self, epoch: bytes) -> None:
        self._epoch = epoch
        self._fresh_epoch = secrets.token_hex(8).encode()

    def _restore(self, epoch: bytes) -> None:
        self._wire.catch_up()
        for batch in _batches(self._known.floors().items()):
            floors = [[key, *floor] for key, floor in batch]
            self._wire.run(b"restore", b"", self._fresh_epoch, _encode([floors, []]).encode())
        for calls in _batches(list(self._known.calls.items())):
            held = [[call, found.uncapped(), found.now_ms, found.sent] for call, found in calls]
            self._wire.run(b"restore", b"", self._fresh_epoch, _encode([[], held]).encode())
        self._learn(epoch)

    def _start_anew_in_child(self) -> None:
        self._wire.start_anew()
        self._known.start_anew()
        self._lost = {}


def _room_in_ms(line: Line, rate: Sequence[int], now_ms: int) -> int:
    if line.kind != "rate":
        return 0
    current, previous, slot = rate
    elapsed = now_ms % line.window_ms if now_ms // line.window_ms == slot else 0
    slid = Slid(current, previous, slot, line.window_ms - elapsed)
    return room_in_ms(slid, line.window_ms, line.amount, line.cap, now_ms)


def _elements(answer: Any) -> list[Any]:
    """Return the epoch and what follows it, of an answer that may be one text."""
    return answer.split() if isinstance(answer, bytes) else answer


def _batches(items: Any) -> Iterator[list[Any]]:
    rest = iter(items)
    while batch := list(islice(rest, _BATCH)):
        yield batch


_stores: Final[weakref.WeakSet[RedisStore]] = weakref.WeakSet()


def _after_fork_in_child() -> None:
    for store in list(_stores):
        store._start_anew_in_child()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
