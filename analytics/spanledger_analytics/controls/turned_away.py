"""Accounts with room left whose budget refuses calls all the same, because what is left is too little for them.

An account by itself can't tell: what the next call may cost is known when it comes. So the calls that were refused
in its window tell, as the lake has them, as long as the cheapest of them still wouldn't fit.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date, datetime
from decimal import Decimal

import polars as pl

from spanledger.guard.decisions import exact
from spanledger.guard.keys import session_window
from spanledger_analytics.connection import Ledger

from .balances import BudgetBalance
from .spent import millis


def turned_away(ledger: Ledger, first: date, last: date, by_session: tuple[str, ...]) -> pl.DataFrame:
    """Return what budgets refused on the UTC days `first` to `last`; `by_session` names those of sessions.

    Columns: rule, scope, session, estimate (the smallest; dollars or tokens), last_at (UTC).
    """
    days = {"first_day": first, "last_day": last}
    return ledger.ask("controls/turned_away", first=first, last=last, by_session=list(by_session), **days)


def with_turned_away(found: Iterable[BudgetBalance], refused: pl.DataFrame, now: datetime) -> Sequence[BudgetBalance]:
    """Mark the accounts that still would refuse what they refused last; `refused` as `turned_away` returns it."""
    known = {(row["rule"], row["scope"], row["session"]): row for row in refused.iter_rows(named=True)}

    def is_full(one: BudgetBalance) -> bool:
        by_session = one.budget.per == "session"
        session = one.window.removeprefix(session_window("")) if by_session else None
        row = known.get((one.budget.name, one.scope, session))
        if row is None or one.spent is None or one.budget.stops_above is None:
            return False
        begins_ms = 0 if by_session else one.budget.window(millis(now)).from_ms
        fits = exact(one.used, one.budget.unit) + (row["estimate"] or Decimal(0))
        return millis(row["last_at"]) >= begins_ms and fits > exact(one.budget.stops_above, one.budget.unit)

    return [one._replace(turns_away=is_full(one)) for one in found]
