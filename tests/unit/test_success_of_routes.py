"""Whether a rule of the router stops: a one-sided test of two proportions, held against values reckoned by hand."""

from __future__ import annotations

import math
import random
from dataclasses import replace
from fractions import Fraction
from statistics import NormalDist

import pytest

from spanledger.guard.success import Success, p_value

ALPHA = Fraction(1, 20)


@pytest.mark.parametrize(
    ("routed", "control", "p"),
    [
        # p = 0.5, c = 0.02, error = sqrt(0.25 * 0.02) = 0.0707107, z = (0.2 - 0.01) / 0.0707107 = 2.687006
        ((100, 40), (100, 60), 0.0036048),
        # p = 93/100, c = 0.04, error = sqrt(0.93 * 0.07 * 0.04) = 0.0510294, z = (0.06 - 0.02) / 0.0510294 = 0.783862
        ((50, 45), (50, 48), 0.2165606),
        # p = 130/250, c = 0.025, error = sqrt(0.52 * 0.48 * c) = 0.0789937, z = (0.15 - 0.0125) / 0.0789937 = 1.740646
        ((50, 20), (200, 110), 0.0408728),
        # The routed side is better: z = (-0.2 - 0.01) / 0.0707107 = -2.969848.
        ((100, 60), (100, 40), 0.9985103),
        ((100, 50), (100, 50), 0.5562315),
    ],
)
def test_the_chance_of_a_drop_is_that_of_the_corrected_z_test(
    routed: tuple[int, int], control: tuple[int, int], p: float
) -> None:
    assert p_value(routed, control) == pytest.approx(p, abs=5e-7)


@pytest.mark.parametrize(
    ("routed", "control"), [((0, 0), (10, 5)), ((10, 5), (0, 0)), ((10, 10), (20, 20)), ((10, 0), (20, 0))]
)
def test_nothing_is_told_where_a_side_is_empty_or_all_ended_alike(
    routed: tuple[int, int], control: tuple[int, int]
) -> None:
    assert p_value(routed, control) == 1.0


def test_the_tail_is_that_of_the_normal_distribution() -> None:
    """By way of another implementation, at many places."""
    chance = random.Random(7)
    for _ in range(200):
        n_1, n_2 = chance.randint(10, 500), chance.randint(10, 500)
        hits_1, hits_2 = chance.randint(1, n_1 - 1), chance.randint(1, n_2 - 1)
        pooled = Fraction(hits_1 + hits_2, n_1 + n_2)
        both = Fraction(1, n_1) + Fraction(1, n_2)
        z = float(Fraction(hits_2, n_2) - Fraction(hits_1, n_1) - both / 2) / float(pooled * (1 - pooled) * both) ** 0.5
        assert p_value((n_1, hits_1), (n_2, hits_2)) == pytest.approx(1 - NormalDist().cdf(z), abs=1e-12)


def test_a_rule_stops_where_its_routed_work_fails_and_says_so() -> None:
    before = Success(routed=(99, 40), control=(100, 60))

    after = before.plus("routed", 1, 0).looked_at(ALPHA, 100)

    assert after == Success(
        (100, 40),
        (100, 60),
        looks=1,
        stopped="40 of 100 (40.0 %) of routed work succeeded, and 60 of 100 (60.0 %) of the rest (p = 0.0036)",
    )
    assert Success.from_json(after.to_json()) == after
    assert after.plus("routed", 100, 100).looked_at(ALPHA, 100).stopped == after.stopped


def test_it_is_looked_at_only_when_both_sides_have_enough_and_then_when_they_have_doubled() -> None:
    few = Success(routed=(99, 0), control=(500, 500))
    assert few.looked_at(ALPHA, 100) is few

    known = Success(routed=(100, 50), control=(100, 50)).looked_at(ALPHA, 100)
    assert (known.looks, known.stopped) == (1, "")
    worse = known.plus("routed", 99, 0).plus("holdout", 99, 99)
    assert worse.looked_at(ALPHA, 100) is worse
    assert worse.plus("routed", 1, 0).plus("shadow", 1, 1).looked_at(ALPHA, 100).stopped != ""


def test_each_look_is_allowed_half_the_error_of_the_one_before() -> None:
    # z = 2.12, p = 0.0169: enough for the first look (0.025), not for the second (0.0125).
    first = Success(routed=(100, 42), control=(100, 58))
    p = p_value(first.routed, first.control)

    assert 0.0125 < p < 0.025
    assert first.looked_at(ALPHA, 100).stopped != ""
    assert replace(first, looks=1).looked_at(ALPHA, 50).stopped == ""


@pytest.mark.parametrize("share", [0.5, 0.8, 0.95])
@pytest.mark.parametrize("sides", [(25, 25), (25, 100), (50, 50)])
def test_one_look_is_wrong_no_more_often_than_allowed(sides: tuple[int, int], share: float) -> None:
    """Summed over all that can happen where both sides succeed alike."""
    weights = [[math.comb(n, hits) * share**hits * (1 - share) ** (n - hits) for hits in range(n + 1)] for n in sides]
    wrong = sum(
        weight * other
        for hits, weight in enumerate(weights[0])
        for others, other in enumerate(weights[1])
        if p_value((sides[0], hits), (sides[1], others)) < 0.025
    )

    assert sum(weights[0]) == pytest.approx(1)
    assert wrong < 0.025


def test_a_rule_as_good_as_the_rest_is_stopped_no_more_often_than_stated() -> None:
    """Who looks after each outcome is wrong at least twice as often."""
    chance, runs, stopped, naively = random.Random(11), 200, 0, 0
    for _ in range(runs):
        known, peeked = Success(), False
        for n in range(1, 251):
            for arm in ("routed", "holdout"):
                known = known.plus(arm, 1, chance.random() < 0.8)
            known = known.looked_at(ALPHA, 25)
            peeked = peeked or (n >= 25 and p_value(known.routed, known.control) < ALPHA)
        stopped += known.stopped != ""
        naively += peeked

    assert stopped <= runs * ALPHA
    assert naively > 2 * runs * ALPHA


def test_counts_of_an_outcome_that_was_said_anew_move() -> None:
    known = Success((10, 5), (10, 5)).plus("routed", 0, 1).plus("holdout", 0, -1)

    assert known == Success((10, 6), (10, 4))
