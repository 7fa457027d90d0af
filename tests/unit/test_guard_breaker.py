"""A breaker's state: a pure function of rule, state, evidence and time."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

import pytest

from spanledger.guard.breaker import Breaker, Measured, State, StateName, TripKind, decode, encode, step
from spanledger.guard.breaker_evidence import measure
from spanledger.guard.policy import Budget, Threshold, make_match
from spanledger.guard.store import NANO, Balance
from spanledger.guard.windows import Per

NOW = 1_800_000_000_000
S = 1000
RULE = Breaker(
    "runaway",
    make_match({"user_id": "*"}),
    at=(Threshold(Fraction(1, 2), "degrade"), Threshold(Fraction(1), "block")),
    hold_ms=60 * S,
    allowance=NANO // 2,
    usd_per_minute=NANO,
)
ANN = State("runaway", "user_id=ann")


def spent(usd: str, trip: TripKind = "usd_per_minute", until_ms: int = 0) -> list[Measured]:
    """What is seen where so many dollars went, of one that makes it trip."""
    return [Measured(trip, int(Fraction(usd) * NANO), NANO, "usd", until_ms)]


def after(state: State, *steps: tuple[int, Sequence[Measured]], let_through: int = 0) -> State:
    """The state after steps: seconds since `NOW`, and what is seen then."""
    for seconds, seen in steps:
        state = step(RULE, state, seen, let_through, NOW + seconds * S)
    return state


def opened(seconds: int = 0) -> State:
    return after(ANN, (seconds, spent("1.2")))


@pytest.mark.parametrize(
    ("usd", "name"),
    [("0", "closed"), ("0.49", "closed"), ("0.5", "degraded"), ("0.99", "degraded"), ("1", "open"), ("7", "open")],
)
def test_the_share_of_the_limit_says_which_state_it_enters(usd: str, name: StateName) -> None:
    seen = spent(usd)
    expected = ANN if name == "closed" else State("runaway", "user_id=ann", name, NOW, trip=seen[0])

    assert after(ANN, (0, seen)) == expected


def test_the_trip_that_is_nearest_to_its_limit_decides_and_is_named() -> None:
    seen = [*spent("0.1"), Measured("session_calls", 7, 10, "calls"), *spent("0.6", "velocity")]

    state = after(ANN, (0, seen))

    assert (state.name, state.trip) == ("degraded", seen[1])


def test_degraded_opens_when_spend_goes_on_growing() -> None:
    assert after(ANN, (0, spent("0.6")), (5, spent("1.1"))) == State(
        "runaway", "user_id=ann", "open", NOW + 5 * S, trip=spent("1.1")[0]
    )


def test_degraded_closes_after_its_hold_once_spend_was_twice_below_four_fifths() -> None:
    degraded = after(ANN, (0, spent("0.6")))

    assert after(degraded, (70, spent("0.39"))).name == "degraded"
    assert after(degraded, (70, spent("0.39")), (75, spent("0.39"))).name == "degraded"  # the same calm
    assert after(degraded, (70, spent("0.39")), (80, spent("0.41")), (90, spent("0.39"))).name == "degraded"
    assert after(degraded, (70, spent("0.39")), (80, spent("0.39"))) == State(
        "runaway", "user_id=ann", since_ms=NOW + 80 * S
    )
    assert after(degraded, (20, spent("0")), (40, spent("0"))).name == "degraded"  # calm, but not held long enough
    assert after(degraded, (20, spent("0")), (40, spent("0")), (61, spent("0"))).name == "closed"


def test_a_level_between_reset_and_trip_changes_nothing_however_often_it_is_seen() -> None:
    degraded = after(ANN, (0, spent("0.6")))

    assert after(degraded, *[(seconds, spent("0.45")) for seconds in range(0, 600, 10)]) == degraded


def test_open_becomes_half_open_after_its_hold_and_closes_once_the_allowance_is_spent() -> None:
    half = after(opened(), (70, spent("0.1")), (80, spent("0")))
    assert half == State("runaway", "user_id=ann", "half_open", NOW + 80 * S, trip=spent("1.2")[0])

    assert after(half, (85, spent("0.2")), let_through=NANO // 2 - 1) == half
    assert after(half, (85, spent("0.2")), let_through=NANO // 2) == State(
        "runaway", "user_id=ann", since_ms=NOW + 85 * S
    )
    assert after(half, (140, spent("0.2"))).name == "closed"  # nobody used the allowance up
    assert after(half, (85, spent("0.6")), let_through=NANO // 2).name == "degraded"


def test_half_open_opens_again_when_spend_runs_away_again() -> None:
    half = after(opened(), (70, spent("0")), (80, spent("0")))

    assert after(half, (81, spent("1"))) == State("runaway", "user_id=ann", "open", NOW + 81 * S, trip=spent("1")[0])


def test_what_tripped_on_a_budget_closes_when_the_window_ends() -> None:
    seen = spent("1", "budget_share", NOW + 3600 * S)
    state = after(ANN, (0, seen))
    assert (state.name, state.until_ms) == ("open", NOW + 3600 * S)

    assert after(state, (3599, seen)).name == "open"
    assert after(state, (3600, [])) == State("runaway", "user_id=ann", since_ms=NOW + 3600 * S)


def test_a_session_that_cost_too_much_stays_stopped() -> None:
    seen = spent("1.5", "session_usd")

    assert after(ANN, *[(seconds, seen) for seconds in range(0, 6000, 20)]).name == "open"


def test_one_that_only_degrades_never_opens() -> None:
    rule = Breaker("mild", make_match({}), at=(Threshold(Fraction(1), "degrade"),), usd_per_minute=NANO)

    assert step(rule, State("mild", "everything"), spent("50"), 0, NOW).name == "degraded"


def test_a_clock_that_is_set_back_by_a_day_holds_no_longer_than_the_hold() -> None:
    state = opened(86_400)

    state = after(state, (0, spent("0")), (30, spent("0")))
    assert (state.name, state.since_ms) == ("open", NOW)
    assert after(state, (61, spent("0"))).name == "half_open"


def test_a_clock_that_is_a_little_behind_another_changes_nothing() -> None:
    assert after(opened(), (-2, spent("1.2"))) == opened()


def test_a_clock_that_jumps_ahead_still_needs_calm_to_be_seen_twice() -> None:
    assert after(opened(), (86_400, spent("0"))).name == "open"
    assert after(opened(), (86_400, spent("1.2"))).name == "open"


def test_one_that_was_tripped_by_hand_stays_until_its_time_whatever_is_seen() -> None:
    for_good = State("runaway", "user_id=ann", "open", NOW, by_hand=True)
    for_an_hour = State("runaway", "user_id=ann", "open", NOW, until_ms=NOW + 3600 * S, by_hand=True)

    assert after(for_good, *[(seconds, spent("0")) for seconds in range(0, 90_000, 600)]) == for_good
    assert after(for_an_hour, (3599, spent("0"))) == for_an_hour
    assert after(for_an_hour, (3600, spent("0"))).name == "closed"


def test_what_was_spent_before_a_reset_is_not_held_against_it() -> None:
    reset = State("runaway", "user_id=ann", since_ms=NOW, forgive=True)
    seen = spent("1.5", "session_usd")

    forgiven = after(reset, (1, seen))
    assert forgiven == State("runaway", "user_id=ann", since_ms=NOW + S, forgiven={"session_usd": 1_500_000_000})
    assert after(forgiven, (2, spent("1.9", "session_usd"))).name == "closed"
    assert after(forgiven, (3, spent("2.5", "session_usd"))).name == "open"
    assert after(forgiven, (3, spent("2.5", "session_usd"))).forgiven == {"session_usd": 1_500_000_000}


def test_what_slides_out_of_a_rate_is_forgiven_no_longer() -> None:
    forgiven = after(State("runaway", "user_id=ann", forgive=True), (0, spent("1.5")))

    assert after(forgiven, (119, spent("1.2"))).name == "closed"
    assert after(forgiven, (121, spent("1.2"))).name == "open"


def test_a_state_is_forgotten_a_day_after_its_last_change_unless_it_was_set_by_hand() -> None:
    by_hand = State("runaway", "user_id=ann", "open", NOW, by_hand=True)

    assert [opened().is_stale(NOW + seconds * S) for seconds in (86_400, 86_401)] == [False, True]
    assert not by_hand.is_stale(NOW + 10**10)


@pytest.mark.parametrize(
    "state",
    [
        State("a/b", 'user_id=ann,"x"', "half_open", NOW, trip=Measured("forecast", 3, 2, "tokens", NOW), until_ms=NOW),
        State("a", "everything", "open", NOW, by_hand=True),
        State("a", "everything", since_ms=NOW, forgiven={"session_usd": 5}),
        State("a", "everything", "degraded", NOW, trip=spent("0.5")[0], calm=1, calm_ms=NOW + 1),
    ],
)
def test_a_store_gives_back_the_state_that_it_was_given(state: State) -> None:
    text = encode(state)

    assert text is not None
    assert decode(text) == state


def test_nothing_is_kept_of_what_is_plainly_closed() -> None:
    assert encode(ANN) is None


def budget(per: Per = "day", **more: object) -> Budget:
    return Budget("day", make_match({"team_id": "*"}), per, 10 * NANO, "usd", (), **more)  # type: ignore[arg-type]


def seen(rule: Breaker, used: dict[str, Balance], budget_used: int | None = None, now_ms: int = NOW) -> list[Measured]:
    return measure(rule, "x", used, budget_used, [], now_ms)


def test_a_forecast_goes_on_at_the_pace_so_far_and_says_nothing_in_the_first_tenth() -> None:
    rule = Breaker("b", make_match({}), budget=budget(), forecast=12 * NANO)
    midnight = NOW - NOW % 86_400_000
    until = midnight + 86_400_000

    assert seen(rule, {}, 4 * NANO, midnight + 8_639_999) == []
    assert seen(rule, {}, 4 * NANO, midnight + 6 * 3600 * S) == [
        Measured("forecast", 16 * NANO, 12 * NANO, "usd", until)
    ]


def test_a_share_of_a_budget_counts_what_is_held_too() -> None:
    rule = Breaker("b", make_match({}), budget=budget(), budget_share=9 * NANO)

    (found,) = seen(rule, {}, 7 * NANO)
    assert found == Measured("budget_share", 7 * NANO, 9 * NANO, "usd", budget().window(NOW).until_ms)
    assert seen(rule, {}, None) == []


def test_velocity_holds_a_quarter_of_an_hour_against_the_mean_of_the_day_before_or_the_floor() -> None:
    rule = Breaker("b", make_match({}), velocity=Fraction(3), velocity_floor=NANO)
    used = {"breaker/b/x/quarter": Balance(5 * NANO, 0), "breaker/b/x/day": Balance(100 * NANO, 0)}

    assert seen(rule, used) == [Measured("velocity", 5 * NANO, 3 * NANO, "usd")]  # 95 dollars in 95 quarters
    assert seen(rule, {"breaker/b/x/quarter": Balance(5, 0), "breaker/b/x/day": Balance(5, 0)}) == [
        Measured("velocity", 5, NANO, "usd")
    ]


def test_velocity_holds_a_quarter_of_an_hour_against_what_is_stated_as_usual() -> None:
    rule = Breaker("b", make_match({}), velocity=Fraction(3), usual_per_hour=8 * NANO)

    assert seen(rule, {"breaker/b/x/quarter": Balance(NANO, 0)}) == [Measured("velocity", NANO, 6 * NANO, "usd")]


def test_retries_are_a_share_of_attempts_once_enough_calls_were_made() -> None:
    rule = Breaker("b", make_match({}), retry_share=Fraction(1, 2), retry_calls=4)

    assert measure(rule, "x", {}, None, [3, 3, 3], NOW) == []
    assert measure(rule, "x", {}, None, [1, 3, 3, 1], NOW) == [Measured("retry_share", 4, 4, "calls")]


@pytest.mark.parametrize(
    ("rule", "scope"),
    [
        (Breaker("b", make_match({}), usd_per_minute=1), "everything"),
        (Breaker("b", make_match({"feature": "*"}), usd_per_minute=1), "feature=chat"),
        (Breaker("b", make_match({"feature": "faq"}), usd_per_minute=1), None),
        (Breaker("b", make_match({}), session_calls=1), "session_id=s1"),
        (Breaker("b", make_match({"session_id": "*"}), session_calls=1), "session_id=s1"),
        (Breaker("b", make_match({"feature": "chat"}), session_calls=1), "feature=chat,session_id=s1"),
        (Breaker("b", make_match({}), budget=budget(), budget_share=10 * NANO), "team_id=red"),
        (Breaker("b", make_match({"team_id": "red"}), budget=budget(), budget_share=10 * NANO), "team_id=red"),
        (
            Breaker("b", make_match({"feature": "*"}), budget=budget(), budget_share=10 * NANO),
            "feature=chat,team_id=red",
        ),
    ],
)
def test_there_is_a_state_for_each_scope_of_the_rule_its_budget_and_its_sessions(
    rule: Breaker, scope: str | None
) -> None:
    values = {"feature.id": "chat", "team.id": "red", "session.id": "s1"}

    assert rule.scope(values, "s1") == scope
