"""One evaluation: every rule looks, states move on, and what has to be told is put out to be sent."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

import duckdb

from spanledger.errors import SpanledgerError

from .grouping import Group, due
from .lookout import Lookout
from .notification import key_of, payload, time
from .reading import Reading, fingerprint
from .rules import Rule, Rules
from .silences import Silence
from .states import Alert, advance, end
from .store import Store

LOG: Final = logging.getLogger("spanledger.alerts")


@dataclass(frozen=True, slots=True)
class Seen:
    """What one rule saw."""

    rule: Rule
    readings: Sequence[Reading]
    trouble: str = ""
    """Why it could not look; its alerts stay as they are."""


def look(rules: Rules, lookout: Lookout, now: datetime) -> list[Seen]:
    """Have every rule look at the ledger at `now` (UTC)."""
    lookout.turn_to(now)
    return [_look(rule, lookout) for rule in rules.rules]


def _look(rule: Rule, lookout: Lookout) -> Seen:
    try:
        return Seen(rule, rule.kind.readings(rule.terms, rule, lookout))
    except (OSError, duckdb.Error, SpanledgerError) as error:
        LOG.warning("%s could not look (%s); it is tried again", rule.name, error)
        return Seen(rule, [], str(error) or type(error).__name__)


def moved_on(alerts: Mapping[str, Alert], seen: Sequence[Seen], now: datetime) -> dict[str, Alert]:
    """Return all alerts as they stand after every rule has looked; those of rules that are gone end."""
    after: dict[str, Alert] = {}
    rules = {one.rule.name for one in seen}
    for key, alert in alerts.items():
        if alert.rule not in rules and alert.state == "firing":
            after[key] = replace(end(alert, now), notified_at=None)  # there is nobody any more to tell
    for one in seen:
        own = {key: alert for key, alert in alerts.items() if alert.rule == one.rule.name}
        if one.trouble:
            after |= own
            continue
        readings = {fingerprint(one.rule.labels_of(reading)): reading for reading in one.readings}
        for key in {**own, **readings}:
            moved = advance(own.get(key), readings.get(key), one.rule, now)
            if moved is not None:
                after[key] = moved
    return after


def evaluate(rules: Rules, lookout: Lookout, store: Store, now: datetime) -> list[Seen]:
    """Look, and keep all that comes of it in one transaction."""
    seen = look(rules, lookout, now)
    with store.transaction():
        before = store.alerts()
        after = moved_on(before, seen, now)
        for key, alert in after.items():
            _note(store, before.get(key), alert, now)
        told = _tell(rules, store, after, now)
        store.put_alerts(before, after | told)
        troubles = [f"{one.rule.name}: {one.trouble}" for one in seen if one.trouble]
        store.put_facts(evaluated_at=time(now), trouble="; ".join(troubles))
    return seen


def _note(store: Store, before: Alert | None, alert: Alert, now: datetime) -> None:
    was = before.state if before is not None else None
    if alert.state in ("firing", "resolved") and alert.state != was:
        LOG.info("%s %s: %s", alert.state, alert.rule, alert.summary)
        store.note(alert, alert.state, now)


def _tell(rules: Rules, store: Store, alerts: Mapping[str, Alert], now: datetime) -> dict[str, Alert]:
    """Put out what is due, and return the alerts that are told by it."""
    groups, silences = store.groups(), store.silences()
    told: dict[str, Alert] = {}
    for rule in rules.rules:
        own = [alert for alert in alerts.values() if alert.rule == rule.name and not _silent(alert, silences, now)]
        before = groups.get(rule.name, Group(rule.name))
        group, telling = due(rule, rules.pace, before, own, now)
        if group != before:
            store.put_group(group)
        if telling:
            _put_out(rules, rule, store, group, telling, now)
            told |= {alert.fingerprint: _told(alert, now) for alert in telling}
    return told


def _silent(alert: Alert, silences: Sequence[Silence], now: datetime) -> bool:
    return any(silence.holds(alert.labels, now) for silence in silences)


def _told(alert: Alert, now: datetime) -> Alert:
    if alert.state == "resolved":
        return replace(alert, over_told_at=now)
    return replace(alert, notified_at=alert.notified_at or now)


def _put_out(rules: Rules, rule: Rule, store: Store, group: Group, alerts: Sequence[Alert], now: datetime) -> None:
    for name in rule.receivers:
        receiver = rules.receivers[name]
        said = payload(rule, rules.pace, receiver, alerts)
        if said is not None:
            store.put_out(key_of(rule, receiver, group, alerts), name, said, now)
