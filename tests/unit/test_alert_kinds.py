"""The other kinds of rules by hand."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from alert_rules import NOW, lookout_of, numbers, readings, rules_of
from ledger_rows import Row, call
from spanledger_analytics.alerts.rules_file import RulesError

HOUR = timedelta(hours=1)
LATE = NOW - timedelta(minutes=1)
_traces: Iterator[int] = count(1)


def rule(kind: str, text: str = "", by: str = 'by = "team"') -> str:
    return f'[[rule]]\nname = "r"\nkind = "{kind}"\n{by}\n{text}\n'


def calls(number: int, at: datetime = LATE, model: str = "gpt-5", uncached: int = 0, **more: Any) -> list[Row]:
    """Calls of a team, by default without tokens."""
    tags: dict[str, Any] = {"team_id": "search"} | more
    return [call(next(_traces), 1, at, model, uncached, 0, **tags) for _ in range(number)]


def test_the_share_of_calls_without_a_price(tmp_path: Path) -> None:
    # search: 5 of 40 are 12.5 %; growth has 10 calls, too few to say; an hour ago doesn't count.
    rows = [
        *calls(35),
        *calls(5, model="local"),
        *calls(10, model="local", team_id="growth"),
        *calls(50, LATE - HOUR, model="local"),
    ]
    found = readings(rules_of(tmp_path, rule("unpriced", 'percent = "12.4"')), lookout_of(tmp_path, rows))
    assert numbers(found) == {"team=search": (Decimal("12.5"), Decimal("12.4"))}
    assert found[0].is_over
    assert found[0].summary == (
        "team search: 5 of 40 calls in the last 60 minutes have no price, so they are in no sum;"
        " see spanledger unpriced"
    )


def test_what_failed_attempts_may_have_cost(tmp_path: Path) -> None:
    # 800,000 tokens are $1: 10 dollars of search with 2 of retries, 20 of growth with 50 cents, below the floor of 1.
    rows = [
        *calls(8, uncached=800_000),
        *calls(2, uncached=800_000, retry_cost_usd=Decimal(1)),
        *calls(20, uncached=800_000, team_id="growth"),
        *calls(1, team_id="growth", retry_cost_usd=Decimal("0.5")),
    ]
    found = readings(rules_of(tmp_path, rule("retry", "percent = 10")), lookout_of(tmp_path, rows))
    assert numbers(found) == {"team=search": (Decimal(20), Decimal(10))}
    assert found[0].summary == (
        "team search: $2.00 may have been charged for failed attempts in the last 60 minutes, beside $10.00"
    )


def test_the_prompt_cache_is_read_less_than_in_the_week_before(tmp_path: Path) -> None:
    # Before: 900,000 of 1,000,000 from the cache, 90 %. Now 300,000 of 1,000,000, 30 %: 60 points less.
    # The call of 8 days ago doesn't count, and growth has nothing to compare with.
    rows = [
        *calls(1, NOW - timedelta(days=8), uncached=9_000_000),
        *calls(1, NOW - timedelta(days=3), uncached=100_000, cache_read=900_000),
        *calls(1, uncached=700_000, cache_read=300_000),
        *calls(1, uncached=700_000, team_id="growth"),
    ]
    found = readings(rules_of(tmp_path, rule("cache", "points = 25")), lookout_of(tmp_path, rows))
    assert numbers(found) == {"team=search": (Decimal(60), Decimal(25))}
    assert found[0].summary == (
        "team search: 30 % of the input was read from the prompt cache in the last 60 minutes, 90 % in the week before:"
        " has the beginning of a prompt changed?"
    )


def session(name: str, usd: int, at: datetime = LATE, feature: str | None = "agent", number: int = 4) -> list[Row]:
    """A session of four calls that come to so many dollars."""
    tokens = 800_000 * usd // number
    return calls(number, at, uncached=tokens, session_id=name, feature=feature)


def test_a_session_above_an_amount(tmp_path: Path) -> None:
    rows = [*session("s1", 12), *session("s2", 9), *session("s3", 7), *session("s4", 50, LATE - HOUR)]
    found = readings(rules_of(tmp_path, rule("session", "usd = 10", by="")), lookout_of(tmp_path, rows))
    # What is below 80 % of it is not looked at.
    assert numbers(found) == {
        "session=s1,feature=agent": (Decimal(12), Decimal(10)),
        "session=s2,feature=agent": (Decimal(9), Decimal(10)),
    }
    assert found[0].summary == "session s1: $12.00 for 4 calls in the last 60 minutes; more than $10.00"


def test_a_session_above_what_is_usual_for_its_feature(tmp_path: Path) -> None:
    # 21 sessions of the week before cost $1 to $21, the middle one $11; of `chat` there are too few.
    rows = [*session("s1", 60), *session("s2", 40), *session("s3", 500, feature="chat")]
    for number in range(21):
        rows += session(f"old-{number}", number + 1, NOW - timedelta(days=1 + number % 7), number=1)
    rows += session("chat-1", 1, NOW - timedelta(days=2), "chat")
    found = readings(
        rules_of(tmp_path, rule("session", 'times = 5\nfloor_usd = "1"', by="")), lookout_of(tmp_path, rows)
    )
    assert numbers(found) == {
        "session=s1,feature=agent": (Decimal(60), Decimal(55)),
        "session=s2,feature=agent": (Decimal(40), Decimal(55)),
    }
    assert found[0].summary == ("session s1: $60.00 for 4 calls in the last 60 minutes; $11.00 are usual for agent")


def test_a_trace_that_costs_too_much(tmp_path: Path) -> None:
    (dear,) = calls(1, uncached=16_000_000, feature=None)
    found = readings(
        rules_of(tmp_path, rule("session", 'usd = 5\nunit = "trace"', by="")), lookout_of(tmp_path, [dear])
    )
    assert [reading.scope for reading in found] == [{"trace": dear["trace_id"], "feature": "(none)"}]


def busy(team: str = "search") -> list[Row]:
    """60 calls in each of the hours from 11 to 13 on the three days before."""
    hours = [NOW.replace(hour=hour, minute=0) - timedelta(days=day) for day in (1, 2, 3) for hour in (11, 12)]
    return [row for hour in hours for row in calls(60, hour, team_id=team)]


def test_silence_where_many_calls_are_usual(tmp_path: Path) -> None:
    # 60 an hour are 15 in 15 minutes. growth calls; search has stopped 20 minutes ago.
    rows = [*busy(), *busy("growth"), *calls(1, NOW - timedelta(minutes=20)), *calls(1, team_id="growth")]
    found = readings(rules_of(tmp_path, rule("silence", 'within = "15m"')), lookout_of(tmp_path, rows))
    assert numbers(found) == {
        "team=growth": (Decimal(0), Decimal(15)),
        "team=search": (Decimal(15), Decimal(15)),
    }
    silent = next(reading for reading in found if reading.is_over)
    assert silent.summary == "team search: no call in the last 15 minutes, where 15 are usual (this hour of the day)"


def test_no_silence_where_few_calls_are_usual(tmp_path: Path) -> None:
    rules = rules_of(tmp_path, rule("silence", 'within = "15m"\nleast_calls = 16', by=""))
    assert readings(rules, lookout_of(tmp_path, busy())) == []
    night = NOW.replace(hour=3)
    rules = rules_of(tmp_path, rule("silence", "", by=""))
    assert readings(rules, lookout_of(tmp_path, []), night) == []


def test_an_hour_out_of_the_ordinary_once_it_is_over(tmp_path: Path) -> None:
    # $2 and $3 in turn for ten days, then $30 from 11 to 12.
    begin = NOW.replace(minute=0) - 240 * HOUR
    rows = [row for hour in range(239) for row in calls(1, begin + hour * HOUR, uncached=800_000 * (2 + hour % 2))]
    rows += calls(1, NOW.replace(hour=11, minute=50), uncached=24_000_000)
    rules, lookout = rules_of(tmp_path, rule("anomaly", "floor_usd = 20")), lookout_of(tmp_path, rows)
    (before,) = readings(rules, lookout, NOW.replace(minute=4))
    assert (before.value, before.is_over) == (Decimal(0), False)
    (found,) = readings(rules, lookout, NOW.replace(minute=5))
    assert found.is_over
    assert found.summary.startswith("team search: $30.00 from 11:00 to 12:00 UTC, where about $")
    (small,) = readings(rules_of(tmp_path, rule("anomaly", "floor_usd = 28")), lookout_of(tmp_path / "b", rows), NOW)
    assert (small.value, small.is_over) == (Decimal(0), False)


@pytest.mark.parametrize(
    ("kind", "line", "advice"),
    [
        ("session", "", "needed, or times"),
        ("session", 'usd = 5\nunit = "user"', "expected session or trace"),
        ("session", 'usd = 5\nby = "team"', "a session rule tells its alerts apart by itself"),
        ("silence", 'within = "2h"', "expected from 1m to 1h"),
        ("unpriced", 'within = "2d"', "expected from 1m to 24h"),
        ("unpriced", "percent = 101", "expected at most 100"),
        ("cache", "percent = 5", "nothing that a cache rule has; it has least_tokens, points, within"),
    ],
)
def test_terms_that_cannot_be(tmp_path: Path, kind: str, line: str, advice: str) -> None:
    with pytest.raises(RulesError) as told:
        rules_of(tmp_path, rule(kind, line, by=""))
    assert advice in str(told.value)
