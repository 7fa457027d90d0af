"""Budgets by hand: November 2026, and what is said of it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from alert_rules import lookout_of, readings, rules_of
from ledger_rows import Row, call
from spanledger_analytics.alerts.evaluate import evaluate
from spanledger_analytics.alerts.lookout import Lookout
from spanledger_analytics.alerts.rules_file import RulesError
from spanledger_analytics.alerts.store import Store
from spanledger_analytics.reports.calendar import Calendar

RULE = """
[[rule]]
name = "team budget"
kind = "budget"
by = "team"
usd = "1000"
forecast = []
"""
NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
"""19.5 of 30 days have passed, 10 remain after today."""
_trace = iter(range(1, 10**9))


def spend(usd: int, at: datetime, team: str = "search") -> Row:
    """A call of gpt-5: 800,000 tokens of input are $1."""
    return call(next(_trace), 1, at, "gpt-5", 800_000 * usd, 0, team_id=team)


def test_what_is_used_what_remains_and_when_it_runs_out(tmp_path: Path) -> None:
    # $720 in 19.5 days: $1,000 after 27.083 days, so on the 28th. October and tomorrow don't count.
    rows = [
        spend(720, NOW - timedelta(days=3)),
        spend(5000, NOW - timedelta(days=21)),
        spend(9, NOW + timedelta(hours=1)),
    ]
    found = readings(rules_of(tmp_path, RULE), lookout_of(tmp_path, rows), NOW)
    assert {reading.summary for reading in found} == {
        "team search: 72 % of the monthly budget used ($720.00 of $1,000.00) with 10 days remaining;"
        " runs out on the 28th at this rate"
    }
    assert [(reading.scope, reading.trip, reading.is_over, reading.quiet) for reading in found] == [
        (
            {"team": "search", "threshold": threshold, "basis": "actual", "period": "2026-11-01"},
            Decimal(10) * int(threshold),
            over,
            quiet,
        )
        for threshold, over, quiet in (
            ("50", True, True),
            ("70", True, False),
            ("80", False, False),
            ("100", False, False),
        )
    ]


@pytest.mark.parametrize(
    ("usd", "now", "expected"),
    [
        (100, NOW, "10 % of the monthly budget used ($100.00 of $1,000.00) with 10 days remaining; lasts at this rate"),
        (1040, NOW, "104 % of the monthly budget used ($1,040.00 of $1,000.00) with 10 days remaining"),
        (
            999,
            datetime(2026, 11, 29, 12, tzinfo=UTC),
            "99 % of the monthly budget used ($999.00 of $1,000.00) with 1 day remaining;"
            " runs out on the 29th at this rate",
        ),
    ],
)
def test_what_is_said_of_it(tmp_path: Path, usd: int, now: datetime, expected: str) -> None:
    lookout = lookout_of(tmp_path, [spend(usd, now - timedelta(days=3))])
    assert {reading.summary for reading in readings(rules_of(tmp_path, RULE), lookout, now)} == {
        f"team search: {expected}"
    }


def test_a_day_is_that_of_the_zone_and_runs_out_at_a_time_of_it(tmp_path: Path) -> None:
    # In Berlin it is 13:00; midnight there is 23:00 UTC. $80 in 13 hours: $100 after 16.25 hours.
    rule = RULE.replace('"1000"', '"100"\nperiod = "day"')
    rows = [spend(80, NOW - timedelta(hours=12)), spend(50, NOW - timedelta(hours=14))]
    (found, *_) = readings(rules_of(tmp_path, rule), lookout_of(tmp_path, rows, Calendar("Europe/Berlin")), NOW)
    assert (found.value, found.scope["period"]) == (Decimal(80), "2026-11-20")
    assert found.summary.endswith("used ($80.00 of $100.00) with 11 hours remaining; runs out at 16:15 at this rate")


def test_a_month_begins_on_the_billing_day_and_a_week_on_monday(tmp_path: Path) -> None:
    rows = [spend(10, datetime(2026, 11, day, tzinfo=UTC)) for day in (14, 15, 16, 19)]
    lookout = lookout_of(tmp_path, rows, Calendar("UTC", 15))
    (month, *_) = readings(rules_of(tmp_path, RULE), lookout, NOW)
    assert (month.value, month.scope["period"]) == (Decimal(30), "2026-11-15")
    (week, *_) = readings(rules_of(tmp_path, RULE.replace("forecast", 'period = "week"\nforecast')), lookout, NOW)
    assert (week.value, week.scope["period"]) == (Decimal(20), "2026-11-16")


def test_each_value_may_have_an_amount_of_its_own(tmp_path: Path) -> None:
    rule = RULE.replace('usd = "1000"', 'usd = { search = "50", "*" = "200" }\nactual = [100]')
    rows = [spend(60, NOW - timedelta(days=1)), spend(60, NOW - timedelta(days=1), "growth")]
    found = readings(rules_of(tmp_path, rule), lookout_of(tmp_path, rows), NOW)
    assert [(reading.scope["team"], reading.trip, reading.is_over) for reading in found] == [
        ("growth", Decimal(200), False),
        ("search", Decimal(50), True),
    ]
    named = readings(rules_of(tmp_path, rule.replace(', "*" = "200"', "")), lookout_of(tmp_path, []), NOW)
    assert [reading.scope["team"] for reading in named] == ["search"]


def test_what_comes_in_the_last_hour_counts_at_once_and_once(tmp_path: Path) -> None:
    lookout = lookout_of(tmp_path, [spend(100, NOW - timedelta(days=2)), spend(10, NOW - timedelta(hours=2))])
    rules = rules_of(tmp_path, RULE.replace('by = "team"', ""))
    totals = []
    for minute in range(0, 180, 30):
        now = NOW + timedelta(minutes=minute)
        totals.append(readings(rules, lookout, now)[0].value)
    assert totals == [Decimal(110)] * 6


def test_the_forecast_is_held_against_the_budget_too(tmp_path: Path) -> None:
    # $1 an hour since October 20th: $468 of November at noon of the 20th, and 252 hours to come: $720.
    begin = datetime(2026, 10, 20, tzinfo=UTC)
    rows = [spend(1, begin + timedelta(hours=hour)) for hour in range((NOW - begin) // timedelta(hours=1))]
    rule = (
        RULE.replace('by = "team"\n', "").replace('"1000"', '"700"').replace("forecast = []", "forecast = [100, 110]")
    )
    found = readings(rules_of(tmp_path, rule), lookout_of(tmp_path, rows), NOW)
    forecasts = [reading for reading in found if reading.scope["basis"] == "forecast"]
    assert [(reading.scope["threshold"], reading.is_over) for reading in forecasts] == [("100", True), ("110", False)]
    assert forecasts[0].value.quantize(Decimal("0.01")) == Decimal("720.00")
    assert forecasts[0].summary == (
        "66 % of the monthly budget used ($468.00 of $700.00) with 10 days remaining; runs out on the 30th at this"
        " rate; forecast $720.00 ($720.00 to $720.00)"
    )


def test_budgets_of_two_periods_are_read_again_once_a_quarter_of_an_hour(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lookout = lookout_of(tmp_path, [spend(100, NOW - timedelta(days=2)), spend(10, NOW - timedelta(hours=3))])
    rules = rules_of(
        tmp_path, RULE + RULE.replace("team budget", "daily").replace("forecast", 'period = "day"\nforecast')
    )
    begins = []
    real = Lookout._usd

    def noted(self: Lookout, begin: datetime, *more: Any) -> dict[str | None, Decimal]:
        begins.append(begin.day)
        return real(self, begin, *more)

    monkeypatch.setattr(Lookout, "_usd", noted)
    for second in range(0, 1000, 120):
        found = readings(rules, lookout, NOW + timedelta(seconds=second))
        assert {reading.value for reading in found} == {Decimal(110), Decimal(10)}
    assert begins == [1, 20, 1, 20]


def test_each_threshold_is_told_once_a_period_and_only_the_highest(tmp_path: Path) -> None:
    rules = rules_of(tmp_path, '[alerting]\ngroup_wait = "0s"\n' + RULE)
    lookout, store = lookout_of(tmp_path, [spend(720, NOW - timedelta(days=3))]), Store(tmp_path)
    told = []
    for hour in (0, 8, 16, 248, 256, 264, 272):
        before = len(store.outbox())
        evaluate(rules, lookout, store, NOW + timedelta(hours=hour))
        if len(store.outbox()) > before:
            waiting = store.next_out("log")
            assert waiting is not None
            told.append(
                (hour, [(alert["labels"]["threshold"], alert["status"]) for alert in waiting.payload["alerts"]])
            )
            store.sent(waiting.key, NOW)
    # November is over 252 hours later; two evaluations after that are those of hours 256 and 264.
    assert told == [(0, [("70", "firing")]), (264, [("70", "resolved")])]


@pytest.mark.parametrize(
    ("line", "advice"),
    [
        ("usd = 0.5", 'write the number in quotes, as "0.5"'),
        ("usd = 0", "expected a number above 0"),
        ("", "[[rule]] usd: expected a number above 0, not None"),
        ('usd = { search = "5" }', "a table of amounts needs `by`"),
        ('usd = 5\nperiod = "year"', "expected day, week, month"),
        ("usd = 5\nactual = 50", "expected a list of percents"),
    ],
)
def test_terms_that_cannot_be(tmp_path: Path, line: str, advice: str) -> None:
    with pytest.raises(RulesError) as told:
        rules_of(tmp_path, f'[[rule]]\nname = "b"\nkind = "budget"\n{line}\n')
    assert advice in str(told.value)


def test_of_many_values_those_near_a_threshold_are_told(tmp_path: Path) -> None:
    """Of 201 customers with budgets of $100 one has used $60, one $39, and all others $1; 80 % of half is $40."""
    costs = {f"c{number}": 1 for number in range(201)} | {"c7": 60, "c8": 39}
    rows = [spend(cost, NOW - timedelta(hours=2)) | {"customer_id": name} for name, cost in costs.items()]
    rule = '[[rule]]\nname = "b"\nkind = "budget"\nby = "customer"\nusd = "100"\nactual = [50, 90]\nforecast = []\n'
    lookout = lookout_of(tmp_path, rows)
    found = readings(rules_of(tmp_path, rule), lookout)
    assert {(one.scope["customer"], one.scope["threshold"], one.is_over) for one in found} == {
        ("c7", "50", True),
        ("c7", "90", False),
    }
    few = rule + 'where = "customer=c7,c8,c9"\n'
    found = readings(rules_of(tmp_path, few), lookout)
    assert {one.scope["customer"] for one in found} == {"c7", "c8", "c9"}
