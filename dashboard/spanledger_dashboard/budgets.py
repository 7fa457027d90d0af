"""What may be spent, as the rules of alerts say it."""

from __future__ import annotations

from decimal import Decimal
from typing import cast

from spanledger import settings
from spanledger_analytics.alerts.kinds.budget import BUDGET, Budget
from spanledger_analytics.alerts.rules_file import RulesError, named, read_rules


def monthly_budget() -> Decimal | None:
    """Return what all calls of a billing month may cost; None where no rule says it."""
    path = named(settings.load())
    try:
        rules = read_rules(path).rules if path.exists() else ()
    except RulesError:
        return None  # the page of alerts tells what is wrong with them
    for rule in rules:
        if rule.kind is BUDGET and rule.by is None and not rule.where.dimensions():
            terms = cast("Budget", rule.terms)
            if terms.unit == "month":
                return terms.amount(None)
    return None
