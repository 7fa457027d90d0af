"""Money that is charged after the call that asked for it, in accounts of budgets: it is gone, and can't be refused.

It counts in the window in which the answer was made, as in the ledger. The store knows a call by its id for as long as
`KEEP_CALLS_MS` after that moment, so an answer that is read again, by whomever, is counted once; one that was made
longer ago than `COUNTED_MS` is counted no more, because nobody could know whether it was before. While the ledger
confirms one, the store forgets it for an instant: for that long whoever reads it counts nothing.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Final

from spanledger import faults
from spanledger.cost import cost_pico
from spanledger.record import Metered
from spanledger.usage import Usage

from .estimate import up
from .keys import later_call
from .plans import of_budget
from .policy import Budget, Limit, fixed_price
from .store import KEEP_CALLS_MS, NO_CAP, Charge, Line, Store

COUNTED_MS: Final = KEEP_CALLS_MS - 86_400_000
"""How long ago an answer may have been made that is still counted."""
_COUNTED_ALREADY: Final = Line("later", "lease", "calls", 0, NO_CAP)
"""What stands for all that an answer drew on, once the ledger has confirmed it and the store has forgotten it."""

_ASKED: Final = "batch/"
_CONFIRMING: Final = "confirming/"
_TO_BE_HAD_MS: Final = 31 * 86_400_000
"""Providers keep results of batches for 29 or 30 days."""


def budgets_of(rules: Sequence[tuple[Budget | Limit, str]]) -> list[tuple[Budget, str]]:
    """Return the rules that such money counts for: budgets that have an account."""
    return [(rule, scope) for rule, scope in rules if isinstance(rule, Budget) and rule.per != "request"]


def _turn(call: str, cap: int) -> Line:
    """Return what only one at a time has: who counts an answer, or the ledger that confirms it."""
    return Line(call, "lease", "calls", 1, cap)


def confirm_once(store: Store, charge: Charge, usd: int, tokens: int, now_ms: int) -> bool:
    """Do what `Store.confirm` does to an answer, and see that whoever reads it again doesn't count it again."""
    confirming = _CONFIRMING + charge.call
    store.reserve(confirming, [_turn(charge.call, NO_CAP)], now_ms)
    confirmed = store.confirm(charge.call, usd, tokens)
    if confirmed:
        store.reserve(charge.call, [_COUNTED_ALREADY], charge.at_ms)
    store.release(confirming, now_ms)
    return confirmed


class PaidLater:
    """One answer, and the budgets that it counts for."""

    __slots__ = ("_at_ms", "_call", "_metered", "_now_ms", "_rules", "_session", "_store", "held")

    def __init__(
        self,
        store: Store,
        span_id: str,
        rules: list[tuple[Budget, str]],
        session: str,
        at_ms: int,
        now_ms: int,
        metered: Metered | None = None,
    ) -> None:
        self._store = store
        self._call = later_call(span_id)
        self._rules = rules
        self._session = session
        self._at_ms = at_ms
        self._now_ms = now_ms
        self._metered = metered
        self.held = True
        """It is still to be counted."""

    def end(self, usage: Usage | None, pico: int | None, *, billed: bool) -> None:
        """Count what the answer cost; of one without a price, what budgets state for such."""
        self.held = False
        if usage is None or not billed:
            return
        try:
            usd = up(pico) if pico is not None else fixed_price(rule for rule, _ in self._rules)
            flagged = pico is None or usage.state != "reported"
            if self._store.reserve(self._call, [*self._lines(), _turn(self._call, 1)], self._at_ms).refused >= 0:
                return  # the only line with a cap: it is being confirmed, so it was counted before
            tokens = usage.input_tokens + usage.output_tokens
            self._store.tell_settled(self._call, usd, tokens, self._now_ms, flagged=flagged)
        except Exception as error:
            faults.report("what was paid later is in no budget", error)

    def lost(self) -> None:
        """Count it here and now, as there is no hold that runs out: its record never reached the ledger."""
        metered = self._metered
        if not self.held or metered is None:
            return
        try:
            pico = cost_pico(metered, self._at_ms * 1_000_000)
        except Exception as error:  # it counts as one without a price
            faults.report("what was paid later and lost has no price", error)
            pico = None
        self.end(metered.usage, pico, billed=True)

    def _lines(self) -> list[Line]:
        return [
            plan.line._replace(cap=NO_CAP)
            for rule, scope in self._rules
            for plan in of_budget(rule, scope, self._session, 0, self._at_ms, lambda _: False)
        ]


def remember_tags(store: Store, batch: str, tags: Mapping[str, str], now_ms: int) -> None:
    """Keep for other processes who asked for a batch, and forget those whose results are no longer to be had."""
    for key, text in store.states(_ASKED).items():
        if json.loads(text)["at_ms"] <= now_ms - _TO_BE_HAD_MS:
            store.put_state(key, None, text)
    store.put_state(_ASKED + batch, json.dumps({"at_ms": now_ms, "tags": dict(tags)}), None)


def remembered_tags(store: Store, batch: str) -> dict[str, str]:
    """Return who asked for a batch, by wire name; nothing where that isn't known."""
    text = store.states(_ASKED + batch).get(_ASKED + batch)
    return dict(json.loads(text)["tags"]) if text is not None else {}
