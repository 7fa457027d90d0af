"""Forecasts of totals, each of them worked out by hand."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from spanledger_analytics.forecast import Forecast, RunOut, forecast, run_out, used_up
from spanledger_analytics.forecast_methods import METHODS, next_hours, weeks_after

NOON = datetime(2026, 11, 16, 12, tzinfo=UTC)
BERLIN = ZoneInfo("Europe/Berlin")


def usd(*amounts: float | str) -> list[Decimal]:
    return [Decimal(str(amount)) for amount in amounts]


def days(*totals: int) -> list[Decimal]:
    """Return hours that are all the same on each day."""
    return [Decimal(total) / 24 for total in totals for _ in range(24)]


def ahead(hours: Sequence[Decimal], days: float, spent: int | str = 0) -> Forecast:
    """Forecast a period that is over in so many days."""
    return forecast(hours, NOON, Decimal(spent), NOON, NOON + timedelta(days=days))


def test_what_is_always_the_same_is_forecast_exactly() -> None:
    assert ahead(usd(0.25) * 24 * 20, 10, "12.50") == Forecast(
        Decimal("12.50"), Decimal("72.5"), Decimal("72.5"), Decimal("72.5"), METHODS[0], 20, False
    )


def test_a_week_that_repeats_is_forecast_exactly() -> None:
    """$48 on five days, $24 on two; of the next ten days, five working days of one week and three of the next."""
    weeks = days(48, 48, 48, 48, 48, 24, 24) * 4

    assert ahead(weeks, 10) == Forecast(Decimal(0), Decimal(432), Decimal(432), Decimal(432), METHODS[1], 28, False)


def test_the_interval_is_that_of_totals_of_earlier_moments() -> None:
    """$24 on eight days, then $48.

    After seven days all methods said $24 a day: right for the eighth, $24 too little for the ninth. After eight they
    said $24, too. So errors of a day are $24 or nothing, each in half of the cases: 80 % are within $24. That is known
    of two days, so it is half as wide again.
    """
    assert ahead(days(*[24] * 8, 48), 1, 100) == Forecast(
        Decimal(100), Decimal(148), Decimal(112), Decimal(184), METHODS[0], 9, False
    )


def test_errors_carry_on_where_more_days_are_asked_for_than_were_known() -> None:
    """As before; of two days the second is off by another error, on the level of the first: 2a + b.

    a and b are 0 (half), 24 or -24 (a quarter each), so |2a + b| is 0 (1/4), 24 (3/8), 48 (1/4) or 72 (1/8); 80 % are
    within 48, and half of that is added.
    """
    assert ahead(days(*[24] * 8, 48), 2) == Forecast(
        Decimal(0), Decimal(96), Decimal(24), Decimal(168), METHODS[0], 9, False
    )


@pytest.mark.parametrize(
    ("budget", "early", "expected", "late"),
    [
        (12, 16, 16, 17),  # at $3.50, 2 or 0.50 an hour: in the 4th, 6th and 24th
        (24, 16, 16, 18),
        (25, 16, 17, None),  # at 0.50 an hour no more than $24 in two days
        (96, 17, 18, None),
        (97, 17, None, None),
        (168, 18, None, None),
        (169, None, None, None),
    ],
)
def test_a_budget_runs_out_when_the_sum_of_the_hours_reaches_it(
    budget: int, early: int | None, expected: int | None, late: int | None
) -> None:
    made = forecast(days(*[24] * 8, 48), NOON, Decimal(0), NOON, NOON + timedelta(days=2))

    def day(number: int | None) -> date | None:
        return date(2026, 11, number) if number else None

    assert run_out(made, Decimal(budget)) == RunOut(day(early), day(expected), day(late))


def test_the_day_on_which_a_budget_runs_out_is_one_of_the_time_zone() -> None:
    """$1 an hour from noon in UTC; the 12th dollar is spent from 23:00 on, which is tomorrow in Berlin."""
    made = ahead(usd(1) * 24 * 10, 5)

    assert run_out(made, Decimal(12)).expected == date(2026, 11, 16)
    assert run_out(made, Decimal(12), BERLIN).expected == date(2026, 11, 17)


def test_a_budget_that_is_used_up_was_so_on_a_day() -> None:
    hours = usd(1) * 30

    assert used_up(hours, NOON, Decimal(18)) == date(2026, 11, 15)  # of 30 hours the 18th began at 23:00
    assert used_up(hours, NOON, Decimal(18), BERLIN) == date(2026, 11, 16)
    assert used_up(hours, NOON, Decimal(31)) is None


@pytest.mark.parametrize(("month", "hours"), [(3, 743), (10, 745), (11, 720)])
def test_a_month_in_which_clocks_change_has_its_hours(month: int, hours: int) -> None:
    begin = datetime(2026, month, 1, tzinfo=BERLIN).astimezone(UTC)
    end = datetime(2026, month + 1, 1, tzinfo=BERLIN).astimezone(UTC)
    now = begin + timedelta(days=10)

    made = forecast(usd(1) * 24 * 30, now, Decimal(240), now, end)

    assert [made.forecast_usd, made.low_usd, made.high_usd] == [Decimal(hours)] * 3


def test_an_hour_that_is_under_way_counts_by_what_is_left_of_it() -> None:
    """15 minutes of one hour, one whole hour, and half of the last."""
    made = forecast(usd(4) * 24 * 10, NOON, Decimal(3), NOON + timedelta(minutes=45), NOON + timedelta(minutes=150))

    assert made.forecast_usd == Decimal(3 + 1 + 4 + 2)


def test_a_few_days_have_a_wide_interval_and_say_so() -> None:
    """Days of $24, 48 and 24 have a mean of 32 and a variance of 192; 16² = 256 is the least.

    Three more days: $96, with a variance of 256 * 3 * (1 + 3/3) = 1536, so the gamma distribution has the shape
    96² / 1536 = 6. Of its quantiles 0.1 and 0.9 the formula gives 50.47 and 148.25, where 16 * 3.152 = 50.43 and
    16 * 9.275 = 148.40 are exact.
    """
    made = ahead(days(24, 48, 24), 3, 10)

    assert (made.forecast_usd, made.method, made.history_days, made.little_history) == (
        Decimal(106),
        "gamma on daily totals",
        3,
        True,
    )
    assert (round(made.low_usd or 0, 2), round(made.high_usd or 0, 2)) == (Decimal("60.47"), Decimal("158.25"))


@pytest.mark.parametrize(
    ("hours", "days", "reason"),
    [
        ([], 0, "nothing was spent in any whole hour; a forecast needs 48 hours"),
        (usd(0) * 1000, 0, "nothing was spent in any whole hour; a forecast needs 48 hours"),
        (usd(0) * 1000 + usd(1) * 47, 1, "something was spent first 47 hours ago; a forecast needs 48 hours"),
    ],
)
def test_there_is_no_forecast_of_less_than_two_days(hours: list[Decimal], days: int, reason: str) -> None:
    made = ahead(hours, 10, 5)

    assert made == Forecast(Decimal(5), None, None, None, None, days, True, reason)
    assert run_out(made, Decimal(10)) == RunOut(None, None, None)


@pytest.mark.parametrize(("days", "little"), [(2, True), (7, True), (8, False)])
def test_history_begins_with_the_first_hour_that_cost_something(days: int, little: bool) -> None:
    made = ahead(usd(0) * 24 * 60 + usd(1) * 24 * days, 5)

    assert (made.history_days, made.little_history, made.forecast_usd) == (days, little, Decimal(120))


def test_where_nothing_is_left_of_a_period_it_cost_what_was_spent() -> None:
    spent = Decimal("123.456789012345")

    assert ahead(days(*range(1, 20)), 0, str(spent)) == Forecast(
        spent, spent, spent, spent, "nothing is left", 19, False
    )


def test_methods_say_the_last_day_the_last_week_their_mean_and_the_usual_week_at_the_level_of_the_last() -> None:
    """Three weeks of $7, 14 and 28 a day, the last day of the last one at $56.

    Usual is $14 a day, and $14 on the last one; the last week had a mean of 32 where all three had (7 + 14 + 32) / 3.
    """
    history = np.repeat([7.0] * 7 + [14.0] * 7 + [28.0] * 6 + [56.0], 24)

    said = weeks_after(history, np.array([len(history)]))[:, 0, ::24]

    level = 32 / ((7 + 14 + 32) / 3)
    expected = np.array([[56] * 7, [28] * 6 + [56], [42] * 6 + [56], [14 * level] * 7])
    assert np.allclose(said, expected, rtol=1e-12, atol=0)


def test_hours_have_the_interval_of_the_errors_of_hours() -> None:
    """Nine days of 1 an hour, then one of 3: after eight days, two were said to be at 1.

    Of all moments whose next two days are known, only the latest saw a 3 come: half of its 48 errors are 2. The other,
    after seven days, has only noughts. So a quarter are 2, more than the 2.5 % that may be above.
    """
    history = np.repeat([1.0] * 9 + [3.0], 24)

    found = next_hours(history, 48)

    assert found.method == METHODS[0]
    assert np.array_equal(found.point, np.full(48, 3.0))
    assert np.array_equal(found.low, np.full(48, 3.0))
    assert np.array_equal(found.high, np.full(48, 5.0))


HISTORIES = st.lists(st.integers(0, 5000), min_size=1, max_size=60).flatmap(
    lambda cents: st.integers(48, 24 * 40).map(
        lambda length: [Decimal(cents[k % len(cents)]) / 100 for k in range(length)]
    )
)
"""Hours of whole cents, in a pattern that repeats after 1 to 60 hours."""


@given(HISTORIES, st.integers(1, 31 * 24), st.integers(0, 10**6))
@settings(deadline=None, max_examples=60)
def test_a_forecast_lies_in_its_interval_and_never_below_what_was_spent(
    hours: list[Decimal], left: int, cents: int
) -> None:
    spent = Decimal(cents) / 100
    made = forecast(hours, NOON, spent, NOON, NOON + timedelta(hours=left))

    if made.forecast_usd is None or made.low_usd is None or made.high_usd is None:
        assert made.reason
    else:
        assert spent <= made.low_usd <= made.forecast_usd <= made.high_usd
        for end, day in ((made.high_usd, "early"), (made.forecast_usd, "expected"), (made.low_usd, "late")):
            assert getattr(run_out(made, end), day) is not None
            assert getattr(run_out(made, end + Decimal("0.01")), day) is None


@given(HISTORIES, st.integers(1, 31 * 24), st.integers(1, 12))
@settings(deadline=None, max_examples=40)
def test_the_same_money_in_other_units_has_the_same_forecast(hours: list[Decimal], left: int, power: int) -> None:
    """Powers of two, so that floats are the same, too; what is rounded to pico-dollars is off by half of one."""
    end = NOON + timedelta(hours=left)
    plain = forecast(hours, NOON, Decimal(0), NOON, end)
    scaled = forecast([hour * 2**power for hour in hours], NOON, Decimal(0), NOON, end)

    assert scaled.method == plain.method
    for mine, other in (
        (plain.low_usd, scaled.low_usd),
        (plain.forecast_usd, scaled.forecast_usd),
        (plain.high_usd, scaled.high_usd),
    ):
        assert (mine is None) == (other is None)
        assert abs((mine or 0) * 2**power - (other or 0)) <= Decimal(2**power) / 10**12


@given(st.integers(1, 10**9), st.integers(48, 24 * 40), st.integers(1, 31 * 24))
@settings(deadline=None, max_examples=40)
def test_a_constant_series_of_any_length_is_forecast_exactly(micros: int, length: int, left: int) -> None:
    hour = Decimal(micros) / 10**8
    made = forecast([hour] * length, NOON, Decimal(1), NOON, NOON + timedelta(hours=left))

    assert made.forecast_usd == 1 + hour * left


def test_a_forecast_is_the_same_each_time() -> None:
    hours = [Decimal(place * 37 % 101) / 100 for place in range(24 * 33)]

    assert len({ahead(hours, 17, 3) for _ in range(5)}) == 1


def test_days_that_cost_nothing_since_the_first_hour_are_forecast_as_nothing() -> None:
    nothing = Decimal(0)
    few = ahead(usd(1) + usd(0) * 48, 10)
    assert (few.forecast_usd, few.low_usd, few.high_usd, few.little_history) == (nothing, nothing, nothing, True)
