"""What may be spent, as the rules of alerts say it.

Of somebody who sees a part of the lake only what a rule says of a team of theirs is shown: what the whole, or a user,
may cost is no budget of what they see.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Final, cast

from spanledger import settings
from spanledger_analytics.alerts.kinds.budget import BUDGET, OTHERS, UNITS, Budget
from spanledger_analytics.alerts.rules import Rule
from spanledger_analytics.alerts.rules_file import RulesError, named, read_rules
from spanledger_analytics.reports.calendar import Calendar, Span, period_around
from spanledger_analytics.reports.question import Question, Where

from .data import Lake

_TEAM: Final = "team"
_MOST: Final = 12
"""Values of a rule that aren't named by it."""


@dataclass(frozen=True, slots=True)
class Allowed:
    """What one value of what a rule is by, or all calls together, may cost."""

    rule: str
    by: str | None
    value: str | None
    """'' is calls that don't say; None is all of the rule's."""
    usd: Decimal
    span: Span
    where: Where
    """Which calls count, those of the value."""

    @property
    def whose(self) -> str:
        """Say whose it is, in plain text."""
        if self.by is None:
            return "all calls" if not self.where.dimensions() else self.rule
        return f"{self.by} {self.value or '(none)'}"

    @property
    def kind(self) -> str:
        """Say what it is for: a daily, weekly or monthly budget."""
        return f"{UNITS[self.span]} budget"


def budget_rules() -> list[Rule]:
    """Return the rules on budgets.

    Raises:
        RulesError: the file of rules can't be used; the message is for whoever sees everything.
    """
    path = named(settings.load())
    rules = read_rules(path).rules if path.exists() else ()
    return [rule for rule in rules if rule.kind is BUDGET]


def monthly_budget() -> Decimal | None:
    """Return what all calls of a billing month may cost; None where no rule says it."""
    try:
        rules = budget_rules()
    except RulesError:
        return None  # the page of budgets tells what is wrong with them
    for rule in rules:
        terms = cast("Budget", rule.terms)
        if rule.by is None and not rule.where.dimensions() and terms.unit == "month":
            return terms.amount(None)
    return None


def allowed(rule: Rule, lake: Lake, calendar: Calendar) -> Iterator[Allowed]:
    """Yield what a rule allows by value: those that have used most of it in its period, and those that it names.

    Of a table with `*` many values may spend; a dozen stand for them.
    """
    terms = cast("Budget", rule.terms)
    if rule.by is None:
        if lake.is_whole:
            yield Allowed(rule.name, None, None, terms.amounts[OTHERS], terms.unit, rule.where)
        return
    if not lake.is_whole and (rule.by != _TEAM or _TEAM in rule.where.dimensions()):
        return
    for value, usd in _values(rule, rule.by, terms, lake, calendar):
        where = Where({**rule.where.only, rule.by: (value,)}, rule.where.but)
        yield Allowed(rule.name, rule.by, value, usd, terms.unit, where)


def _values(rule: Rule, by: str, terms: Budget, lake: Lake, calendar: Calendar) -> list[tuple[str, Decimal]]:
    period = period_around(calendar.today(), terms.unit, calendar)
    spent = lake.totals(Question(period, (by,), rule.where)).select(by, "cost_usd").rows()
    used = {value or "": cost or Decimal(0) for value, cost in spent}
    if lake.is_whole:
        used = dict.fromkeys((name for name in terms.amounts if name != OTHERS), Decimal(0)) | used
    wanted = rule.where.only.get(by)
    found = [
        (value, usd)
        for value in used
        if (usd := terms.amount(value)) is not None and (wanted is None or value in wanted)
    ]
    found.sort(key=lambda pair: (-used[pair[0]] / pair[1], pair[0]))
    named = [pair for pair in found[_MOST:] if pair[0] in terms.amounts]
    return found[:_MOST] + named
