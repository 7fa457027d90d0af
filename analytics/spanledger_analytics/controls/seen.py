"""What the lake knows of the calls that a rule is about: how many, at which models, and what one takes on average."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable
from datetime import datetime
from typing import NamedTuple

from spanledger.guard.cache.rule import CacheRule
from spanledger.guard.policy import Budget, Limit
from spanledger_analytics.connection import Ledger

from .spent import matching


class Used(NamedTuple):
    """A model that calls were made at."""

    provider: str
    model: str
    calls: int
    unpriced_calls: int
    tokens: int
    """Of a call on average, in and out, rounded up."""
    nano_usd: int | None
    """What one cost on average, rounded up; None where none has a price."""


class Seen(NamedTuple):
    """Calls that a rule is about."""

    calls: int
    models: tuple[Used, ...]
    """By provider and model."""


def seen(ledger: Ledger, rules: Iterable[Budget | Limit], begin: datetime, end: datetime) -> dict[str, Seen] | None:
    """Return the calls between two moments by the name of the rule; None where there are none at all."""
    if ledger.version() < 0 or ledger.reach()[1] < begin:
        return None
    return {rule.name: _seen(ledger, rule, begin, end) for rule in rules}


def ends(ledger: Ledger, rules: Collection[CacheRule], begin: datetime, end: datetime) -> dict[str, Counter[str]]:
    """Return by what answers between two moments ended, by the name of the cache's rule; of those that say so."""
    if ledger.version() < 0 or ledger.reach()[1] < begin:
        return {}
    found = {rule.name: Counter[str]() for rule in rules}
    for rule in rules:
        for _, row in matching(ledger, rule.match, [begin], end, ("finish_reason",)):
            if row["finish_reason"]:
                found[rule.name][row["finish_reason"]] += row["calls"]
    return found


def _seen(ledger: Ledger, rule: Budget | Limit, begin: datetime, end: datetime) -> Seen:
    sums: dict[tuple[str, str], list[int]] = {}
    for _, row in matching(ledger, rule.match, [begin], end, ("provider", "model")):
        numbers = row["calls"], row["unpriced_calls"], row["tokens"], int(row["nano_usd"])
        before = sums.setdefault((row["provider"] or "", row["model"] or ""), [0, 0, 0, 0])
        before[:] = map(sum, zip(before, numbers, strict=True))
    models = []
    for (provider, model), (calls, unpriced, tokens, nano) in sorted(sums.items()):
        priced = calls - unpriced
        models.append(
            Used(provider, model, calls, unpriced, -(-tokens // calls), -(-nano // priced) if priced else None)
        )
    return Seen(sum(one.calls for one in models), tuple(models))
