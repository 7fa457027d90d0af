"""What a call counts for in an account, by what has become of the call.

All that happens to a call is a step from one state to another, and what changes in its accounts is the difference of
what it counts for in the two: so nothing is taken or given back twice, in whatever order it comes.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from .store import Kind, Unit

UNSENT: Final = 0
SENT: Final = 1
SETTLED: Final = 2
CHARGED: Final = 3
"""The hold of what had been sent has expired, and may have been billed: charged at its estimate, and flagged."""
RETURNED: Final = 4
"""The hold has expired unsent."""
GONE: Final = 5
"""Released; nothing is kept of it."""


class Count(NamedTuple):
    """What a call counts for in one account; of a rate `spent` is what its window has of it."""

    held: int
    spent: int
    flagged: int


_NOTHING: Final = Count(0, 0, 0)


class Fate(NamedTuple):
    """What has become of a call, or becomes of it."""

    state: int
    usd: int = 0
    """Nano-dollars, of one that is settled."""
    tokens: int = 0
    flagged: bool = False
    """Of one that is settled: the amounts are an estimate."""


def count(fate: Fate, kind: Kind, unit: Unit, amount: int) -> Count:
    """Return what a call counts for in an account of which it wanted an amount."""
    state = fate.state
    if kind == "rate":
        return _of_rate(fate, unit, amount)
    if state <= SENT:
        return Count(amount, 0, 0)
    if kind == "lease" or state >= RETURNED:
        return _NOTHING
    if state == CHARGED:
        return Count(0, amount, amount)
    actual = spent(fate, unit, amount)
    return Count(0, actual, actual if fate.flagged else 0)


def _of_rate(fate: Fate, unit: Unit, amount: int) -> Count:
    if fate.state == SETTLED:
        return Count(0, spent(fate, unit, amount), 0)
    return Count(0, 0 if fate.state >= RETURNED and unit != "calls" else amount, 0)


def spent(fate: Fate, unit: Unit, amount: int) -> int:
    """Return what a settled call has spent, by an account's unit."""
    if unit == "usd":
        return fate.usd
    return fate.tokens if unit == "tokens" else amount
