"""Accounts of a policy's budgets as people are shown them: a row for each, and for a budget that has none yet."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from decimal import Decimal
from fractions import Fraction
from typing import Final, NamedTuple

from spanledger.guard.decisions import moment
from spanledger.guard.keys import read_budget_key
from spanledger.guard.policy import Budget, Threshold
from spanledger.guard.store import Account

_TEN_THOUSANDTHS: Final = 10_000


class BudgetBalance(NamedTuple):
    """An account of a budget at one moment; amounts are nano-dollars or tokens."""

    budget: Budget
    scope: str
    window: str
    spent: int | None
    """None where there is no account: of a budget of single calls, or one that no call has drawn on."""
    held: int | None
    flagged: int | None
    resets_at: datetime | None
    """When the window ends (UTC); None where it doesn't."""
    turns_away: bool = False
    """What is left is too little for calls as they come, which are refused, or put off."""

    @property
    def used(self) -> int:
        """What is spent or held."""
        return (self.spent or 0) + (self.held or 0)

    @property
    def share(self) -> Decimal | None:
        """What part of the budget that is, to four decimals, rounded down: it says 1 only where all is used."""
        if self.spent is None:
            return None
        return Decimal(self.used * _TEN_THOUSANDTHS // self.budget.cap).scaleb(-4)

    @property
    def state(self) -> str:
        """What is done to the next call: ok, or the action of the highest share that is reached or too near."""
        reached = [one for one in self.budget.at if self._is_at(one.share) and self.spent is not None]
        if self.turns_away and not any(map(_stops, reached)):
            reached += list(filter(_stops, self.budget.at))[:1]
        return reached[-1].action if reached and reached[-1].action != "allow" else "ok"

    def _is_at(self, share: Fraction) -> bool:
        return self.used >= self.budget.cap * share


def _stops(one: Threshold) -> bool:
    return one.action in ("block", "defer")


def balances(budgets: Sequence[Budget], accounts: Iterable[Account], now_ms: int) -> list[BudgetBalance]:
    """Return the accounts of windows that haven't ended, by budget in the policy's order, the fullest first."""
    found: dict[str, list[BudgetBalance]] = {budget.name: [] for budget in budgets}
    for account in accounts:
        key = read_budget_key(account.key, budgets)
        if account.kind != "budget" or key is None:
            continue
        window = key.budget.window(now_ms)
        if key.budget.per != "session" and key.window != window.name:
            continue
        found[key.budget.name].append(
            BudgetBalance(
                key.budget,
                key.scope,
                key.window,
                account.spent,
                account.held,
                account.flagged,
                _resets_at(key.budget, now_ms),
            )
        )
    return [one for budget in budgets for one in sorted(found[budget.name], key=_place) or [_unused(budget, now_ms)]]


def _place(one: BudgetBalance) -> tuple[int, str, str]:
    return -one.used, one.scope, one.window


def _unused(budget: Budget, now_ms: int) -> BudgetBalance:
    window = budget.per if budget.per in ("request", "session") else budget.window(now_ms).name
    return BudgetBalance(budget, budget.match.told, window, None, None, None, _resets_at(budget, now_ms))


def _resets_at(budget: Budget, now_ms: int) -> datetime | None:
    if budget.per in ("request", "session", "total"):
        return None
    return moment(budget.window(now_ms).until_ms)
