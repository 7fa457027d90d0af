"""A notification in the shape of Alertmanager's webhook, version 4, which many tools take.

No prompt and no answer is in it: what a rule saw in numbers, and the labels of its scope. It has a key that stays the
same however often it is sent.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final

from .rules import Pace, Receiver
from .states import Alert

_NEVER: Final = "0001-01-01T00:00:00Z"
"""The end of what hasn't ended, as Go writes it."""


def payload(group: Mapping[str, str], pace: Pace, receiver: Receiver, alerts: Sequence[Alert]) -> dict[str, Any] | None:
    """Return what a receiver is told of the alerts of a group (Rule.group); None where it wants to know nothing."""
    told = [alert for alert in alerts if alert.state == "firing" or receiver.send_resolved]
    return _of_group(group, pace, receiver, told) if told else None


def _of_group(group: Mapping[str, str], pace: Pace, receiver: Receiver, told: Sequence[Alert]) -> dict[str, Any]:
    common = dict(set.intersection(*(set(alert.labels.items()) for alert in told)))
    summaries = {alert.summary for alert in told}
    return {
        "version": "4",
        "groupKey": group_key(group),
        "truncatedAlerts": 0,
        "status": "firing" if any(alert.state == "firing" for alert in told) else "resolved",
        "receiver": receiver.name,
        "groupLabels": dict(group),
        "commonLabels": dict(sorted(common.items())),
        "commonAnnotations": {"summary": told[0].summary} if len(summaries) == 1 else {},
        "externalURL": pace.external_url,
        "alerts": [_alert(alert, pace) for alert in told],
    }


def group_key(group: Mapping[str, str]) -> str:
    """Return what a group is known by, as Alertmanager writes it."""
    labels = ", ".join(f"{name}={json.dumps(value, ensure_ascii=False)}" for name, value in group.items())
    return f"{{}}:{{{labels}}}"


def key_of(group: Mapping[str, str], receiver: Receiver, told: int, alerts: Sequence[Alert]) -> str:
    """Return what a notification is known by, however often it is sent; `told` is how often the group was."""
    said = [group["alertname"], group["scope"], receiver.name, str(told)]
    said += [f"{alert.fingerprint} {alert.state} {time(alert.fired_at)}" for alert in alerts]
    return hashlib.blake2b("\n".join(said).encode(), digest_size=16).hexdigest()


def time(moment: datetime | None) -> str:
    """Return a moment as JSON has it."""
    if moment is None:
        return _NEVER
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _alert(alert: Alert, pace: Pace) -> dict[str, Any]:
    return {
        "status": alert.state,
        "labels": dict(alert.labels),
        "annotations": {
            "summary": alert.summary,
            "value": f"{alert.value.normalize():f}",
            "trip_level": f"{alert.trip.normalize():f}",
            "unit": alert.unit,
        },
        "startsAt": time(alert.fired_at),
        "endsAt": time(alert.resolved_at),
        "generatorURL": pace.external_url,
        "fingerprint": alert.fingerprint,
    }


def test_of(pace: Pace, receiver: Receiver, now: datetime) -> tuple[dict[str, Any], str]:
    """Return a notification that says of itself that it is a test, and its key."""
    labels = {"alertname": "test", "kind": "test", "severity": "info", "scope": "total"}
    words = "this is a test of spanledger; nothing is the matter"
    alert = Alert("test", labels, "firing", now, Decimal(0), Decimal(0), "USD", words, fired_at=now)
    group = {"alertname": "test", "scope": "total"}
    return _of_group(group, pace, receiver, [alert]), hashlib.blake2b(time(now).encode(), digest_size=16).hexdigest()
