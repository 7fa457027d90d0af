"""When the alerts of a rule are told, and with which others: as Alertmanager does, a group for each rule.

All alerts of a rule are told apart by the same thing, so a rule is a group by (alert name, kind of scope). Pure: the
group before, its alerts and the clock make what is told now.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from .rules import Pace, Rule
from .states import Alert


@dataclass(frozen=True, slots=True)
class Group:
    """What is known of the alerts of a rule together."""

    rule: str
    waiting_since: datetime | None = None
    """Since when something waits to be told."""
    last_told: datetime | None = None
    """None where nothing that was told is still firing."""
    told: int = 0
    """How often; part of what a notification is known by."""


def due(rule: Rule, pace: Pace, group: Group, alerts: Sequence[Alert], now: datetime) -> tuple[Group, list[Alert]]:
    """Return the group afterwards, and the alerts that have to be told now.

    `alerts` are those of the rule that nobody has silenced.
    """
    told = [alert for alert in alerts if not alert.quiet or alert.notified_at is not None]
    fresh = [alert for alert in told if alert.state == "firing" and alert.notified_at is None]
    over = [alert for alert in told if alert.is_untold_end]
    known = [alert for alert in told if alert.state == "firing" and alert.notified_at is not None]
    if not fresh and not over:
        if not known:
            return replace(group, waiting_since=None, last_told=None), []
        if rule.kind.once or now < (group.last_told or now) + pace.repeat:
            return replace(group, waiting_since=None, last_told=group.last_told or now), []
        return _told(group, now), known
    waiting_since = group.waiting_since or now
    if now < _told_at(rule, pace, group, waiting_since, fresh):
        return replace(group, waiting_since=waiting_since), []
    return _told(group, now), [*fresh, *([] if rule.kind.once else known), *over]


def _told_at(rule: Rule, pace: Pace, group: Group, waiting_since: datetime, fresh: Sequence[Alert]) -> datetime:
    """Return when what waits is told."""
    if fresh and not rule.kind.waits:
        return waiting_since
    if group.last_told is not None:
        return group.last_told + pace.group_interval
    return waiting_since + pace.group_wait if rule.kind.waits else waiting_since


def _told(group: Group, now: datetime) -> Group:
    return replace(group, waiting_since=None, last_told=now, told=group.told + 1)
