"""What a period will have cost when it is over, and on which day a budget runs out.

What is forecast is the total, so a method is chosen by its errors of totals, and the interval is made of such errors,
never of errors of single hours. They are drawn as whole runs of days, with either sign, and from all methods that were
about as good: the errors of the best one alone look smaller than it will be off, and growth of late weeks needn't go
on. docs/forecast.md says how often totals are within.

Money goes in and comes out as Decimal; between, it is pico-dollars in floats.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta, tzinfo
from decimal import Decimal
from typing import Final

import numpy as np

from .forecast_methods import DAY, METHODS, WEEK, Floats, earlier, repeated, weeks_after

LEVEL: Final = 0.8
"""Share of the totals that shall be within the interval."""
LEAST_HOURS: Final = 2 * DAY
"""Below that there is no forecast."""
LITTLE_HOURS: Final = WEEK + DAY
"""Below that no method can be tried at an earlier moment: it would have had less than a week to look back on."""
LITTLE: Final = "gamma on daily totals"
"""The method with so little history."""
NOTHING_LEFT: Final = "nothing is left"
"""The method where the period is over."""
_TAIL: Final = 1.2815515655446004
"""How many standard deviations from the mean of a normal distribution the ends of the interval are."""
_ABOUT_AS_GOOD: Final = 2.0
"""Times the error of the best method that another may have had for its errors to count."""
_LEAST_SPREAD: Final = 0.5
"""A day's standard deviation over its mean, at least, where only a few days are known."""
_DRAWS: Final = 1000
_SEED: Final = 7
_HOUR: Final = timedelta(hours=1)
_PICO: Final = 12


@dataclass(frozen=True, slots=True)
class Way:
    """How much will be spent from now on by the end of each hour; pico-dollars."""

    until: datetime
    """When its first hour begins."""
    end: datetime
    """When its last hour is over; that may be a part of one."""
    point: Floats
    low: Floats
    high: Floats


@dataclass(frozen=True, slots=True)
class Forecast:
    """What a period will have cost. Money is exact for what was spent, and forecasts are rounded to 1e-12 dollars."""

    spent_usd: Decimal
    forecast_usd: Decimal | None
    """The whole period, with what was spent; None where there is no forecast."""
    low_usd: Decimal | None
    high_usd: Decimal | None
    """Ends of the interval that holds the total four times of five."""
    method: str | None
    history_days: int
    """Whole days since something was spent first."""
    little_history: bool
    """Less than eight days: the interval is wide, and takes all days of the week for equal."""
    reason: str | None = None
    """Why there is no forecast."""
    way: Way | None = field(default=None, repr=False, compare=False)
    """The way there; None where there is no forecast, and where nothing is left."""


@dataclass(frozen=True, slots=True)
class RunOut:
    """The days on which a budget is used up; None is not within the period."""

    early: date | None
    """Where as much is spent as the interval allows."""
    expected: date | None
    late: date | None
    """Where as little is."""


def forecast(hours: Sequence[Decimal], until: datetime, spent_usd: Decimal, now: datetime, end: datetime) -> Forecast:
    """Say what a period will have cost.

    The same arguments give the same answer: what is drawn at random has a fixed seed.

    Args:
        hours: US dollars of each whole hour before `until`, oldest first; more than those of the period, if there are.
        until: When the last of them was over. It may be a while ago: the hour that is under way counts by what is left.
        spent_usd: What the period has cost until now.
        now: Until when that was.
        end: When the period is over.
    """
    history = np.trim_zeros(np.rint(np.array(list(map(float, hours))) * 10**_PICO), "f")
    days = len(history) // DAY
    if now >= end:
        return Forecast(spent_usd, spent_usd, spent_usd, spent_usd, NOTHING_LEFT, days, False)
    little = len(history) < LITTLE_HOURS
    if len(history) < LEAST_HOURS:
        return Forecast(spent_usd, None, None, None, None, days, little, _too_little(len(history)))
    left = _hours_left((now - until) / _HOUR, (end - until) / _HOUR)
    method, point, low, high = _by_days(history, left) if little else _best_of_four(history, left)
    way = _way(until, end, point, low, high)
    point_usd, low_usd, high_usd = (spent_usd + _usd(path[-1]) for path in (way.point, way.low, way.high))
    return Forecast(spent_usd, point_usd, low_usd, high_usd, method, days, little, way=way)


def run_out(made: Forecast, budget_usd: Decimal, zone: tzinfo = UTC) -> RunOut:
    """Return the days, of a time zone, on which what was spent and will be reaches a budget that isn't used up yet.

    Without a forecast no day is known, and where nothing is left there is none.
    """
    if made.way is None:
        return RunOut(None, None, None)
    left = float((budget_usd - made.spent_usd).scaleb(_PICO))
    early, expected, late = (
        _day_of(made.way, path, left, zone) for path in (made.way.high, made.way.point, made.way.low)
    )
    return RunOut(early, expected, late)


def used_up(hours: Sequence[Decimal], until: datetime, budget_usd: Decimal, zone: tzinfo = UTC) -> date | None:
    """Return the day on which the hours of a period, the last of which ends at `until`, had used up a budget."""
    spent = Decimal(0)
    for place, hour in enumerate(hours):
        spent += hour
        if spent >= budget_usd:
            return (until - (len(hours) - place) * _HOUR).astimezone(zone).date()
    return None


def _too_little(hours: int) -> str:
    known = f"something was spent first {hours} hours ago" if hours else "nothing was spent in any whole hour"
    return f"{known}; a forecast needs {LEAST_HOURS} hours"


def _usd(pico: float) -> Decimal:
    return Decimal(round(pico)).scaleb(-_PICO)


def _hours_left(now: float, end: float) -> Floats:
    """Return how much of each hour from the first to the `end`-th is still to come after `now` (0 to 1)."""
    begins = np.arange(math.ceil(end))
    left: Floats = np.maximum(np.minimum(begins + 1, end) - np.maximum(begins, now), 0.0)
    return left


def _best_of_four(history: Floats, left: Floats) -> tuple[str, Floats, Floats, Floats]:
    """Forecast by the method that was least wrong about totals."""
    days = -(-len(left) // DAY)
    errors = _errors_of_days(history, days)
    wrong = np.mean([np.abs(error.mean(axis=1)) for error in errors], axis=0)
    best = int(np.argmin(wrong))
    weeks = weeks_after(history, np.array([len(history)]))[best, 0]
    point = np.cumsum(repeated(weeks, len(left)) * left)
    off = _off_by([error[wrong <= _ABOUT_AS_GOOD * wrong[best]] for error in errors], days)
    width = np.interp(np.cumsum(left) / DAY, np.arange(days + 1), np.concatenate([[0.0], off]))
    return METHODS[best], point, point - width, point + width


def _errors_of_days(history: Floats, days: int) -> list[Floats]:
    """Return how wrong each method was about each day after each earlier moment, as far as it is known.

    One array a moment, the latest first: methods x days, as many as have passed since, at most `days`.
    """
    known = earlier(len(history), WEEK)
    said = weeks_after(history, known).reshape(len(METHODS), len(known), WEEK // DAY, DAY).sum(axis=3)
    real = _days_of(history)
    return [
        real[len(real) - place : len(real) - place + length] - repeated(said[:, place - 1], length)
        for place in range(1, len(known) + 1)
        for length in (min(place, days),)
    ]


def _off_by(errors: Sequence[Floats], days: int) -> Floats:
    """Return how far off the total by each of the next days may be, at most, four times of five.

    Totals are drawn: a run of days is what one method made of the days after one moment. Runs are half as long as was
    ever known, so that there are two that don't overlap, and in whole weeks if they can be. Where more days are asked
    for, another run follows, on the level at which the one before it ended up. As `n` runs that don't overlap tell
    little of how far off runs may be, all is wider by one nth, which is about what Student's t has over the normal.
    """
    length = min(days, max(1, len(errors) // 2))
    if WEEK // DAY < length < days:
        length -= length % (WEEK // DAY)
    runs = np.concatenate([error[:, :length] for error in errors if error.shape[1] >= length])
    count = -(-days // length)
    random = np.random.default_rng(_SEED)
    signs = random.choice([-1.0, 1.0], (_DRAWS, count, 1))
    drawn = runs[random.integers(0, len(runs), (_DRAWS, count))] * signs
    means = drawn.mean(axis=2)
    drawn += (np.cumsum(means, axis=1) - means)[:, :, None]
    totals = np.cumsum(drawn.reshape(_DRAWS, -1)[:, :days], axis=1)
    off: Floats = np.quantile(np.abs(totals), LEVEL, axis=0)
    return off * (1 + length / len(errors))


def _by_days(history: Floats, left: Floats) -> tuple[str, Floats, Floats, Floats]:
    """Forecast by the mean of a few days, with a gamma distribution that is wide.

    A total of D days has the mean D m. Its variance is that of D days, and that of a mean which only n days tell:
    v D (1 + D / n). The distribution's quantiles are those of Wilson and Hilferty (1931).
    """
    real = _days_of(history)
    mean = real.mean()
    variance = max(real.var(ddof=1), (_LEAST_SPREAD * mean) ** 2)
    days = np.cumsum(left) / DAY
    point = mean * days
    spread = variance * days * (1 + days / len(real))
    shape = np.divide(point**2, spread, out=np.ones_like(days), where=spread > 0)
    low, high = (
        point * np.maximum(1 - 1 / (9 * shape) + tail / (3 * np.sqrt(shape)), 0.0) ** 3 for tail in (-_TAIL, _TAIL)
    )
    return LITTLE, point, low, high


def _days_of(history: Floats) -> Floats:
    """Return the totals of the days that end with the history, oldest first."""
    totals: Floats = history[len(history) % DAY :].reshape(-1, DAY).sum(axis=1)
    return totals


def _way(until: datetime, end: datetime, point: Floats, low: Floats, high: Floats) -> Way:
    """Return a way in whole pico-dollars whose ends hold the point, and on which nothing that was spent comes back."""
    low = np.minimum(np.maximum.accumulate(np.maximum(low, 0.0)), point)
    high = np.maximum.accumulate(np.maximum(high, point))
    return Way(until, end, np.rint(point), np.rint(low), np.rint(high))


def _day_of(way: Way, path: Floats, amount: float, zone: tzinfo) -> date | None:
    """Return the day of the hour in which a path reaches an amount."""
    place = int(np.searchsorted(path, amount))
    if place == len(path):
        return None
    return (way.until + place * _HOUR).astimezone(zone).date()
