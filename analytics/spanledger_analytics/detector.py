"""Which hours of a series are out of the ordinary: one detector, with one set of parameters for every series.

Each hour is looked at twice: less what is usual at that hour of the day, and as it is. Either way it is compared with
the mean and variance of late, which forget old hours, so that a step is told once and is normal soon after. The score
is then divided by one of the highest that the series itself had in the last four weeks: a nervous series has to do more
than a calm one, and one threshold serves all. What is usual at an hour is told as the difference to the day before it:
as a median of the values themselves it would turn over two weeks after a step, and tell that as another one.

An hour's score is made of that hour and those before it, of this series alone. Scores are floats, as they are no money;
`expected` is an estimate, and who tells it in dollars rounds it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

Floats = npt.NDArray[np.float64]
_DAY: Final = 24
_TINY: Final = 1e-12
"""Instead of a division by zero."""


@dataclass(frozen=True, slots=True)
class Parameters:
    """How the detector decides. They were chosen on every other series of a public benchmark (docs/anomalies.md)."""

    season_days: int = 28
    """What is usual at an hour of the day is the median over so many days before: of what it was more than its day."""
    season_least: int = 3
    """With fewer days than that to go by nothing is usual at an hour of the day."""
    memory: float = 0.02
    """The weight of the newest hour in mean and variance: half is forgotten in 34 hours."""
    least_spread: float = 0.01
    """The standard deviation is at least this share of what is expected."""
    calibration_h: int = 28 * _DAY
    """A score is held against the series' own scores of so many hours before."""
    calibration_quantile: float = 0.9925
    """Against this quantile of them."""
    least_quantile: float = 1.5
    """And the quantile counts as at least this, in a series that is perfectly calm: standard deviations."""
    history_h: int = 2 * _DAY
    """Nothing is said before a series has so many hours of data."""
    threshold: float = 1.5
    """From this score on an hour is out of the ordinary."""
    cooldown_h: int = _DAY
    """Hours out of the ordinary that are no further apart than this are one episode."""


DEFAULT: Final = Parameters()
_FIRST_SCORES_H: Final = _DAY
"""Before that, mean and variance are of too few hours for a score, even for the calibration."""


@dataclass(frozen=True, slots=True)
class Episode:
    """Hours out of the ordinary that belong together; places in the series."""

    first: int
    last: int
    """The last hour out of the ordinary."""
    peak: int
    """The hour with the highest score."""
    score: float


@dataclass(frozen=True, slots=True)
class Scores:
    """What the detector makes of series; arrays of the shape (series, hours)."""

    score: Floats
    """1 is as far out as the furthest of 133 hours; NaN: no data, or less than `history_h` of them so far."""
    expected: Floats
    """What the hour should have been, in the unit of the series; NaN before its first data."""
    usual: Floats
    """What of that is because of the hour of the day."""
    limit: Floats
    """From this on what is more than expected is out of the ordinary; NaN where nothing is said."""

    def undisturbed(self, place: int, episode: Episode) -> Floats:
        """Return what the hours of an episode of a series would have been without it; `expected` soon takes it in."""
        level = self.expected[place, episode.first] - self.usual[place, episode.first]
        level_and_usual: Floats = self.usual[place, episode.first : episode.last + 1] + level
        return level_and_usual


def score(series: npt.ArrayLike, parameters: Parameters = DEFAULT, *, upwards: bool = False) -> Scores:
    """Score each hour of each series.

    Args:
        series: shape (series, hours), equally spaced. NaN: nothing is known of the hour, so it is neither judged nor
            learned from. 0: known to be nothing.
        parameters: how to decide.
        upwards: whether only what is more than expected scores, as with cost; what is less has 0 then.
    """
    values = np.atleast_2d(np.asarray(series, dtype=np.float64))
    usual = np.array([_usual(row, parameters) for row in values]).reshape(values.shape)
    by_hour, mean, spread = _deviations(values - usual, usual, parameters, upwards=upwards)
    by_level, level, level_spread = _deviations(values, np.zeros_like(values), parameters, upwards=upwards)
    own, level_own = _highest(by_hour, parameters), _highest(by_level, parameters)
    both = np.fmax(by_hour / own, by_level / level_own)
    limit = usual + mean + parameters.threshold * own * spread
    limit = np.fmin(limit, level + parameters.threshold * level_own * level_spread)
    for told in (both, limit):
        told[np.cumsum(~np.isnan(values), axis=1) <= parameters.history_h] = np.nan
    return Scores(both, usual + mean, usual, limit)


def episodes(score: Floats, parameters: Parameters = DEFAULT) -> list[Episode]:
    """Return the episodes of one series, by its scores (hours), in order."""
    places = np.flatnonzero(score >= parameters.threshold)
    if not len(places):
        return []
    runs = np.split(places, np.flatnonzero(np.diff(places) > parameters.cooldown_h) + 1)
    peaks = [int(run[np.argmax(score[run])]) for run in runs]
    return [Episode(int(run[0]), int(run[-1]), peak, float(score[peak])) for run, peak in zip(runs, peaks, strict=True)]


def _usual(row: Floats, parameters: Parameters) -> Floats:
    """Return how much more than the day before it an hour is by its hour of the day; (hours)."""
    days = [_DAY * day for day in range(1, parameters.season_days + 1)]
    more = row - _median_before(row, list(range(1, _DAY + 1)), 1)
    return np.nan_to_num(_median_before(more, days, parameters.season_least))


def _median_before(row: Floats, steps: list[int], least: int) -> Floats:
    """Return for each hour the median of those so many steps before; NaN where fewer than `least` are known."""
    reach = max(steps)
    padded = np.concatenate([np.full(reach, np.nan), row])
    before = np.sort(padded[np.arange(len(row))[:, None] + reach - np.array(steps)], axis=1)  # NaN goes last
    known = np.count_nonzero(~np.isnan(before), axis=1)
    hours = np.arange(len(row))
    middle = (before[hours, np.maximum(known - 1, 0) // 2] + before[hours, np.minimum(known // 2, len(steps) - 1)]) / 2
    return np.where(known >= least, middle, np.nan)


def _deviations(rest: Floats, usual: Floats, parameters: Parameters, *, upwards: bool) -> tuple[Floats, Floats, Floats]:
    """Return how many standard deviations each hour is from the mean of those before, that mean, and one of them."""
    deviations, means, spreads = (np.full_like(rest, np.nan) for _ in range(3))
    mean, variance, seen = np.zeros(len(rest)), np.zeros(len(rest)), np.zeros(len(rest))
    begun = np.flatnonzero(~np.isnan(rest).all(axis=0))
    for hour in range(begun[0] if len(begun) else 0, rest.shape[1]):
        new, known = rest[:, hour], ~np.isnan(rest[:, hour])
        off = np.where(known, new - mean, 0.0)
        floor = parameters.least_spread * np.abs(usual[:, hour] + mean)
        size = np.maximum(off, 0.0) if upwards else np.abs(off)
        means[:, hour] = np.where(seen > 0, mean, np.nan)
        spreads[:, hour] = np.where(seen >= _FIRST_SCORES_H, np.sqrt(variance) + floor + _TINY, np.nan)
        deviations[:, hour] = np.where(known, size / spreads[:, hour], np.nan)
        weight = np.where(known, np.maximum(parameters.memory, 1 / (seen + 1)), 0.0)
        mean = mean + weight * off
        variance = (1 - weight) * (variance + weight * off * off)
        seen += known
    return deviations, means, spreads


def _highest(deviations: Floats, parameters: Parameters) -> Floats:
    """Return what only the furthest of the hours before reached: their quantile, at least what a calm series has."""
    frame = pl.DataFrame([pl.Series(str(place), row, nan_to_null=True) for place, row in enumerate(deviations)])
    highest = frame.select(
        pl.all()
        .shift(1)
        .rolling_quantile(
            parameters.calibration_quantile, "linear", window_size=parameters.calibration_h, min_samples=1
        )
        .fill_null(np.nan)
    )
    own = np.array([column.to_numpy() for column in highest]).reshape(deviations.shape)
    highest_of_all: Floats = np.fmax(own, parameters.least_quantile)
    return highest_of_all
