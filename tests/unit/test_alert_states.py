"""What becomes of an alert, and when it is told: by hand, with a clock that is set."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path

from alert_rules import NOW, reading
from spanledger_analytics.alerts.episodes import episodes, scope_text
from spanledger_analytics.alerts.grouping import Group, due
from spanledger_analytics.alerts.kinds import KINDS
from spanledger_analytics.alerts.reading import Reading, fingerprint
from spanledger_analytics.alerts.rules import Pace, Rule
from spanledger_analytics.alerts.states import Alert, advance
from spanledger_analytics.alerts.store import Store
from spanledger_analytics.scope import EVERYTHING

EVERY = timedelta(seconds=20)
WAITS = replace(KINDS["velocity"], name="shares", waits=True)
RULE = Rule("r", WAITS, None, evaluations=2, cooldown=timedelta(minutes=30))
PACE = Pace()


def life(values: Sequence[int | None], rule: Rule = RULE, trip: int = 10) -> list[str]:
    """Return the state after each of the readings, 20 seconds apart; None is no reading."""
    alert: Alert | None = None
    states: list[str] = []
    for place, value in enumerate(values):
        alert = advance(alert, None if value is None else reading(value, trip), rule, NOW + place * EVERY)
        states.append("-" if alert is None else alert.state)
    return states


def test_it_fires_after_two_in_a_row() -> None:
    assert life([11, 11]) == ["pending", "firing"]
    assert life([11, 9, 11, 10, 11, 11]) == ["pending", "-", "pending", "-", "pending", "firing"]


def test_a_rule_of_one_evaluation_fires_at_once() -> None:
    assert life([11], replace(RULE, evaluations=1)) == ["firing"]


def test_it_is_over_when_two_in_a_row_are_below_80_percent() -> None:
    assert life([11, 11, 9, 8, 7, 9, 7, 7]) == ["pending", "firing", *["firing"] * 5, "resolved"]


def test_what_is_gone_is_over_after_two() -> None:
    assert life([11, 11, None, None]) == ["pending", "firing", "firing", "resolved"]


def test_it_does_not_fire_again_before_its_cooldown() -> None:
    alert: Alert | None = None
    states: list[str] = []
    for minute in range(0, 45, 5):
        value = 7 if minute in (10, 15) else 11
        alert = advance(alert, reading(value), RULE, NOW + timedelta(minutes=minute))
        states.append(alert.state if alert else "-")
    # Over at minute 15 and never told, so cool at 45.
    assert states == ["pending", "firing", "firing", "resolved", *["resolved"] * 5]
    alert = advance(alert, reading(11), RULE, NOW + timedelta(minutes=45))
    assert alert is not None
    assert (alert.state, alert.since) == ("pending", NOW + timedelta(minutes=45))


def test_its_end_is_told_before_it_may_fire_again() -> None:
    rule = replace(RULE, evaluations=1, cooldown=timedelta(0))
    fired = advance(None, reading(11), rule, NOW)
    assert fired is not None
    over = replace(fired, state="resolved", resolved_at=NOW, notified_at=NOW)
    assert advance(over, reading(11), rule, NOW + EVERY) == over
    told = replace(over, over_told_at=NOW)
    again = advance(told, reading(11), rule, NOW + EVERY)
    assert again is not None
    assert (again.state, again.fired_at, again.notified_at) == ("firing", NOW + EVERY, None)


def test_what_is_told_once_is_over_only_when_nothing_is_left_to_see() -> None:
    rule = replace(RULE, kind=replace(WAITS, once=True), evaluations=1)
    assert life([11, 1, 1, None, None], rule) == ["firing", "firing", "firing", "firing", "resolved"]


def test_an_alert_is_known_by_all_of_its_labels() -> None:
    labels = RULE.labels_of(Reading(Decimal(1), Decimal(1), "", {"team": "search"}))
    assert fingerprint(labels) == fingerprint(dict(reversed(labels.items())))
    assert fingerprint(labels) != fingerprint(labels | {"team": "growth"})
    assert fingerprint({"a": "bc"}) != fingerprint({"ab": "c"})


def firing(name: str, at: datetime, **more: object) -> Alert:
    labels = RULE.labels_of(reading(11, scope={"team": name}))
    alert = Alert("r", labels, "firing", at, Decimal(11), Decimal(10), "USD", name, fired_at=at)
    return replace(alert, **more)  # type: ignore[arg-type]


def names(alerts: Sequence[Alert]) -> list[str]:
    return [alert.summary for alert in alerts]


def test_a_group_waits_30_seconds_for_others() -> None:
    one, two = firing("a", NOW), firing("b", NOW + EVERY)
    group, told = due(RULE, PACE, Group("r"), [one], NOW)
    assert (told, group) == ([], Group("r", waiting_since=NOW))
    group, told = due(RULE, PACE, group, [one, two], NOW + EVERY)
    assert told == []
    group, told = due(RULE, PACE, group, [one, two], NOW + 2 * EVERY)
    assert (names(told), group) == (["a", "b"], Group("r", None, NOW + 2 * EVERY, 1))


def test_velocity_waits_for_nobody() -> None:
    rule = replace(RULE, kind=KINDS["velocity"])
    group, told = due(rule, PACE, Group("r"), [firing("a", NOW)], NOW)
    assert names(told) == ["a"]
    _, told = due(rule, PACE, group, [firing("a", NOW, notified_at=NOW), firing("b", NOW + EVERY)], NOW + EVERY)
    assert names(told) == ["b", "a"]


def test_a_change_is_told_5_minutes_after_the_last_time() -> None:
    known, fresh = firing("a", NOW, notified_at=NOW), firing("b", NOW)
    over = firing("c", NOW, notified_at=NOW, state="resolved", resolved_at=NOW)
    group = Group("r", last_told=NOW, told=1)
    group, told = due(RULE, PACE, group, [known, fresh, over], NOW + timedelta(minutes=4))
    assert told == []
    group, told = due(RULE, PACE, group, [known, fresh, over], NOW + timedelta(minutes=5))
    assert names(told) == ["b", "a", "c"]


def test_what_still_fires_is_told_again_after_4_hours_and_a_budget_never() -> None:
    known = [firing("a", NOW, notified_at=NOW)]
    group = Group("r", last_told=NOW, told=1)
    assert due(RULE, PACE, group, known, NOW + timedelta(hours=3, minutes=59))[1] == []
    assert names(due(RULE, PACE, group, known, NOW + timedelta(hours=4))[1]) == ["a"]
    once = replace(RULE, kind=replace(WAITS, once=True))
    assert due(once, PACE, group, known, NOW + timedelta(days=4))[1] == []


def test_a_group_of_which_nothing_fires_any_more_waits_anew() -> None:
    group, told = due(RULE, PACE, Group("r", last_told=NOW, told=3), [], NOW + timedelta(minutes=1))
    assert (group, told) == (Group("r", told=3), [])


def test_what_is_quiet_and_what_was_over_before_it_was_told_is_never_told() -> None:
    quiet = firing("a", NOW, quiet=True)
    unknown = firing("b", NOW, state="resolved", resolved_at=NOW)
    assert due(RULE, PACE, Group("r"), [quiet, unknown], NOW + timedelta(hours=5))[1] == []


def test_of_thresholds_that_are_reached_only_the_highest_is_listed(tmp_path: Path) -> None:
    store = Store(tmp_path)
    told = [firing("a", NOW, quiet=True, notified_at=NOW), firing("b", NOW)]
    store.put_alerts({}, {fingerprint(one.labels): one for one in told})
    for one in told:
        store.note(one, "firing", NOW)
    found = episodes(store, EVERYTHING)
    store.close()
    assert found.select("state", "scope").rows() == [("firing", scope_text(told[1].labels))]
