"""Models that stand in and are refused again and again."""

from __future__ import annotations

import pytest

from spanledger.guard.turned_down import MOST, PAUSE_MS, WHY, TurnedDown

NOW = 1_800_000_000_000


@pytest.fixture
def turned_down() -> TurnedDown:
    turned_down = TurnedDown()
    for _ in range(MOST):
        assert turned_down.why_not("a", "b", NOW) is None
        turned_down.add("a", "b", NOW)
    return turned_down


def test_it_is_let_be_until_the_pause_is_over_and_again_when_it_is_refused_then(turned_down: TurnedDown) -> None:
    assert turned_down.why_not("a", "b", NOW + PAUSE_MS - 1) == WHY
    assert turned_down.why_not("a", "b", NOW + PAUSE_MS) is None

    turned_down.add("a", "b", NOW + PAUSE_MS)
    assert turned_down.why_not("a", "b", NOW + PAUSE_MS) == WHY


def test_others_are_not_and_one_that_is_taken_is_not_any_more(turned_down: TurnedDown) -> None:
    assert turned_down.why_not("a", "c", NOW) is None
    assert turned_down.why_not("c", "b", NOW) is None

    turned_down.taken("a", "b")
    assert turned_down.why_not("a", "b", NOW) is None


def test_a_clock_that_was_set_back_keeps_nothing_away(turned_down: TurnedDown) -> None:
    assert turned_down.why_not("a", "b", NOW - 1) is None
