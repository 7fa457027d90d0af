"""Velocity: spend of the last 60 minutes against what is usual in those, with a floor in dollars.

It trips above `percent` of what is usual and above what is usual plus the floor, whichever is more: so nights and new
teams, where little is usual, need an excess that somebody cares about. A day's ups and downs are no news, because usual
is the median of the same hour of the week, or of the day.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import Final

from spanledger.entries import Entry
from spanledger_analytics.alerts.expected import LEAST_HOURS, Usual, usual_of_last_hour
from spanledger_analytics.alerts.lookout import Lookout, Value, rows
from spanledger_analytics.alerts.reading import Reading, scope_of
from spanledger_analytics.alerts.rules import Kind, Rule
from spanledger_analytics.alerts.words import percent_of, who
from spanledger_analytics.reports.answer import usd

_WINDOW: Final = timedelta(hours=1)
_HUNDRED: Final = 100
_WORTH_A_LOOK: Final = Decimal("0.8")
"""Of the floor: what is below it is below 80 % of any trip level, too."""


@dataclass(frozen=True, slots=True)
class Velocity:
    """Its terms."""

    percent: Decimal
    floor_usd: Decimal


def read(entry: Entry) -> Velocity:
    """Read them."""
    return Velocity(
        entry.number("percent", "150", above=0), entry.exact_money("floor_usd", entry.given.get("floor_usd", 1))
    )


def readings(terms: Velocity, rule: Rule, lookout: Lookout) -> list[Reading]:
    """Hold the last hour of each value against what is usual."""
    spent: dict[Value, Decimal] = {
        value: row["cost_usd"]
        for value, row in rows(lookout.recent(_WINDOW, rule.by, rule.where), rule.by)
        if row["cost_usd"] is not None and row["cost_usd"] >= terms.floor_usd * _WORTH_A_LOOK
    }
    past = lookout.past(rule.by, rule.where, sorted(spent, key=lambda value: -spent[value]))
    found = []
    for value, hours in past.items():
        usual = usual_of_last_hour(hours, hours.cost, lookout.now)
        if usual is not None:
            found.append(_reading(terms, rule, value, spent[value], usual))
    if spent and not found:
        lookout.notes.append(f"{rule.name}: needs {LEAST_HOURS} hours of history to know what is usual")
    return found


def _reading(terms: Velocity, rule: Rule, value: Value, cost: Decimal, usual: Usual) -> Reading:
    trip = max(usual.amount * terms.percent / _HUNDRED, usual.amount + terms.floor_usd)
    return Reading(
        cost,
        trip,
        f"{who(rule.by, value)}{usd(cost)} in the last 60 minutes, {percent_of(cost, usual.amount)} the"
        f" {usd(usual.amount)} that are usual ({usual.basis})",
        scope_of(rule.by, value),
    )


VELOCITY: Final = Kind(
    "velocity",
    ("percent", "floor_usd"),
    read,
    readings,
    "spend of the last 60 minutes against what is usual at this hour",
    waits=False,
)
