"""Accounts that processes share, set right by the lake: what a call was charged becomes what is booked for it.

A call is confirmed by its span alone, and only when that is there with a cost: what the lake hasn't seen is not
forgotten, since the application may still keep its spans, and no account is ever summed up anew. A call whose trace may
still change waits until that is settled, a day at most; a call without a price keeps what it was charged.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final, NamedTuple

from spanledger.guard.decisions import moment
from spanledger.guard.keys import is_later, span_of
from spanledger.guard.paid_later import confirm_once
from spanledger.guard.store import Charge, Store
from spanledger_analytics.connection import Ledger

from .spent import millis

_PAGE: Final = 2_000
"""Calls that the lake is asked about at once."""
_AROUND: Final = timedelta(minutes=15)
"""A span may begin so long before or after its call was held: it waits for room, or clocks differ."""
_SETTLED_MS: Final = 86_400_000
"""After a day a trace that may still change is taken as it is."""
_PICO_OF_NANO: Final = 1000


class Reconciled(NamedTuple):
    """What a round did."""

    swept: int
    """Holds that nobody renewed any more."""
    confirmed: int
    changed: int
    """Those of `confirmed` that had been charged something else."""
    difference: int
    """What accounts were set right by, all in all: nano-dollars."""
    waiting: int
    """Calls that the lake doesn't have, or not to the end, or not with a cost."""


class _Booked(NamedTuple):
    nano_usd: int
    tokens: int | None
    provisional: bool


def reconcile(
    store: Store, ledger: Ledger, now: datetime, since_ms: int = 0, *, provisional: bool = False
) -> Reconciled:
    """Have expired holds end, and put what is booked in place of what calls since a moment were charged.

    With `provisional`, calls whose traces may still change are taken as they are now.

    Raises:
        StoreAwayError: the store can't be reached.
        duckdb.Error: a file of the lake can't be read.
    """
    now_ms = millis(now)
    swept = store.sweep(now_ms)
    confirmed = changed = difference = waiting = 0
    page: list[Charge] = []
    while page := store.charges(now_ms, _PAGE, page[-1] if page else None):
        booked = _booked(ledger, [charge for charge in page if charge.at_ms >= since_ms])
        for charge in page:
            found = booked.get(span_of(charge.call))
            if found is None or (found.provisional and not provisional and charge.at_ms > now_ms - _SETTLED_MS):
                waiting += 1
                continue
            tokens = charge.tokens if found.tokens is None else found.tokens
            if not _confirm(store, charge, found.nano_usd, tokens, now_ms):
                continue
            confirmed += 1
            changed += (charge.usd, charge.tokens) != (found.nano_usd, tokens)
            difference += found.nano_usd - charge.usd
    return Reconciled(swept, confirmed, changed, difference, waiting)


def _confirm(store: Store, charge: Charge, usd: int, tokens: int, now_ms: int) -> bool:
    if is_later(charge.call):  # whoever reads the answer once more would count it once more
        return confirm_once(store, charge, usd, tokens, now_ms)
    return store.confirm(charge.call, usd, tokens)


def _booked(ledger: Ledger, charges: Sequence[Charge]) -> dict[str, _Booked]:
    booked: dict[str, _Booked] = {}
    for place in range(0, len(charges), _PAGE):
        some = charges[place : place + _PAGE]
        begin, end = moment(some[0].at_ms) - _AROUND, moment(some[-1].at_ms) + _AROUND
        ids = [span_of(charge.call) for charge in some]
        found = ledger.ask_between("controls/booked", begin, end, begin=begin, end=end, ids=ids)
        for span_id, cost_usd, tokens, provisional in found.iter_rows():
            booked[span_id] = _Booked(_nano(cost_usd), tokens, provisional)
    return booked


def _nano(cost_usd: Decimal) -> int:
    """Return dollars as nano-dollars, rounded up."""
    return -(-int(cost_usd.scaleb(12)) // _PICO_OF_NANO)
