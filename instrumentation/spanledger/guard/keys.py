"""Keys of accounts of budgets (rule, scope and window) and ids of calls: the gate writes them, others read them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple

from .policy import Budget

_BUDGET: Final = "budget"
_SESSION: Final = "session:"
_LATER: Final = "later/"


class BudgetKey(NamedTuple):
    """What the key of a budget's account says."""

    budget: Budget
    scope: str
    window: str


def budget_key(budget: Budget, scope: str, window: str) -> str:
    """Return the key of an account; `window` is the name of one, or of a session."""
    return f"{_BUDGET}/{budget.name}/{scope}/{window}"


def session_window(session: str) -> str:
    """Return what stands for the window where a budget is one of sessions."""
    return _SESSION + session


def read_budget_key(key: str, budgets: Iterable[Budget]) -> BudgetKey | None:
    """Return what a key says; None where it is no account of these budgets."""
    for budget in sorted(budgets, key=lambda budget: -len(budget.name)):
        rest = key.removeprefix(f"{_BUDGET}/{budget.name}/")
        if rest == key:
            continue
        if budget.per == "session":
            scope, found, session = rest.partition(f"/{_SESSION}")
            if found:
                return BudgetKey(budget, scope, session_window(session))
        else:
            scope, found, window = rest.rpartition("/")
            if found and not window.startswith(_SESSION):
                return BudgetKey(budget, scope, window)
    return None


def later_call(span_id: str) -> str:
    """Return the id, in a store, of what is charged later."""
    return _LATER + span_id


def is_later(call: str) -> bool:
    """Tell whether a call is one that is charged later."""
    return call.startswith(_LATER)


def span_of(call: str) -> str:
    """Return the span id, hexadecimal, of a call."""
    return call.removeprefix(_LATER)
