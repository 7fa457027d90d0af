"""How fast money is being spent: by hand, against a naive sum over the calls, and from the newest files alone."""

from __future__ import annotations

import random
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from ledger_rows import Row, call, make_lake
from small_ledger import small_ledger
from spanledger_analytics.connection import Ledger, connect
from spanledger_analytics.errors import QuestionError
from spanledger_analytics.reports.calendar import Calendar, Period
from spanledger_analytics.reports.question import Question, parse_where
from spanledger_analytics.reports.registry import REPORTS
from spanledger_analytics.scope import EVERYTHING
from spanledger_collector.lake import file_path, live_files, open_for_reading
from spanledger_collector.tables import SPANS

RATE = REPORTS["rate"]
DAY = Period(date(2026, 11, 9), date(2026, 11, 9))


@pytest.fixture(scope="module")
def ledger(tmp_path_factory: pytest.TempPathFactory) -> Ledger:
    return small_ledger(tmp_path_factory.mktemp("rate") / "lake")


def test_the_rate_beside_the_hour_before_and_a_week_ago(ledger: Ledger) -> None:
    answer = RATE.answer(ledger, Question(DAY, ("model",)), minutes=30, now="2026-11-09T09:25")
    # In 30 minutes: gpt-5 3.00 (800k + 200k tokens), claude 3.50 + 1.20 in one request (2 x 440k tokens).
    # A week ago gpt-5 2.00 + 2.10.
    assert answer.frame.rows() == [
        ("claude-opus-4-5", *usd("9.4", "0", "0", "0.033", "0.067", "29333.333"), 2, 0, 0),
        ("gpt-5", *usd("6", "0", "8.2", "0.033", "0.033", "33333.333"), 1, 0, 0),
    ]
    assert answer.frame.columns == ["model", *RATE.columns]
    assert answer.notes == (
        "$15.40 an hour over 30 minutes to 2026-11-09 09:25:00 UTC: 3 calls of 2 requests ended",
        "the hour before $0.00 an hour: now $15.40 more",
        "the same time a week ago $8.20 an hour: now $7.20 more (87.8 %)",
        "the last span came 4 minutes before",
        "not settled yet: 3 calls, which their traces may still change",
    )


def usd(*amounts: str) -> tuple[Decimal, ...]:
    return tuple(map(Decimal, amounts))


def test_what_has_stopped_is_there_and_has_no_rate(ledger: Ledger) -> None:
    answer = RATE.answer(ledger, Question(DAY, ("team",)), minutes=10, now="2026-11-09T09:31")
    money = ("usd_per_hour", "hour_before_usd", "calls")
    # The hour to 09:21 has 3.00 of search and 4.70 of growth.
    assert answer.frame.select("team", *money).rows() == [
        ("growth", Decimal(0), Decimal("4.7"), 0),
        ("search", Decimal(0), Decimal(3), 0),
    ]
    assert answer.notes[0] == "$0.00 an hour over 10 minutes to 2026-11-09 09:31:00 UTC: 0 calls of 0 requests ended"


def test_a_request_of_two_models_is_one(ledger: Ledger) -> None:
    asked = Question(DAY, where=parse_where(["team=support,search"]))
    answer = RATE.answer(ledger, asked, minutes=24 * 60, now="2026-11-04T00:00")
    # The 3rd: 2.00, 2.00, and a call without a price.
    assert answer.frame.select("usd_per_hour", "week_before_usd", "unpriced_calls").rows() == [
        (Decimal("0.166666666667"), None, 1)
    ]


def test_silence_is_told(ledger: Ledger) -> None:
    notes = RATE.answer(ledger, Question(DAY), now="2026-11-14T10:00").notes
    assert (
        notes[-1]
        == "the last span came 47 hours before, at 2026-11-12 10:00 UTC; spanledger doctor tells what is amiss"
    )
    notes = RATE.answer(ledger, Question(DAY), now="2026-11-12T10:00:15").notes
    assert "the last span came 12 seconds before" in notes
    notes = RATE.answer(ledger, Question(DAY), now="2026-11-01").notes
    assert notes[-1] == "no span had come until then"


def test_of_days_that_are_over_it_is_the_end(ledger: Ledger) -> None:
    asked = Question(Period(date(2026, 11, 11), date(2026, 11, 11)))
    assert RATE.answer(ledger, asked, minutes=60).frame["usd_per_hour"].to_list() == [1]


def test_a_week_ago_is_the_same_time_of_day_though_clocks_changed(tmp_path: Path) -> None:
    # 12:00 in Berlin is 11:00 UTC on the 28th of October, and was 10:00 UTC on the 21st.
    starts = [datetime(2026, 10, 28, 10, 59, tzinfo=UTC), datetime(2026, 10, 21, 9, 59, tzinfo=UTC)]
    lake = make_lake(tmp_path, [call(number, 1, start) for number, start in enumerate(starts)])
    berlin = Question(Period(date(2026, 10, 28), date(2026, 10, 28), Calendar("Europe/Berlin")))
    row = RATE.answer(Ledger(lake, EVERYTHING), berlin, now="2026-10-28T12:00").frame.row(0, named=True)
    assert row["usd_per_hour"] == row["week_before_usd"] == Decimal("0.00225") * 4


@pytest.mark.parametrize(
    ("asked", "options", "expected"),
    [
        ((), {"minutes": 0}, "from 1 to 1,440, not 0"),
        (("hour",), {}, "can't be told apart by hour"),
        ((), {"now": "soon"}, "can't read the moment"),
    ],
)
def test_what_has_no_rate_says_what_has(
    ledger: Ledger, asked: tuple[str, ...], options: dict[str, Any], expected: str
) -> None:
    with pytest.raises(QuestionError, match=expected):
        RATE.answer(ledger, Question(DAY, asked), **options)


def test_an_empty_lake_has_no_rate(tmp_path: Path) -> None:
    answer = RATE.answer(Ledger(make_lake(tmp_path, []), EVERYTHING), Question(DAY), now="2026-11-09T09:25")
    assert answer.frame.height == 0
    assert answer.notes[0].startswith("$0.00 an hour over 15 minutes")


def test_only_files_that_may_hold_what_is_asked_are_opened(tmp_path: Path) -> None:
    now = datetime(2026, 11, 9, 18, tzinfo=UTC)
    hours = [0, 1, 3, 9, 17, 24, 60, 100, 165, 168, 169, 171, 180, 192]
    for number, hour in enumerate(hours):
        make_lake(tmp_path, [call(hour, 1, now - timedelta(hours=hour, minutes=5))], version=number)
    ledger = Ledger(tmp_path, EVERYTHING)
    asked = Question(DAY, ("team",))
    before = RATE.answer(ledger, asked, now="2026-11-09T18:00")
    table = open_for_reading(tmp_path)
    assert table is not None
    needed = {now - timedelta(hours=hour, minutes=5) for hour in (0, 1, 168, 169)}
    gone = [file for file in live_files(table, SPANS) if file.start_min not in needed]
    for file in gone:
        file_path(tmp_path, file).unlink()
    assert len(gone) == len(hours) - 4
    again = RATE.answer(Ledger(tmp_path, EVERYTHING), asked, now="2026-11-09T18:00")
    assert again.frame.equals(before.frame)
    assert before.frame["calls"].to_list() == [1]


FIRST = datetime(2026, 11, 2, tzinfo=UTC)


@pytest.fixture(scope="module")
def busy(tmp_path_factory: pytest.TempPathFactory) -> Ledger:
    draw = random.Random(4)
    rows: list[Row] = []
    for number in range(900):
        start = FIRST + timedelta(days=draw.choice([0, 7]), seconds=draw.randrange(6 * 3600))
        told: Row = {"team_id": draw.choice(["a", "b", "", None]), "feature": draw.choice(["x", "y", None])}
        told |= draw.choice([{}, {"tags": {"plan": "pro"}}, {"usage_state": "estimated"}])
        told["duration_us"] = draw.choice([0, 900_000, 40_000_000, 1_500_000_000, None])
        model = draw.choice(["gpt-5", "claude-haiku-4-5", "unknown"])
        rows.append(call(number // 3, number, start, model, draw.randrange(9_000), draw.randrange(900), **told))
    return Ledger(make_lake(tmp_path_factory.mktemp("busy"), rows), EVERYTHING)


@pytest.fixture(scope="module")
def calls(busy: Ledger) -> list[Row]:
    with connect(busy.lake) as connection:
        rows: list[Row] = connection.sql("select * from llm_calls").pl().to_dicts()
    return rows


def naive(calls: list[Row], by: tuple[str, ...], until: datetime, length: timedelta) -> dict[Any, Any]:
    """Add up calls that ended in the stretch of time one by one."""
    found: dict[Any, Any] = {}
    for one in calls:
        end = one["start_time"] + timedelta(microseconds=one["duration_us"] or 0)
        if until - length < end <= until:
            told = {
                "team": one["team_id"],
                "feature": one["feature"],
                "model": one["matched_model"] or one["request_model"],
                "tag.plan": (one["tags"] or {}).get("plan"),
            }
            row = found.setdefault(tuple(told[name] or None for name in by), [None, set(), 0, 0])
            if one["cost_usd"] is not None:
                row[0] = (row[0] or 0) + one["cost_usd"]
            row[1].add(one["trace_id"])
            row[2] += 1
            row[3] += one["input_tokens"] + one["output_tokens"]
    return found


@pytest.mark.parametrize("seed", range(12))
def test_rates_are_those_of_a_naive_sum(busy: Ledger, calls: list[Row], seed: int) -> None:
    draw = random.Random(seed)
    until = FIRST + timedelta(days=7, seconds=draw.randrange(2 * 3600, 6 * 3600))
    minutes = draw.choice([1, 7, 15, 60])
    by = tuple(draw.sample(["team", "feature", "model", "tag.plan"], draw.randrange(3)))
    length, hour = timedelta(minutes=minutes), timedelta(hours=1)
    here = naive(calls, by, until, length)
    before = naive(calls, by, until - length, hour)
    week = naive(calls, by, until - timedelta(days=7), length)

    def cost(rows: dict[Any, Any], name: Any, scale: Decimal) -> Decimal | None:
        value = rows[name][0] if name in rows else Decimal(0)
        return None if value is None else (value * scale).quantize(Decimal("0.000000000001"))

    def pace(value: int) -> Decimal:
        return (Decimal(value) / minutes).quantize(Decimal("0.001"))

    scale = Decimal(60) / minutes
    expected = {}
    for name in {**here, **before, **week}:
        _, traces, count, tokens = here.get(name, (None, (), 0, 0))
        rates = (cost(here, name, scale), cost(before, name, Decimal(1)), cost(week, name, scale))
        expected[name] = (*rates, pace(len(traces)), pace(count), pace(tokens), count)
    answer = RATE.answer(busy, Question(DAY, by), minutes=minutes, now=until.isoformat())
    frame = answer.frame
    width = len(by)
    assert {row[:width]: row[width : width + 7] for row in frame.rows()} == expected
    requests = len(naive(calls, (), until, length).get((), (None, ()))[1])
    assert f" of {requests:,} request" in answer.notes[0]
    assert frame["usd_per_hour"].drop_nulls().to_list() == sorted(frame["usd_per_hour"].drop_nulls(), reverse=True)
