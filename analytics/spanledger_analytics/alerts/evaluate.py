"""One evaluation: every rule looks, states move on, and what has to be told is put out to be sent."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

import duckdb
from polars.exceptions import PolarsError

from spanledger.errors import SpanledgerError

from .grouping import Group, due
from .lookout import Lookout
from .notification import key_of, payload, time
from .reading import Reading, fingerprint
from .rules import Receiver, Rule, Rules
from .silences import Silence
from .states import Alert, advance, without_rule
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
    except (OSError, duckdb.Error, PolarsError, SpanledgerError) as error:
        LOG.warning("%s could not look (%s); it is tried again", rule.name, error)
        return Seen(rule, [], str(error) or type(error).__name__)


def moved_on(alerts: Mapping[str, Alert], seen: Sequence[Seen], now: datetime) -> dict[str, Alert]:
    """Return all alerts as they stand after every rule has looked; those of rules that are gone end."""
    rules = {one.rule.name for one in seen}
    left = {key: without_rule(alert, now) for key, alert in alerts.items() if alert.rule not in rules}
    after = {key: alert for key, alert in left.items() if alert is not None}
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
    loud = [alert for alert in alerts.values() if not _silent(alert, silences, now)]
    told: list[Alert] = []
    for rule in rules.rules:
        own = [alert for alert in loud if alert.rule == rule.name]
        before = groups.get(rule.name, Group(rule.name))
        group, telling = due(rule, rules.pace, before, own, now)
        if group != before:
            store.put_group(group)
        for name in rule.receivers if telling else ():
            _put_out(rules, store, rule.group, rules.receivers[name], group.told, telling, now)
        told += telling
    told += _tell_of_removed(rules, store, loud, groups, now)
    return {alert.fingerprint: _told(alert, now) for alert in told}


def _tell_of_removed(
    rules: Rules, store: Store, loud: Sequence[Alert], groups: Mapping[str, Group], now: datetime
) -> list[Alert]:
    """Put out that alerts of rules that are gone are over, at once, to those who know of them and are still there."""
    names = {rule.name for rule in rules.rules}
    over = [alert for alert in loud if alert.rule not in names and alert.is_untold_end]
    for rule, scope in sorted({(alert.rule, alert.labels["scope"]) for alert in over}):
        own = [alert for alert in over if (alert.rule, alert.labels["scope"]) == (rule, scope)]
        group = groups.get(rule, Group(rule))
        store.put_group(Group(rule, told=group.told + 1))
        for receiver in rules.receivers.values():
            known = [alert for alert in own if receiver.name in store.told(alert.fingerprint)]
            _put_out(rules, store, {"alertname": rule, "scope": scope}, receiver, group.told + 1, known, now)
    return over


def _silent(alert: Alert, silences: Sequence[Silence], now: datetime) -> bool:
    return any(silence.holds(alert.labels, now) for silence in silences)


def _told(alert: Alert, now: datetime) -> Alert:
    if alert.state == "resolved":
        return replace(alert, over_told_at=now)
    return replace(alert, notified_at=alert.notified_at or now)


def _put_out(
    rules: Rules,
    store: Store,
    group: Mapping[str, str],
    receiver: Receiver,
    told: int,
    alerts: Sequence[Alert],
    now: datetime,
) -> None:
    said = payload(group, rules.pace, receiver, alerts)
    if said is not None:
        store.put_out(key_of(group, receiver, told, alerts), receiver.name, said, now)
        store.put_told((alert.fingerprint for alert in alerts), receiver.name)
