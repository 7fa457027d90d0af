"""What a store of budgets and limits does: hold before a call, settle after it, all accounts of a call or none.

`spent` and `held` are numbers apart, so what is only expected never looks like money that is gone. The window is part
of an account's key, so nothing has to be reset when one ends. Amounts are whole numbers: nano-dollars (1e-9 USD,
rounded up for each call), tokens or calls; a Lua script's doubles hold nine million dollars of them exactly.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, Literal, NamedTuple, Protocol, TypeAlias

NANO: Final = 10**9
"""Nano-dollars of a dollar."""
NO_CAP: Final = -1
LEASE_S: Final = 120
"""How long a hold lives unless it is renewed; those who hold renew at a third of that."""
LEASE_MS: Final = LEASE_S * 1000
KEEP_CALLS_MS: Final = 8 * 86_400_000
"""For how long after it was reserved a call is kept that the lake doesn't confirm; what it was charged stays."""
KEEP_ACCOUNTS_MS: Final = 3 * 86_400_000
"""For how long after its window's end a budget's account is kept."""

Kind: TypeAlias = Literal["budget", "rate", "lease"]
Unit: TypeAlias = Literal["usd", "tokens", "calls"]


class Line(NamedTuple):
    """What one call wants of one account."""

    key: str
    """The account: rule, values of its scope and, of a budget, the window."""
    kind: Kind
    """`budget` spends until its window ends; `rate` is a sliding window; `lease` counts what is under way."""
    unit: Unit
    amount: int
    """Nano-dollars, tokens or calls that are held until the call is settled; of a rate they are used at once."""
    cap: int
    """Most that `spent + held`, a rate's window, or the leases may be with this call in; `NO_CAP`: only counted."""
    until_ms: int = 0
    """Of a budget: when its window ends, Unix milliseconds; the account is forgotten some days after that; 0: never."""
    window_ms: int = 0
    """Of a rate."""


class Balance(NamedTuple):
    """An account as a reservation left it, or found it where it was refused."""

    spent: int
    """Of a rate: what its sliding window has; of a lease: 0."""
    held: int
    """Of a lease: how many are under way."""


class Reserved(NamedTuple):
    """What became of a reservation: all lines or, where one is refused, none."""

    balances: tuple[Balance, ...]
    """One for each line, in its order."""
    refused: int = -1
    """Place of the line without room."""
    retry_ms: int = 0
    """When a rate would have room again, at the earliest; -1 where it never will: the call alone is above the cap."""


class Account(NamedTuple):
    """An account, as people are shown it."""

    key: str
    kind: Kind
    unit: Unit
    spent: int
    """Of a rate: what the last of its windows in which there was something has."""
    held: int
    flagged: int
    """Part of `spent` that was charged by estimate, because nobody came to settle what had been sent."""
    until_ms: int


class Charge(NamedTuple):
    """A call that was settled, or charged by estimate, and that the lake hasn't confirmed."""

    call: str
    """Its span id, hexadecimal."""
    at_ms: int
    """When it was reserved."""
    usd: int
    """Nano-dollars."""
    tokens: int
    flagged: bool


class StoreAwayError(Exception):
    """The store can't be reached, or not in time; the message says which and why."""


class Store(Protocol):
    """Where accounts are; safe for threads, and, but for `memory`, for processes."""

    def reserve(self, call: str, lines: Sequence[Line], now_ms: int) -> Reserved:
        """Hold the amounts of all lines for `LEASE_S` seconds, unsent; or of none, if one has no room.

        The lines of a call are of different accounts. Expired holds are swept before a call is refused because of
        them. A call that is there already is not held twice: its accounts are returned as they are.
        """
        ...

    def sent(self, call: str) -> None:
        """Note that the request is about to leave: from now on a lost hold may have been billed."""

    def settle(self, call: str, usd: int, tokens: int, now_ms: int, *, flagged: bool = False) -> bool:
        """Swap the hold for what was spent, nano-dollars and tokens; False where the call is settled, or unknown.

        A call whose hold has expired gets the actual in place of the estimate that it was charged. `flagged`: the
        amounts are an estimate themselves. Leases end; a rate of tokens or dollars is set right by the difference.
        """
        ...

    def tell_settled(self, call: str, usd: int, tokens: int, now_ms: int, *, flagged: bool = False) -> None:
        """Settle as `settle` does; a store over a network sends it, and sees later to it that it was done.

        Others may see the call held a little longer. It is counted once, whatever happens to the connection.
        """

    def release(self, call: str, now_ms: int) -> bool:
        """Give back all that a call holds, rates of calls but for that: it wasn't made, or nobody bills it.

        The call is forgotten, so it may be reserved anew. False where nothing is held.
        """
        ...

    def renew(self, calls: Sequence[str], now_ms: int) -> None:
        """Have the holds of calls that are still under way live for another `LEASE_S` seconds."""

    def sweep(self, now_ms: int) -> int:
        """End what has expired: unsent holds return, sent ones are charged by their estimate; how many there were.

        What is old is forgotten: calls after `KEEP_CALLS_MS`, accounts after `KEEP_ACCOUNTS_MS`, idle rates and leases.
        """
        ...

    def accounts(self) -> list[Account]:
        """List all accounts, by key."""
        ...

    def charges(self, before_ms: int, limit: int, after: Charge | None = None) -> list[Charge]:
        """List calls reserved before a moment that the lake hasn't confirmed, oldest first, then by id.

        `after` is the last one of the page before; it need not be there any more.
        """
        ...

    def confirm(self, call: str, usd: int, tokens: int) -> bool:
        """Put what the lake says in place of what a call was charged, and forget the call.

        False where the call isn't charged: it is unknown, or still under way. Rates stay.
        """
        ...

    def set_spent(self, key: str, spent: int, until_ms: int, unit: Unit, expected: int | None = None) -> bool:
        """Say what a budget's account has spent; holds stay. False, and nothing done, if it had not spent `expected`.

        An account that isn't there has spent 0; None expects nothing.
        """
        ...

    def raise_spent(self, floors: Mapping[str, tuple[int, int, Unit]]) -> None:
        """See that accounts have spent at least so much: key to (spent, until_ms, unit); of a store that lost them."""

    def states(self, prefix: str) -> dict[str, str]:
        """Return what was kept under keys that begin with this: small texts, such as a breaker's state."""
        ...

    def put_state(self, key: str, value: str | None, expected: str | None) -> bool:
        """Keep a text, or None for nothing more, if what is kept is still `expected`; else False."""
        ...

    def close(self) -> None:
        """Let go of files and connections."""
