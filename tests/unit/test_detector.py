"""The detector of anomalies: what it says of an hour, and what it must not look at."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings, strategies as st

from naive_detector import naive_scores
from spanledger_analytics.detector import DEFAULT, Episode, episodes, score

Floats = npt.NDArray[np.float64]
WEEK = 7 * 24
QUICK = replace(DEFAULT, season_days=3, calibration_h=48)


def a_series(weeks: int, seed: int = 7) -> Floats:
    """Busy by day, quiet at night, and some noise."""
    hours = np.arange(weeks * WEEK)
    noise = np.random.default_rng(seed).uniform(-2, 2, len(hours))
    return 50 + 30 * np.sin(2 * np.pi * hours / 24) + noise


@st.composite
def some_series(draw: st.DrawFn, rows: int = 1) -> Floats:
    hours = draw(st.integers(60, 140))
    values = st.one_of(st.just(math.nan), st.just(0.0), st.floats(0, 1e6, allow_subnormal=False))
    drawn = draw(st.lists(values, min_size=12, max_size=40))
    row = [np.array(drawn)[np.random.default_rng(place).integers(0, len(drawn), hours)] for place in range(rows)]
    return np.array(row)


@settings(max_examples=20, deadline=None)
@given(some_series())
def test_scores_are_those_of_the_definition(series: Floats) -> None:
    np.testing.assert_allclose(score(series, QUICK).score[0], naive_scores(series[0], QUICK).score, rtol=1e-6)


@settings(max_examples=20, deadline=None)
@given(some_series(), st.integers(1, 59))
def test_later_hours_change_no_score(series: Floats, later: int) -> None:
    whole, part = score(series, QUICK), score(series[:, :-later], QUICK)
    np.testing.assert_array_equal(whole.score[:, :-later], part.score)
    np.testing.assert_array_equal(whole.expected[:, :-later], part.expected)


@settings(max_examples=20, deadline=None)
@given(some_series(rows=4), st.permutations(range(4)))
def test_other_series_change_no_score(series: Floats, order: list[int]) -> None:
    together = score(series[order], QUICK)
    alone = [score(series[place], QUICK) for place in order]
    np.testing.assert_array_equal(together.score, np.concatenate([one.score for one in alone]))
    np.testing.assert_array_equal(together.expected, np.concatenate([one.expected for one in alone]))


def test_nothing_is_said_before_two_days_of_data() -> None:
    known = np.r_[np.full(10, np.nan), a_series(1)]
    said = ~np.isnan(score(known).score[0])
    assert np.flatnonzero(said)[0] == 10 + 48
    assert np.isnan(score(known[:58]).score).all()


def test_an_hour_without_data_is_neither_judged_nor_learned_from() -> None:
    series = a_series(4)
    gap = slice(400, 412)
    series[gap] = np.nan
    found = score(series).score[0]
    assert np.isnan(found[gap]).all()
    assert episodes(found) == []


def test_an_hour_in_which_nothing_was_spent_is_judged() -> None:
    series = a_series(4)
    series[462:466] = 0.0
    assert [(one.first, one.last) for one in episodes(score(series).score[0])] == [(462, 465)]


def test_what_happens_each_day_is_ordinary() -> None:
    series = np.tile(np.r_[np.full(23, 1.0), 500.0], 28) + np.random.default_rng(1).normal(0, 0.1, 28 * 24)
    assert episodes(score(series).score[0, WEEK:]) == []


def test_a_step_is_told_once_and_then_normal() -> None:
    series = a_series(6)
    series[500:] += 200
    told = episodes(score(series).score[0])
    assert [one.first for one in told] == [500]
    assert told[0].last < 500 + 72


def test_the_unit_does_not_matter() -> None:
    series = a_series(4)
    series[600] *= 3
    np.testing.assert_allclose(score(series * 1e-6).score, score(series).score, rtol=1e-4)


def test_upwards_only_what_is_more_than_expected_scores() -> None:
    series = a_series(4)
    series[450], series[600] = 0.0, 300.0
    both, upwards = score(series).score[0], score(series, upwards=True).score[0]
    assert [one.first for one in episodes(both)] == [450, 600]
    assert [one.first for one in episodes(upwards)] == [600]
    assert upwards[450] == 0


def test_what_was_expected_is_the_mean_of_late_and_what_is_usual_at_the_hour() -> None:
    flat = np.full(WEEK, 2.0)
    flat[100] = 7.0
    found = score(flat)
    assert found.expected[0, 100] == 2.0
    assert found.score[0, 100] == pytest.approx(5 / 0.02 / DEFAULT.least_quantile)
    assert found.expected[0, 101] == pytest.approx(2.0 + 0.02 * 5)
    peaks = np.tile(np.r_[np.full(23, 1.0), 9.0], 28)
    assert score(peaks).expected[0, [-2, -1]] == pytest.approx([1.0, 9.0], abs=1e-3)


def test_hours_no_further_apart_than_the_cooldown_are_one_episode() -> None:
    scores = np.zeros(200)
    scores[[10, 34, 59, 60]] = [1.6, 2.0, 3.0, 1.5]
    scores[100] = 1.49
    assert episodes(scores) == [Episode(10, 34, 34, 2.0), Episode(59, 60, 59, 3.0)]


def test_no_series_has_no_scores() -> None:
    assert score(np.zeros((0, 50))).score.shape == (0, 50)
    assert score(np.zeros((3, 0))).score.shape == (3, 0)


@settings(max_examples=20, deadline=None)
@given(some_series())
def test_an_hour_is_out_of_the_ordinary_from_its_limit_on(series: Floats) -> None:
    found = score(series, QUICK, upwards=True)
    said = ~np.isnan(found.score[0])
    assert not np.isnan(found.limit[0, said]).any()
    beyond = series[0] - found.limit[0]
    tells = said & (np.abs(beyond) > 1e-9 * np.nanmax(np.abs(series), initial=1.0))
    assert ((beyond > 0) == (found.score[0] >= QUICK.threshold))[tells].all()
