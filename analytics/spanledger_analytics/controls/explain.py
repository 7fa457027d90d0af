"""Which rules of a policy a call would meet, and why not the others."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from spanledger.guard.breaker import Breaker
from spanledger.guard.policy import Budget, Limit, Match, Policy
from spanledger.names import SESSION_ID


class Explained(NamedTuple):
    """What a rule has to do with a call."""

    kind: str
    rule: str
    scope: str | None
    """Whom the call counts for; None where the rule isn't about it."""
    why_not: str
    does: str
    """What the rule lets through, in words."""
    shadow: bool


def explain(policy: Policy, values: Mapping[str, str]) -> list[Explained]:
    """Return every rule, in the policy's order; `values` by wire name."""
    return [
        Explained(kind, rule.name, scope, "" if scope is not None else _why_not(rule, values), does, rule.shadow)
        for kind, rule, does in _rules(policy)
        for scope in (_scope(rule, values),)
    ]


def _scope(rule: Budget | Limit | Breaker, values: Mapping[str, str]) -> str | None:
    return rule.scope(values, values.get(SESSION_ID, "?")) if isinstance(rule, Breaker) else rule.match.scope(values)


def _rules(policy: Policy) -> Iterator[tuple[str, Budget | Limit | Breaker, str]]:
    for budget in policy.budgets:
        at = ", ".join(f"{one.action} at {one.percent}" for one in budget.at)
        yield "budget", budget, at
    for limit in policy.limits:
        yield "limit", limit, ", ".join(_limits(limit))
    for kind, rules in policy.more.items():
        for rule in rules:
            if isinstance(getattr(rule, "match", None), Match):
                yield kind, rule, getattr(rule, "does", "")


def _limits(limit: Limit) -> Sequence[str]:
    told = (
        (limit.requests_per_minute, "calls a minute"),
        (limit.tokens_per_minute, "tokens a minute"),
        (limit.concurrent, "calls at a time"),
    )
    return [f"{most:,} {words}" for most, words in told if most is not None]


def _why_not(rule: Budget | Limit | Breaker, values: Mapping[str, str]) -> str:
    budget = rule.budget if isinstance(rule, Breaker) else None
    return _differs(rule.match, values) or ("" if budget is None else _differs(budget.match, values))


def _differs(match: Match, values: Mapping[str, str]) -> str:
    wanted = dict(part.split("=", 1) for part in match.told.split(",") if "=" in part)
    for key, wire, exact, pattern in match.keys:
        value = values.get(wire)
        if not value:
            return f"{key} isn't given"
        if (exact is not None and value != exact) or (pattern is not None and not pattern(value)):
            return f"{key} is {value}, not {exact or wanted.get(key, '')}"
    return ""
