"""What may be spent, as the rules of alerts say it.

Of somebody who sees a part of the lake only what a rule says of a team of theirs is shown: what the whole, or a user,
may cost is no budget of what they see.
"""

from __future__ import annotations

from collections.abc import Iterable
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


@dataclass(frozen=True, slots=True)
class Budgets:
    """What rules allow by value: of a rule with `*` those of which most is used stand for all, with those it names."""

    listed: list[Allowed]
    """Of each rule those of which most is used first."""
    more: int
    """How many others there are."""
    more_used_up: int
    """How many of the others are used up."""


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


def known_budgets(rules: Iterable[Rule], lake: Lake, calendar: Calendar) -> Budgets:
    """Return what rules allow in the periods that are under way."""
    each = [_allowed(rule, lake, calendar) for rule in rules]
    return Budgets(
        [one for found in each for one in found.listed],
        sum(found.more for found in each),
        sum(found.more_used_up for found in each),
    )


def _allowed(rule: Rule, lake: Lake, calendar: Calendar) -> Budgets:
    terms = cast("Budget", rule.terms)
    if rule.by is None:
        whole = Allowed(rule.name, None, None, terms.amounts[OTHERS], terms.unit, rule.where)
        return Budgets([whole] if lake.is_whole else [], 0, 0)
    if not lake.is_whole and (rule.by != _TEAM or _TEAM in rule.where.dimensions()):
        return Budgets([], 0, 0)
    return _by_value(rule, rule.by, terms, lake, calendar)


def _by_value(rule: Rule, by: str, terms: Budget, lake: Lake, calendar: Calendar) -> Budgets:
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
    others = [pair for pair in found[_MOST:] if pair[0] not in terms.amounts]
    listed = [
        Allowed(rule.name, by, value, usd, terms.unit, Where({**rule.where.only, by: (value,)}, rule.where.but))
        for value, usd in found[:_MOST] + named
    ]
    return Budgets(listed, len(others), sum(used[value] >= usd for value, usd in others))
