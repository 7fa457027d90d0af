"""Silence of data: no call for some minutes, where at this hour many are usual: something is broken, or away."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import Final

from spanledger.entries import Entry
from spanledger_analytics.alerts.durations import length, whole
from spanledger_analytics.alerts.expected import usual_of_last_hour
from spanledger_analytics.alerts.lookout import HOUR, Lookout, rows
from spanledger_analytics.alerts.reading import Reading, scope_of
from spanledger_analytics.alerts.rules import Kind, Rule
from spanledger_analytics.alerts.words import rounded, who

_MINUTE: Final = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Quiet:
    """Its terms."""

    within: timedelta
    """So long without a call."""
    least_calls: int
    """So many calls have to be usual in that time."""


def read(entry: Entry) -> Quiet:
    """Read them."""
    within = length(entry, "within", 15 * _MINUTE)
    if not _MINUTE <= within <= HOUR:
        raise entry.refuse("within", "expected from 1m to 1h")
    return Quiet(within, whole(entry, "least_calls", 10))


def readings(terms: Quiet, rule: Rule, lookout: Lookout) -> list[Reading]:
    """Look whether those who usually call do."""
    calls = {value: row["calls"] for value, row in rows(lookout.recent(terms.within, rule.by, rule.where), rule.by)}
    minutes = Decimal(terms.within // _MINUTE)
    found = []
    for value, hours in lookout.past(rule.by, rule.where, lookout.callers(rule.by, rule.where)).items():
        usual = usual_of_last_hour(hours, hours.calls, lookout.now)
        expected = usual.amount * minutes / 60 if usual is not None else Decimal(0)
        if usual is None or expected < terms.least_calls:
            continue
        some = calls.get(value, 0)
        words = f"{some:,} calls" if some else "no call"
        found.append(
            Reading(
                Decimal(0) if some else minutes,
                minutes,
                f"{who(rule.by, value)}{words} in the last {minutes} minutes, where {rounded(expected)} are usual"
                f" ({usual.basis})",
                scope_of(rule.by, value),
                at_trip=True,
                unit="minutes",
            )
        )
    return found


SILENCE: Final = Kind(
    "silence", ("within", "least_calls"), read, readings, "no call for some minutes, where many are usual"
)
