"""The detector of anomalies by its definition, hour by hour and in plain Python: what the quick one is held against."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median

import numpy as np

from spanledger_analytics.detector import DEFAULT, Parameters


@dataclass(frozen=True, slots=True)
class NaiveScores:
    """Of one series, an entry an hour; NaN where nothing is known."""

    score: list[float]
    expected: list[float]
    usual: list[float]


def naive_scores(series: Sequence[float], by: Parameters = DEFAULT, *, upwards: bool = False) -> NaiveScores:
    """Score a series by the definition."""
    more = [value - middle(series[max(0, hour - 24) : hour]) for hour, value in enumerate(series)]
    usual = [usual_of(more, hour, by) for hour in range(len(series))]
    rest = [value - base for value, base in zip(series, usual, strict=True)]
    by_hour, means = deviations(rest, usual, by, upwards=upwards)
    by_level, _ = deviations(series, [0.0] * len(series), by, upwards=upwards)
    known, scores = 0, []
    for hour, (one, other) in enumerate(zip(calibrated(by_hour, by), calibrated(by_level, by), strict=True)):
        known += not math.isnan(series[hour])
        is_told = not math.isnan(series[hour]) and known > by.history_h
        scores.append(max(one, other) if is_told else math.nan)
    return NaiveScores(scores, [base + mean for base, mean in zip(usual, means, strict=True)], usual)


def usual_of(more: Sequence[float], hour: int, by: Parameters) -> float:
    places = [hour - 24 * day for day in range(1, by.season_days + 1)]
    known = [more[place] for place in places if place >= 0 and not math.isnan(more[place])]
    return median(known) if len(known) >= by.season_least else 0.0


def middle(values: Iterable[float]) -> float:
    known = [value for value in values if not math.isnan(value)]
    return median(known) if known else math.nan


def deviations(
    rest: Sequence[float], usual: Sequence[float], by: Parameters, *, upwards: bool
) -> tuple[list[float], list[float]]:
    """Return how many standard deviations each hour is from the mean of those before, and that mean."""
    seen, mean, variance = 0, 0.0, 0.0
    found, means = [], []
    for value, base in zip(rest, usual, strict=True):
        means.append(mean if seen else math.nan)
        if math.isnan(value):
            found.append(math.nan)
            continue
        spread = math.sqrt(variance) + by.least_spread * abs(base + mean) + 1e-12
        off = value - mean
        size = max(off, 0.0) if upwards else abs(off)
        found.append(size / spread if seen >= 24 else math.nan)
        seen += 1
        weight = max(by.memory, 1 / seen)
        mean += weight * off
        variance = (1 - weight) * (variance + weight * off * off)
    return found, means


def calibrated(found: Sequence[float], by: Parameters) -> list[float]:
    """Hold each hour against the highest that the series had before."""
    scores = []
    for hour, deviation in enumerate(found):
        before = [one for one in found[max(0, hour - by.calibration_h) : hour] if not math.isnan(one)]
        own = float(np.quantile(before, by.calibration_quantile)) if before else 0.0
        scores.append(deviation / max(own, by.least_quantile))
    return scores
