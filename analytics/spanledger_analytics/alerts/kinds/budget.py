"""Budgets: what a day, week or month may cost, told at shares of it that are used, or will be by the forecast.

Each threshold is an alert of its own, told once a period; of several reached at once only the highest is told. An alert
is over when its period is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import ROUND_DOWN, Decimal
from typing import Final, cast
from zoneinfo import ZoneInfo

from spanledger.entries import Entry
from spanledger_analytics.alerts.lookout import HOUR, QUARTER, Lookout, Value, floor
from spanledger_analytics.alerts.reading import Reading, scope_of
from spanledger_analytics.alerts.rules import Kind, Rule
from spanledger_analytics.alerts.words import who
from spanledger_analytics.forecast import Forecast, forecast
from spanledger_analytics.reports.answer import usd
from spanledger_analytics.reports.calendar import Calendar, Span, period_around

UNITS: Final[Mapping[Span, str]] = {"day": "daily", "week": "weekly", "month": "monthly"}
_HUNDRED: Final = 100
OTHERS: Final = "*"
"""Value of a table of amounts that stands for all that aren't in it."""
_MICROSECOND: Final = timedelta(microseconds=1)
_MANY: Final = 200
"""Of more values than this only those are told that are near a threshold, and forecasts are made once an hour."""
_NEAR: Final = Decimal("0.8")
"""Of a threshold: what is below it neither fires nor goes on to."""


@dataclass(frozen=True, slots=True)
class Budget:
    """Its terms."""

    amounts: Mapping[str, Decimal]
    """US dollars by value; `*` is for all that aren't named, and the only one without `by`."""
    unit: Span
    actual: tuple[Decimal, ...]
    """Percent that are used, in order."""
    forecast: tuple[Decimal, ...]
    """Percent that will be, in order."""

    def amount(self, value: Value) -> Decimal | None:
        """Return the budget of a value; None where it has none."""
        return self.amounts.get(value or "", self.amounts.get(OTHERS))


@dataclass(frozen=True, slots=True)
class _Period:
    """Of the budget, that is under way."""

    unit: Span
    first: date
    last: date
    begin: datetime
    end: datetime


def read(entry: Entry) -> Budget:
    """Read them."""
    given = entry.given.get("usd")
    if isinstance(given, dict) and "by" not in entry.given:
        raise entry.refuse("usd", "a table of amounts needs `by`, which says what its names are")
    table = given if isinstance(given, dict) else {OTHERS: given}
    unit = entry.text("period", "month")
    if unit not in UNITS:
        raise entry.refuse("period", f"expected {', '.join(UNITS)}")
    amounts = {name: entry.exact_money("usd", amount, above=0) for name, amount in table.items()}
    actual, to_come = _percents(entry, "actual", (50, 70, 80, 100)), _percents(entry, "forecast", (100,))
    return Budget(amounts, cast("Span", unit), actual, to_come)


def _percents(entry: Entry, key: str, usual: tuple[int, ...]) -> tuple[Decimal, ...]:
    given = entry.given.get(key, list(usual))
    if not isinstance(given, list):
        raise entry.refuse(key, "expected a list of percents, as [50, 80, 100]")
    return tuple(sorted({entry.exact(key, percent, above=0) for percent in given}))


def readings(terms: Budget, rule: Rule, lookout: Lookout) -> list[Reading]:
    """Hold what the period has cost, and will have cost, against the budget of each value."""
    period = period_of(terms.unit, lookout.now, lookout.calendar)
    spent = {
        value: cost
        for value, cost in lookout.spent(period.begin, rule.by, rule.where).items()
        if terms.amount(value) is not None
    }
    made = _forecasts(rule, lookout, spent, period) if terms.forecast else {}
    few = len(spent) <= _MANY
    return [
        reading
        for value, cost in spent.items()
        if (amount := terms.amount(value)) is not None and (few or _is_near(terms, cost, made.get(value), amount))
        for reading in _readings(terms, rule, lookout, period, value, cost, amount, made.get(value))
    ]


def _is_near(terms: Budget, cost: Decimal, made: Forecast | None, amount: Decimal) -> bool:
    will = max(cost, made.forecast_usd) if made is not None and made.forecast_usd is not None else cost
    pairs = ((cost, terms.actual), (will, terms.forecast))
    return any(usd >= amount * percents[0] / _HUNDRED * _NEAR for usd, percents in pairs if percents)


def period_of(unit: Span, now: datetime, calendar: Calendar) -> _Period:
    """Return the billing period that a moment is in."""
    found = period_around(calendar.today(now), unit, calendar)
    return _Period(unit, found.first, found.last, found.begin, found.end)


def _forecasts(rule: Rule, lookout: Lookout, spent: Mapping[Value, Decimal], period: _Period) -> dict[Value, Forecast]:
    """Return the forecast of each value, made anew every quarter of an hour; of many values, every hour."""
    key = (rule.name, "forecasts")
    made_at, made = cast(
        "tuple[datetime | None, dict[Value, Forecast]]", lookout.kept.get(key, (None, dict[Value, Forecast]()))
    )
    since = floor(lookout.now, QUARTER if len(spent) <= _MANY else HOUR)
    if made_at != since:
        made = {}
        lookout.kept[key] = (since, made)
    missing = sorted((value for value in spent if value not in made), key=lambda value: -spent[value])
    for value, hours in lookout.past(rule.by, rule.where, missing).items():
        until = hours.begin + len(hours.cost) * HOUR
        made[value] = forecast(hours.cost[hours.known :], until, spent[value], lookout.now, period.end)
    return made


def _readings(
    terms: Budget,
    rule: Rule,
    lookout: Lookout,
    period: _Period,
    value: Value,
    cost: Decimal,
    amount: Decimal,
    made: Forecast | None,
) -> list[Reading]:
    summary = f"{who(rule.by, value)}{_used(period, cost, amount, lookout)}{_to_come(made)}"
    will = made.forecast_usd if made is not None else None
    found = [_reading(rule, period, value, cost, amount, percent, "actual", summary) for percent in terms.actual]
    if will is not None:
        more = max(cost, will)
        found += [
            _reading(rule, period, value, more, amount, percent, "forecast", summary) for percent in terms.forecast
        ]
    highest = {reading.scope["basis"]: reading.trip for reading in found if reading.is_over}
    return [reading if reading.trip >= highest.get(reading.scope["basis"], 0) else _quiet(reading) for reading in found]


def _reading(
    rule: Rule,
    period: _Period,
    value: Value,
    cost: Decimal,
    amount: Decimal,
    percent: Decimal,
    basis: str,
    summary: str,
) -> Reading:
    labels = {"threshold": f"{percent.normalize():f}", "basis": basis, "period": period.first.isoformat()}
    trip = amount * percent / _HUNDRED
    return Reading(cost, trip, summary, scope_of(rule.by, value) | labels, at_trip=True)


def _quiet(reading: Reading) -> Reading:
    return Reading(reading.value, reading.trip, reading.summary, reading.scope, reading.at_trip, quiet=True)


def _used(period: _Period, cost: Decimal, amount: Decimal, lookout: Lookout) -> str:
    """Return what is used, what remains, and when it runs out."""
    percent = (cost * _HUNDRED / amount).quantize(Decimal(1), ROUND_DOWN)
    left = _remaining(period, lookout)
    share = (
        f"{percent:,f} % of the {UNITS[period.unit]} budget used ({usd(cost)} of {usd(amount)}) with {left} remaining"
    )
    if cost >= amount:
        return share
    return f"{share}; {_runs_out(period, cost, amount, lookout)} at this rate"


def _remaining(period: _Period, lookout: Lookout) -> str:
    if period.unit == "day":
        hours = (period.end - lookout.now) // HOUR
        return f"{hours} hour{'' if hours == 1 else 's'}"
    days = (period.last - lookout.calendar.today(lookout.now)).days
    return f"{days} day{'' if days == 1 else 's'}"


def _runs_out(period: _Period, cost: Decimal, amount: Decimal, lookout: Lookout) -> str:
    passed = (lookout.now - period.begin) // _MICROSECOND
    needed = passed * amount / cost if cost else None
    if needed is None or needed >= (period.end - period.begin) // _MICROSECOND:
        return "lasts"
    moment = (period.begin + int(needed) * _MICROSECOND).astimezone(ZoneInfo(lookout.calendar.zone))
    if period.unit == "day":
        return f"runs out at {moment:%H:%M}"
    return f"runs out on the {_ordinal(moment.day)}"


def _to_come(made: Forecast | None) -> str:
    if made is None or made.forecast_usd is None or made.low_usd is None or made.high_usd is None:
        return ""
    little = ", of little history" if made.little_history else ""
    return f"; forecast {usd(made.forecast_usd)} ({usd(made.low_usd)} to {usd(made.high_usd)}{little})"


def _ordinal(day: int) -> str:
    ending = "th" if 11 <= day <= 13 else {1: "st", 2: "nd", 3: "rd"}.get(day % 10, "th")
    return f"{day}{ending}"


BUDGET: Final = Kind(
    "budget",
    ("usd", "period", "actual", "forecast"),
    read,
    readings,
    "what a day, week or month costs, against a budget",
    once=True,
    evaluations=1,
)
