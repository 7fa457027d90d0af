"""What becomes of an alert when its rule has looked again: pending, firing, resolved.

Pure: the alert before, what was read, and the clock make the alert after. It fires when it has tripped so many
evaluations in a row, and is over when it was below 80 % of the trip level, or gone, in two; between the two levels
nothing changes. An alert that is over is kept until its cooldown has passed, and doesn't fire before that.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from typing import Final, Literal

from .reading import Reading, fingerprint
from .rules import Rule

State = Literal["pending", "firing", "resolved"]
_QUIET_EVALUATIONS: Final = 2
_REMOVED: Final = "the rule was removed"


@dataclass(frozen=True, slots=True)
class Alert:
    """One alert, as it stands."""

    rule: str
    labels: Mapping[str, str]
    state: State
    since: datetime
    """When it tripped first; UTC, as all moments here."""
    value: Decimal
    trip: Decimal
    unit: str
    summary: str
    tripped: int = 1
    """Evaluations in a row in which it did, until it fires."""
    under: int = 0
    """Evaluations in a row in which it was well below, or gone."""
    quiet: bool = False
    fired_at: datetime | None = None
    resolved_at: datetime | None = None
    notified_at: datetime | None = None
    """When somebody was told first that it fires."""
    over_told_at: datetime | None = None
    """When somebody was told that it is over."""

    @property
    def fingerprint(self) -> str:
        """What it is known by."""
        return fingerprint(self.labels)

    @property
    def is_untold_end(self) -> bool:
        """Whether somebody knows that it fires, and nobody that it is over."""
        return self.state == "resolved" and self.notified_at is not None and self.over_told_at is None


def advance(alert: Alert | None, reading: Reading | None, rule: Rule, now: datetime) -> Alert | None:
    """Return an alert after its rule has looked: `reading` is None where nothing was left to see; None is no alert."""
    if alert is not None and alert.state == "firing":
        return _of_firing(alert, reading, rule, now)
    if alert is not None and alert.state == "resolved" and (alert.is_untold_end or now < _cool_at(alert, rule)):
        return alert
    if reading is None or not reading.is_over:
        return None
    if alert is None or alert.state == "resolved":
        alert = Alert(
            rule.name,
            rule.labels_of(reading),
            "pending",
            now,
            reading.value,
            reading.trip,
            reading.unit,
            reading.summary,
            tripped=0,
        )
    tripped = _seen(replace(alert, tripped=alert.tripped + 1), reading)
    return replace(tripped, state="firing", fired_at=now) if tripped.tripped >= rule.evaluations else tripped


def without_rule(alert: Alert, now: datetime) -> Alert | None:
    """Return an alert after an evaluation without its rule: over in the second one, and kept until that is told."""
    if alert.state == "firing":
        gone = replace(alert, under=alert.under + 1)
        if gone.under < _QUIET_EVALUATIONS:
            return gone
        return replace(_end(gone, now), summary=f"{alert.summary} ({_REMOVED})")
    return alert if alert.is_untold_end else None


def _end(alert: Alert, now: datetime) -> Alert:
    """Return a firing alert as over."""
    return replace(alert, state="resolved", resolved_at=now, under=0)


def _of_firing(alert: Alert, reading: Reading | None, rule: Rule, now: datetime) -> Alert:
    if reading is None or (reading.is_under and not rule.kind.once):
        calmer = replace(_seen(alert, reading), under=alert.under + 1)
        return _end(calmer, now) if calmer.under >= _QUIET_EVALUATIONS else calmer
    return replace(_seen(alert, reading), under=0)


def _seen(alert: Alert, reading: Reading | None) -> Alert:
    """Return an alert with the numbers of today; its words stay those of when it last tripped."""
    if reading is None:
        return alert
    summary = reading.summary if reading.is_over else alert.summary
    return replace(
        alert, value=reading.value, trip=reading.trip, unit=reading.unit, summary=summary, quiet=reading.quiet
    )


def _cool_at(alert: Alert, rule: Rule) -> datetime:
    return (alert.resolved_at or alert.since) + rule.cooldown
