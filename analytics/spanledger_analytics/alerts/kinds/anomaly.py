"""Anomalies: an hour whose cost is out of the ordinary by the detector, with a floor in dollars.

It looks at whole hours, five minutes after they are over, because calls come in when they end. An episode is told once:
the detector takes a lasting step for normal soon after.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Final, cast

import numpy as np

from spanledger.entries import Entry
from spanledger_analytics.alerts.lookout import HOUR, Hours, Lookout, Value
from spanledger_analytics.alerts.reading import Reading, scope_of
from spanledger_analytics.alerts.rules import Kind, Rule
from spanledger_analytics.alerts.words import who
from spanledger_analytics.detector import DEFAULT, score
from spanledger_analytics.reports.answer import usd

_CENTS: Final = 2
_HUNDRED: Final = 100


@dataclass(frozen=True, slots=True)
class Anomaly:
    """Its terms."""

    floor_usd: Decimal
    """More than expected by at least this."""
    percent: Decimal
    """And by this share of what was expected."""


def read(entry: Entry) -> Anomaly:
    """Read them."""
    floor_usd = entry.exact_money("floor_usd", entry.given.get("floor_usd", 1))
    return Anomaly(floor_usd, entry.number("percent", "20"))


def readings(terms: Anomaly, rule: Rule, lookout: Lookout) -> list[Reading]:
    """Score the last whole hour of each value, once an hour."""
    past = lookout.past(rule.by, rule.where, lookout.callers(rule.by, rule.where))
    until = max((hours.begin + len(hours.cost) * HOUR for hours in past.values()), default=None)
    key = (rule.name, "scores")
    kept = cast("tuple[datetime | None, list[Reading]] | None", lookout.kept.get(key))
    if kept is None or kept[0] != until:
        kept = until, _scored(terms, rule, past)
        lookout.kept[key] = kept
    return kept[1]


def _scored(terms: Anomaly, rule: Rule, past: dict[Value, Hours]) -> list[Reading]:
    if not past:
        return []
    series = np.array([list(map(float, hours.cost)) for hours in past.values()])
    for place, hours in enumerate(past.values()):
        series[place, : hours.known] = np.nan
    found = score(series, upwards=True)
    return [
        _reading(terms, rule, value, hours, float(found.score[place, -1]), float(found.expected[place, -1]))
        for place, (value, hours) in enumerate(past.items())
        if not np.isnan(found.score[place, -1])
    ]


def _reading(terms: Anomaly, rule: Rule, value: Value, hours: Hours, scored: float, expected: float) -> Reading:
    cost, usual = hours.cost[-1], max(Decimal(str(round(expected, _CENTS))), Decimal(0))
    dear = cost - usual > max(terms.floor_usd, usual * terms.percent / _HUNDRED)
    begin = hours.begin + (len(hours.cost) - 1) * HOUR
    return Reading(
        Decimal(str(round(scored, _CENTS))) if dear else Decimal(0),
        Decimal(str(DEFAULT.threshold)),
        f"{who(rule.by, value)}{usd(cost)} from {begin:%H:%M} to {begin + HOUR:%H:%M} UTC, where about {usd(usual)} was"
        " to be expected",
        scope_of(rule.by, value),
        at_trip=True,
        unit="score",
    )


ANOMALY: Final = Kind(
    "anomaly",
    ("floor_usd", "percent"),
    read,
    readings,
    "an hour that cost more than is ordinary, by the detector",
    evaluations=1,
)
