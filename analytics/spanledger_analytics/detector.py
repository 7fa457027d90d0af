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
    rest, base = np.concatenate([values - usual, values]), np.concatenate([usual, np.zeros_like(values)])
    deviations, means, spreads = _deviations(rest, base, parameters, upwards=upwards)
    highest = _highest(deviations, parameters)
    # Either way of looking at it is a half.
    (by_hour, by_level), (mean, level), (spread, level_spread), (own, level_own) = (
        np.split(both, 2) for both in (deviations, means, spreads, highest)
    )
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
    more = row - _median_before(row, 1, _DAY, 1)
    return np.nan_to_num(_median_before(more, _DAY, parameters.season_days, parameters.season_least))


def _median_before(row: Floats, step: int, count: int, least: int) -> Floats:
    """Return for each hour the median of the `count` before it, `step` apart; NaN where fewer than `least` are."""
    rounds = -(-len(row) // step)
    padded = np.full((count + rounds) * step, np.nan)
    padded[count * step : count * step + len(row)] = row
    phases = padded.reshape(-1, step).T
    windows = np.lib.stride_tricks.sliding_window_view(phases, count, axis=1)[:, :rounds]
    before = np.sort(windows, axis=2)  # NaN goes last
    seen = np.cumsum(np.insert(~np.isnan(phases), 0, False, axis=1), axis=1)
    known = (seen[:, count:] - seen[:, :-count])[:, :rounds]
    lower, upper = np.maximum(known - 1, 0) // 2, np.minimum(known // 2, count - 1)
    middle = sum(np.take_along_axis(before, place[..., None], 2)[..., 0] for place in (lower, upper)) / 2
    median: Floats = np.where(known >= least, middle, np.nan).T.ravel()[: len(row)]
    return median


def _deviations(rest: Floats, usual: Floats, parameters: Parameters, *, upwards: bool) -> tuple[Floats, Floats, Floats]:
    """Return how many standard deviations each hour is from the mean of those before, that mean, and one of them."""
    means, variances = np.zeros_like(rest), np.zeros_like(rest)
    known = ~np.isnan(rest)
    seen = np.cumsum(known, axis=1) - known
    weights = np.where(known, np.maximum(parameters.memory, 1 / (seen + 1)), 0.0)
    mean, variance = np.zeros(len(rest)), np.zeros(len(rest))
    for hour in range(rest.shape[1]):
        means[:, hour], variances[:, hour] = mean, variance
        off = np.where(known[:, hour], rest[:, hour] - mean, 0.0)
        weighted = weights[:, hour] * off
        mean = mean + weighted
        variance = (1 - weights[:, hour]) * (variance + weighted * off)
    off = rest - means
    size = np.maximum(off, 0.0) if upwards else np.abs(off)
    spreads = np.sqrt(variances) + parameters.least_spread * np.abs(usual + means) + _TINY
    spreads[seen < _FIRST_SCORES_H] = np.nan
    means[seen == 0] = np.nan
    return size / spreads, means, spreads


def _highest(deviations: Floats, parameters: Parameters) -> Floats:
    """Return what only the furthest of the hours before reached: their quantile, at least what a calm series has."""
    own = np.full_like(deviations, np.nan)
    if not own.size:
        return own
    known = ~np.isnan(deviations)
    begun = np.argmax(known, axis=1)
    whole = np.count_nonzero(known, axis=1) == deviations.shape[1] - begun
    for begin, is_whole in {*zip(begun.tolist(), whole.tolist(), strict=True)}:
        rows = np.flatnonzero((begun == begin) & (whole == is_whole))
        # Without hours of which nothing is known, which is the rule, it takes a sixth of the time.
        since = [pl.Series(str(row), deviations[row, begin:], nan_to_null=not is_whole) for row in rows]
        highest = pl.DataFrame(since).select(
            pl.all().rolling_quantile(
                parameters.calibration_quantile, "linear", window_size=parameters.calibration_h, min_samples=1
            )
        )
        own[rows, begin + 1 :] = highest.fill_null(np.nan).to_numpy().T[:, :-1]
    highest_of_all: Floats = np.fmax(own, parameters.least_quantile)
    return highest_of_all
