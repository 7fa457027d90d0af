"""The interval of a ratio: what defines it, how often it holds, and where it has no end."""

from __future__ import annotations

import random
import statistics
from collections.abc import Sequence
from decimal import Decimal

import pytest

from spanledger_analytics.reports.intervals import Sums, interval, t_quantile


def sums(costs: Sequence[int], successes: Sequence[int]) -> Sums:
    return Sums(
        len(costs),
        sum(costs),
        sum(cost * cost for cost in costs),
        sum(cost for cost, success in zip(costs, successes, strict=True) if success),
        sum(successes),
    )


@pytest.mark.parametrize(
    ("freedom", "expected"),
    [(4, "2.776"), (5, "2.571"), (9, "2.262"), (30, "2.042"), (120, "1.980"), (10**9, "1.960")],
)
def test_quantiles_are_those_of_the_tables(freedom: int, expected: str) -> None:
    assert abs(t_quantile(freedom) - Decimal(expected)) < Decimal("0.004")


def test_at_its_ends_a_ratio_is_just_as_far_as_chance_goes() -> None:
    draw = random.Random(1)
    costs = [draw.randrange(1, 10**9) for _ in range(30)]
    successes = [draw.randrange(3) > 0 for _ in costs]
    low, high = interval(sums(costs, [int(success) for success in successes]))
    assert low is not None
    assert high is not None
    assert low < Decimal(sum(costs)) / sum(successes) < high
    for end in (low, high):
        differences = [cost - end * success for cost, success in zip(costs, successes, strict=True)]
        off = abs(statistics.mean(differences))
        error = (statistics.variance(differences) / len(costs)).sqrt()
        assert abs(off - t_quantile(len(costs) - 1) * error) < Decimal("0.001")


@pytest.mark.parametrize("rate", [0.3, 0.8])
def test_it_holds_as_often_as_it_says(rate: float) -> None:
    draw = random.Random(2)
    held = 0
    for _ in range(600):
        costs = [int(draw.lognormvariate(13, 0.7)) for _ in range(60)]
        successes = [int(draw.random() < rate) for _ in costs]
        low, high = interval(sums(costs, successes))
        truth = Decimal(2.718281828459**13.245) / Decimal(rate)
        held += (low or 0) <= truth and (high is None or truth <= high)
    assert 0.91 <= held / 600 <= 0.98


def test_few_successes_have_no_upper_end_and_no_success_no_interval() -> None:
    low, high = interval(sums([5, 6, 5, 7, 6, 5], [1, 0, 0, 0, 0, 0]))
    assert high is None
    assert low is not None
    assert 0 < low < 34
    assert interval(sums([5, 6, 5, 7, 6, 5], [0] * 6)) == (None, None)
    assert interval(sums([5, 6, 5, 7], [1, 1, 0, 1])) == (None, None)


def test_without_any_variation_it_is_the_ratio() -> None:
    assert interval(sums([7] * 6, [1] * 6)) == (Decimal(7), Decimal(7))
