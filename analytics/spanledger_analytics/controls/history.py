"""Past windows of budgets by the lake: what calls that match spent in each, whoever held them up, or nobody."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal
from typing import Final, NamedTuple

from spanledger.guard.policy import Budget
from spanledger.guard.windows import Window
from spanledger_analytics.connection import Ledger

from .spent import Spent, millis, spent

_MOST_WINDOWS: Final = 20_000


class PastWindow(NamedTuple):
    """What a scope spent in a window."""

    budget: Budget
    spent: Spent

    @property
    def used(self) -> Decimal:
        """Dollars to the pico-dollar, or tokens."""
        return self.spent.cost_usd if self.budget.unit == "usd" else Decimal(self.spent.tokens)

    @property
    def cap(self) -> Decimal:
        """Dollars, or tokens."""
        return Decimal(self.budget.cap).scaleb(-9) if self.budget.unit == "usd" else Decimal(self.budget.cap)

    @property
    def share(self) -> Decimal:
        """What part of the budget that is, to four decimals, rounded down."""
        used = self.used.scaleb(9) if self.budget.unit == "usd" else self.used
        return Decimal(int(used * 10_000) // self.budget.cap).scaleb(-4)


def history(ledger: Ledger, budget: Budget, since: datetime, now: datetime) -> list[PastWindow]:
    """Return the windows of a budget that end after `since`, up to the one under way, by window and scope.

    Of a budget of sessions these are the sessions with calls since then; one of single calls has none.
    """
    windows = list(_windows(budget, millis(since), millis(now)))
    if not windows:
        return []
    found = spent(ledger, budget, windows)
    found.sort(key=lambda one: (one.window.from_ms, one.scope, one.window.name))
    return [PastWindow(budget, one) for one in found]


def _windows(budget: Budget, since_ms: int, now_ms: int) -> Iterator[Window]:
    if budget.per == "request":
        return
    if budget.per in ("session", "total"):
        begin = 0 if budget.per == "total" else since_ms
        yield Window(budget.per, begin, now_ms)
        return
    window = budget.window(since_ms)
    for _ in range(_MOST_WINDOWS):
        yield window
        if window.holds(now_ms):
            return
        window = budget.window(window.until_ms)
