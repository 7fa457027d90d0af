"""What is out of the ordinary, on a ledger of a dollar an hour, so that every number can be worked out by hand."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import ROUND_DOWN, Decimal
from pathlib import Path

import polars as pl
import pytest
from click.testing import CliRunner

from ledger_rows import Row, call, make_lake
from spanledger_analytics.connection import Ledger
from spanledger_analytics.errors import QuestionError
from spanledger_analytics.reports.calendar import Calendar, Period
from spanledger_analytics.reports.excess import divided, parts, spending
from spanledger_analytics.reports.far_requests import KIND_DAYS, LEAST, far_requests
from spanledger_analytics.reports.question import Question, parse_where
from spanledger_analytics.reports.registry import REPORTS
from spanledger_analytics.scope import EVERYTHING
from spanledger_cli import cli

ANOMALIES = REPORTS["anomalies"]
BEGIN = datetime(2026, 10, 1, tzinfo=UTC)
HOURS = 10 * 24
LAST_DAYS = Period(date(2026, 10, 8), date(2026, 10, 10))
NOW = "2026-10-11T00:00"
SPIKE = datetime(2026, 10, 8, 14, tzinfo=UTC)
ONE_HOUR = timedelta(hours=1)
FIND: Row = {"team_id": "search", "feature": "find", "tags": {"plan": "pro"}}


def calm() -> Iterator[Row]:
    """Ann and Bob find things with gpt-5: 400k tokens, half a dollar, each hour from each of them."""
    for hour in range(HOURS):
        start = BEGIN + hour * ONE_HOUR
        for place, user in enumerate(("ann", "bob")):
            minute = timedelta(minutes=5 + place)
            yield call(1 + hour * 2 + place, 1, start + minute, "gpt-5", 400_000, 0, user_id=user, **FIND)


def loop() -> Iterator[Row]:
    """In two hours a script of Ann's costs $6 more in each: 12 requests of 400k tokens."""
    for number in range(24):
        start = SPIKE + number * timedelta(minutes=5)
        yield call(10_000 + number, 1, start, "gpt-5", 400_000, 0, user_id="ann", **FIND)


def newcomer() -> Iterator[Row]:
    """Eve drafts with Opus, which nobody did before: 400k tokens, $2, in each of three hours of the last day."""
    for number in range(3):
        start = datetime(2026, 10, 10, 9 + number, 30, tzinfo=UTC)
        told: Row = {"user_id": "eve", "team_id": "search", "feature": "draft"}
        yield call(20_000 + number, 1, start, "claude-opus-4-5", 400_000, 0, **told)


def runaway() -> Row:
    """Build a request of Bob's for $5, in ten calls' worth of tokens, where all others are half a dollar."""
    return call(30_000, 1, datetime(2026, 10, 9, 3, 20, tzinfo=UTC), "gpt-5", 4_000_000, 0, user_id="bob", **FIND)


@pytest.fixture(scope="module")
def ledger(tmp_path_factory: pytest.TempPathFactory) -> Ledger:
    rows = [*calm(), *loop(), *newcomer(), runaway()]
    return Ledger(make_lake(tmp_path_factory.mktemp("anomalies") / "lake", rows), EVERYTHING)


def test_hours_of_the_total(ledger: Ledger) -> None:
    day = Period(date(2026, 10, 8), date(2026, 10, 8))
    answer = ANOMALIES.answer(ledger, Question(day), now=NOW)
    # A dollar is usual, without any deviation, so a cent (1 %) stands for it, and 1.5 for the scores of before. 14:00:
    # $7 is $6 / 0.01 = 600 deviations, 400 over 1.5. 15:00: the mean is 1.12, the variance 0.98 x 0.02 x 6^2 = 0.7056,
    # so $7 is 5.88 / (0.84 + 0.0112) = 6.9 deviations: 4.6 over 1.5. 16:00 is less than was expected.
    # Ann and Bob made a half of the week before each, so of the $2 expected $1 was hers; she cost $13, and he $1.
    made_by = "user ann 100.0 %; model gpt-5 100.0 %; feature find 100.0 %"
    money = (Decimal(14), Decimal(2), Decimal(12))
    assert answer.frame.rows() == [
        ("total", "hours", SPIKE, SPIKE + 2 * ONE_HOUR, *money, 400.0, made_by, None),
    ]
    assert answer.notes == (
        f"the total cost $14.00 instead of $2.00: {made_by}",
        "$36.00 for 72 calls",
        "not settled yet: 72 calls, which their traces may still change",
    )


def test_hours_of_users_each_by_itself(ledger: Ledger) -> None:
    found = ANOMALIES.answer(ledger, Question(LAST_DAYS, ("user",)), now=NOW).frame
    hours = found.filter(of="user", kind="hours").select(
        "user", "since", "until", "cost_usd", "expected_usd", "score", "made_by"
    )
    # Of half a dollar 1 % is half a cent: 6 / 0.005 / 1.5 = 800 for Ann, and 5 / 0.005 / 1.5 for Bob's one request.
    made_by, night = "model gpt-5 100.0 %; feature find 100.0 %", datetime(2026, 10, 9, 3, tzinfo=UTC)
    assert hours.rows() == [
        ("ann", SPIKE, SPIKE + 2 * ONE_HOUR, Decimal(13), Decimal(1), 800.0, made_by),
        ("bob", night, night + ONE_HOUR, Decimal("5.5"), Decimal("0.5"), 666.67, made_by),
    ]


def test_any_tag_has_hours(ledger: Ledger) -> None:
    day = Period(date(2026, 10, 8), date(2026, 10, 8))
    found = ANOMALIES.answer(ledger, Question(day, ("tag.plan",)), now=NOW).frame
    assert found.select("tag.plan", "of", "excess_usd", "made_by").rows() == [
        (None, "total", Decimal(12), "user ann 100.0 %; model gpt-5 100.0 %; feature find 100.0 %"),
        ("pro", "tag.plan", Decimal(12), "user ann 100.0 %; model gpt-5 100.0 %; feature find 100.0 %"),
    ]


def test_new_models_features_and_users(ledger: Ledger) -> None:
    day = Period(date(2026, 10, 10), date(2026, 10, 10))
    found = ANOMALIES.answer(ledger, Question(day, ANOMALIES.by), now=NOW).frame.filter(kind="new")
    since, money = datetime(2026, 10, 10, 9, tzinfo=UTC), (Decimal(6), Decimal(0), Decimal(6))
    rest = ("new", since, None, *money, None)
    assert found.drop("trace_id").rows() == [
        ("claude-opus-4-5", None, None, None, "model", *rest, "user eve 100.0 %; feature draft 100.0 %"),
        (None, "draft", None, None, "feature", *rest, "user eve 100.0 %; model claude-opus-4-5 100.0 %"),
        (None, None, None, "eve", "user", *rest, "model claude-opus-4-5 100.0 %; feature draft 100.0 %"),
    ]


def test_a_request_far_outside_its_kind(ledger: Ledger) -> None:
    found = ANOMALIES.answer(ledger, Question(LAST_DAYS, ("feature",)), now=NOW).frame.filter(kind="request")
    # 2 requests an hour in the 7 days before the 8th, 336 of half a dollar. Drafts have no days before: no kind.
    started = datetime(2026, 10, 9, 3, 20, tzinfo=UTC)
    said = "10.0 times the median of 336 requests in the 7 days before; user bob"
    money = (Decimal(5), Decimal("0.5"), Decimal("4.5"))
    assert found.rows() == [
        ("find", "feature", "request", started, None, *money, None, said, f"{30_000:032x}"),
    ]


def test_the_broadest_of_equal_ones_comes_first_and_the_rest_are_counted(ledger: Ledger) -> None:
    answer = ANOMALIES.answer(ledger, Question(LAST_DAYS, ("feature", "user")), now=NOW, top=2)
    assert answer.frame["of"].to_list() == ["total", "feature"]
    assert answer.notes[1:3] == (
        "5 smaller ones are left out; --top 0 shows all",
        "2 series of less than 48 hours, of which nothing can be said yet",
    )


def test_what_is_below_the_floor_is_not_told(ledger: Ledger) -> None:
    asked = Question(LAST_DAYS, ("user",))
    found = ANOMALIES.answer(ledger, asked, now=NOW, floor=Decimal("5.8")).frame
    assert found.select("of", "user", "kind").rows() == [
        ("total", None, "hours"),
        ("user", "ann", "hours"),
        ("user", "eve", "new"),
    ]
    nothing = ANOMALIES.answer(ledger, asked, now=NOW, floor=Decimal(13))
    assert (nothing.frame.height, nothing.notes[0]) == (0, "nothing is out of the ordinary")


def test_what_comes_later_changes_nothing_that_is_told(ledger: Ledger) -> None:
    day = Question(Period(date(2026, 10, 8), date(2026, 10, 8)))
    told = ANOMALIES.answer(ledger, day, now=NOW).frame
    assert ANOMALIES.answer(ledger, day, now=(SPIKE + 2 * ONE_HOUR).isoformat()).frame.equals(told)
    unfinished = (SPIKE + 0.9 * ONE_HOUR).isoformat()
    assert ANOMALIES.answer(ledger, day, now=unfinished).frame.height == 0


def test_a_user_is_judged_alike_alone_and_among_others(ledger: Ledger) -> None:
    columns = ("since", "until", "cost_usd", "expected_usd", "score")
    among = ANOMALIES.answer(ledger, Question(LAST_DAYS, ("user",)), now=NOW).frame.filter(user="ann")
    alone = ANOMALIES.answer(ledger, Question(LAST_DAYS, where=parse_where(["user=ann"])), now=NOW).frame
    assert alone.select(columns).rows() == among.select(columns).rows() != []


def test_a_ledger_that_has_just_begun_has_nothing_new_and_says_so(tmp_path: Path) -> None:
    rows = [*calm()][:40]
    young = Ledger(
        make_lake(tmp_path / "lake", [*rows, call(99, 1, BEGIN + 19 * ONE_HOUR, "gpt-5", 40_000_000, 0)]), EVERYTHING
    )
    answer = ANOMALIES.answer(young, Question(Period(date(2026, 10, 1), date(2026, 10, 1)), ("user",)), now=NOW)
    assert answer.frame.height == 0
    assert answer.notes[:2] == (
        "nothing is out of the ordinary",
        "4 series of less than 48 hours, of which nothing can be said yet",
    )


def test_moments_are_told_in_the_zone_of_the_reader(ledger: Ledger) -> None:
    period = Period(date(2026, 10, 8), date(2026, 10, 8), Calendar("Asia/Kolkata"))
    since = ANOMALIES.answer(ledger, Question(period), now=NOW).frame["since"]
    assert [str(moment) for moment in since] == ["2026-10-08 19:30:00+05:30"]


def test_units_of_time_are_refused(ledger: Ledger) -> None:
    with pytest.raises(QuestionError, match="choose dimensions"):
        ANOMALIES.answer(ledger, Question(LAST_DAYS, ("day",)), now=NOW)


def test_parts_add_up_to_what_was_spent_and_expected(ledger: Ledger) -> None:
    draw = random.Random(3)
    for _ in range(3):
        since = BEGIN + draw.randrange(24 * 7, HOURS - 8) * ONE_HOUR
        until = since + draw.randrange(1, 8) * ONE_HOUR
        expected = Decimal(draw.randrange(10**7)) / 10**6
        spent = spending(ledger, Question(LAST_DAYS), None, (), since, until)
        assert list(spent) == ["user", "model", "feature"]
        for dimension, frame in spent.items():
            made = parts(frame, since, until, expected, dimension)
            assert made["cost_usd"].sum() == sum(row["cost_usd"] for row in rows_between(since, until))
            assert made["expected_usd"].sum() == expected
            assert made["excess_usd"].to_list() == sorted((made["cost_usd"] - made["expected_usd"]), reverse=True)


def rows_between(since: datetime, until: datetime) -> list[Row]:
    return [row for row in (*calm(), *loop(), *newcomer(), runaway()) if since <= row["start_time"] < until]


def test_who_was_expected_and_did_not_come_has_a_negative_part(ledger: Ledger) -> None:
    hour = SPIKE + 2 * ONE_HOUR
    asked = Question(LAST_DAYS, where=parse_where(["user!=bob"]))
    spent = spending(ledger, asked, None, (), hour, hour + ONE_HOUR)
    found = parts(spent["user"], hour, hour + ONE_HOUR, Decimal(3), "user")
    # Of the week before all is Ann's, so all of what was expected; she cost half a dollar.
    assert found.rows() == [("ann", Decimal("0.5"), Decimal(3), Decimal("-2.5"))]


def test_what_rounding_leaves_goes_to_the_heaviest() -> None:
    thirds = divided(Decimal(1), pl.Series([Decimal(1), Decimal(1), Decimal("1.1")]))
    assert thirds.to_list() == [Decimal("0.322580645161"), Decimal("0.322580645161"), Decimal("0.354838709678")]
    assert divided(Decimal(1), pl.Series([Decimal(0)])).to_list() == [Decimal(0)]


def random_requests(draw: random.Random) -> Iterator[Row]:
    """Build requests of one to three calls that differ by factors, a few of them by a large one."""
    number = 0
    for trace in range(1, 400):
        start = BEGIN + timedelta(minutes=draw.randrange(HOURS * 60))
        feature = draw.choice(["find", "draft", "rare" if draw.random() < 0.1 else "find", None])
        scale = draw.choice([1, 1, 1, 1, 1, 1, 1, 40])
        for _ in range(draw.randrange(1, 4)):
            number += 1
            tokens = int(scale * 200_000 * draw.lognormvariate(0, 0.4))
            yield call(trace, number, start, draw.choice(["gpt-5", "gpt-5", "unknown"]), tokens, 0, feature=feature)


def test_far_requests_are_those_of_a_naive_count(tmp_path: Path) -> None:
    rows = list(random_requests(random.Random(11)))
    asked = replace(Question(LAST_DAYS), period=LAST_DAYS)
    found = far_requests(Ledger(make_lake(tmp_path / "lake", rows), EVERYTHING), asked, Decimal(1))
    told = {(one.feature, one.trace_id): (one.cost_usd, one.calls, one.median_usd, one.requests) for one in found}
    assert told == naive(rows, LAST_DAYS)
    assert len(told) > 5


def three_digits(cost: Decimal) -> Decimal:
    return cost.quantize(Decimal((0, (1,), cost.adjusted() - 2)), rounding=ROUND_DOWN)


def naive(rows: list[Row], period: Period) -> dict[tuple[str | None, str], tuple[Decimal, int, Decimal, int]]:
    requests: dict[tuple[str | None, str], list[Row]] = {}
    for row in rows:
        if period.begin - timedelta(days=KIND_DAYS) <= row["start_time"] < period.end:
            requests.setdefault((row["feature"], row["trace_id"]), []).append(row)
    priced = {key: [row["cost_usd"] for row in some if "cost_usd" in row] for key, some in requests.items()}
    costs = {key: sum(known, Decimal(0)) for key, known in priced.items() if known}
    before: dict[str | None, list[Decimal]] = {}
    for (feature, trace), cost in costs.items():
        if requests[feature, trace][0]["start_time"] < period.begin and cost:
            before.setdefault(feature, []).append(three_digits(cost))
    far = {}
    for (feature, trace), cost in costs.items():
        kind = sorted(before.get(feature, []))
        if requests[feature, trace][0]["start_time"] < period.begin or len(kind) < LEAST:
            continue
        lower, middle, upper = (kind[-(-len(kind) * quarter // 4) - 1] for quarter in (1, 2, 3))
        if cost >= 1 and cost >= 2 * upper and cost * lower**3 > upper**4:
            far[feature, trace] = (cost, len(requests[feature, trace]), middle, len(kind))
    return far


def test_the_command_answers_in_json(ledger: Ledger) -> None:
    arguments = ["report", "anomalies", "--lake", str(ledger.lake), "--from", "2026-10-08", "--to", "2026-10-08"]
    more = ["--by", "user", "--floor", "2.50", "--now", NOW, "--format", "json"]
    done = CliRunner().invoke(cli, [*arguments, *more])
    assert (done.exit_code, done.stderr.splitlines()[1]) == (0, "spanledger: $36.00 for 72 calls")
    assert [(row["of"], row["user"], row["excess_usd"]) for row in json.loads(done.stdout)] == [
        ("total", None, "12.000000000000"),
        ("user", "ann", "12.000000000000"),
    ]
