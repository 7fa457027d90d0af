"""A policy tried on calls that were made: read from the lake in the order of time, an hour in memory at a time.

The application's code holds them up (`guard.rehearsal`); here they are read, and what would have been is added up.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any, Final, NamedTuple
from zoneinfo import ZoneInfo

from spanledger import names
from spanledger.guard.decisions import Decision
from spanledger.guard.keys import budget_key
from spanledger.guard.policy import WIRE_NAMES, Policy
from spanledger.guard.rehearsal import Asked, Outcome, PastCall, Rehearsal
from spanledger.guard.store import Unit
from spanledger.settings import Settings
from spanledger.usage import INPUT_PARTS, OUTPUT_PARTS, Usage
from spanledger_analytics.connection import Ledger

from .spent import millis, spent

_HOUR: Final = timedelta(hours=1)
_DAY: Final = timedelta(days=1)
_BYTES_PER_TOKEN: Final = 4
_COUNTED: Final = (*INPUT_PARTS, *OUTPUT_PARTS)
_TAGS: Final = tuple(key for key in WIRE_NAMES if key not in ("model", "provider"))
_NOTHING: Final = Decimal(0)


class Key(NamedTuple):
    """What is told apart."""

    rule: str
    kind: str
    shadow: bool
    day: date
    """In the time zone of the settings."""


@dataclass(slots=True)
class Effect:
    """What a rule would have done on a day."""

    refused: int = 0
    put_off: int = 0
    throttled: int = 0
    degraded: int = 0
    routed: int = 0
    """Of a rule in shadow, or left out by its percentage: what would have been."""
    warned: int = 0
    saved_usd: Decimal = _NOTHING
    """What the calls it refused or put off had cost, and what stand-in and chosen models cost less."""


@dataclass(slots=True)
class Simulation:
    """What would have been."""

    calls: int = 0
    unpriced_calls: int = 0
    cost_usd: Decimal = _NOTHING
    would_cost_usd: Decimal = _NOTHING
    refused_calls: int = 0
    changed_calls: int = 0
    waited_s: int = 0
    effects: dict[Key, Effect] = field(default_factory=dict)

    def add(self, outcome: Outcome, zone: ZoneInfo) -> None:
        """Count one call."""
        before, after = (_usd(pico) for pico in (outcome.call.cost_pico, outcome.cost_pico))
        self.calls += 1
        self.unpriced_calls += outcome.call.cost_pico is None
        self.cost_usd += before
        self.would_cost_usd += after
        self.refused_calls += outcome.refused
        self.changed_calls += not outcome.refused and before != after
        self.waited_s += outcome.waited_ns // 10**9
        day = datetime.fromtimestamp(outcome.call.start_ns // 10**9, zone).date()
        saved_usd = before - after
        for decision in outcome.decisions:
            self._note(decision, outcome, day, saved_usd)
            if (decision.kind == "route" or decision.action == "degrade") and not decision.shadow:
                saved_usd = _NOTHING  # the first rule that asked for the other model has saved it

    def _note(self, decision: Decision, outcome: Outcome, day: date, saved_usd: Decimal) -> None:
        if decision.kind == "route" and decision.shadow and decision.would_save_pico is None:
            return  # it fits, and yet the other model can't be asked, or has no price
        effect = self.effects.setdefault(Key(decision.rule, decision.kind, decision.shadow, day), Effect())
        if decision.action in ("block", "defer"):
            effect.refused += decision.action == "block"
            effect.put_off += decision.action == "defer"
            effect.saved_usd += _usd(outcome.call.cost_pico)
        elif decision.action == "degrade":
            effect.degraded += 1
            effect.saved_usd += _NOTHING if decision.shadow or outcome.refused else saved_usd
        elif decision.kind == "route":
            effect.routed += not outcome.refused
            would_save = saved_usd if not decision.shadow else _usd(decision.would_save_pico)
            effect.saved_usd += _NOTHING if outcome.refused else would_save
        effect.throttled += decision.action == "throttle"
        effect.warned += decision.action == "warn"


def simulate(
    ledger: Ledger,
    policy: Policy,
    settings: Settings,
    since: datetime,
    now: datetime,
    advance: Callable[[int], None] = lambda hours: None,
) -> Simulation:
    """Play the calls that began in [since, now) against a policy; `advance` is told of each hour that was read.

    Accounts begin with what the lake has of their windows before; sessions with that of a day.
    """
    rehearsal, found = Rehearsal(policy, settings), Simulation()
    _begin_with(rehearsal, ledger, policy, since)
    zone = ZoneInfo(settings.zone)
    for outcome in rehearsal.play(_calls(ledger, since, now, advance)):
        found.add(outcome, zone)
    return found


def hours(since: datetime, now: datetime) -> int:
    """Return how many hours `simulate` reads."""
    return -(-(now - since) // _HOUR)


def _begin_with(rehearsal: Rehearsal, ledger: Ledger, policy: Policy, since: datetime) -> None:
    since_ms = millis(since)
    for budget in policy.budgets:
        if budget.per == "request":
            continue
        window = budget.window(since_ms)
        begins = millis(since - _DAY) if budget.per == "session" else window.from_ms
        if begins >= since_ms:
            continue
        before = spent(ledger, budget, [window._replace(from_ms=begins, until_ms=since_ms)])
        floors: dict[str, tuple[int, int, Unit]] = {
            budget_key(budget, one.scope, one.window.name): (one.amount(budget), window.until_ms, budget.unit)
            for one in before
        }
        rehearsal.accounts.raise_spent(floors)


def _calls(ledger: Ledger, since: datetime, now: datetime, advance: Callable[[int], None]) -> Iterator[PastCall]:
    first, last = ledger.reach()
    begin = since
    while begin < now:
        end = min(begin + _HOUR, now)
        if end >= first and begin <= last:
            found = ledger.ask_between("controls/calls", begin, end, begin=begin, end=end)
            yield from map(_call, found.iter_rows(named=True))
        advance(1)
        begin = end


def _call(row: Mapping[str, Any]) -> PastCall:
    values = {WIRE_NAMES[key]: row[key] for key in _TAGS if row[key] is not None}
    values |= {names.TAG_PREFIX + key: value for key, value in (row["tags"] or {}).items() if value is not None}
    cost_usd = row["cost_usd"]
    return PastCall(
        id=row["span_id"],
        start_ns=row["start_ns"],
        duration_ns=row["duration_ns"],
        operation=row["operation"],
        provider=row["provider"],
        model=row["model"],
        values=values,
        session=row["session_id"] or row["trace_id"],
        size=row["input_bytes"] or (row["input_tokens"] or 0) * _BYTES_PER_TOKEN,
        most=row["max_tokens"],
        usage=_usage(row),
        cost_pico=None if cost_usd is None else int(cost_usd.scaleb(12)),
        asked=Asked(
            row["turn"],
            row["history_size"],
            bool(row["tool_count"]),
            row["tool_results_size"] > 0,
            bool(row["input_image_tokens"]),
        ),
        paid_later=bool(row["is_batch"]),
    )


def _usage(row: Mapping[str, Any]) -> Usage | None:
    if row["input_tokens"] is None or row["usage_state"] not in ("reported", "estimated"):
        return None
    counts: dict[str, Any] = {name: row[name] or 0 for name in _COUNTED}
    return Usage(**counts)._replace(state=row["usage_state"])


def _usd(pico: int | None) -> Decimal:
    return Decimal(pico or 0).scaleb(-12)
