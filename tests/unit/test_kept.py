"""Kept answers say what spans do, whatever came since, and a lake without them misses nothing but time."""

from __future__ import annotations

import os
import random
import shutil
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import polars as pl
import pytest

from fingerprinted import random_prompts
from ledger_rows import Row, make_lake
from spanledger import contract
from spanledger.book import current_book
from spanledger.contract_file import read_contract
from spanledger_analytics import kept, rollup
from spanledger_analytics.connection import Ledger
from spanledger_analytics.counting import refresh_rollups
from spanledger_analytics.kept import DayQuestion, answered, is_kept, lacking, tidy_kept
from spanledger_analytics.reports.ahead import AHEAD, keep_ahead
from spanledger_analytics.reports.answer import Answer
from spanledger_analytics.reports.calendar import Calendar, Period
from spanledger_analytics.reports.question import Question, parse_where
from spanledger_analytics.reports.registry import REPORTS
from spanledger_analytics.reports.totals import HOURS, PEOPLE, SPENT, busy_hours
from spanledger_analytics.rollup import count_once
from spanledger_analytics.scope import EVERYTHING, Scope, scope_of_teams
from spanledger_collector.rollups import DAILY_CUBE

DAY = timedelta(days=1)
FIRST = date(2026, 11, 3)
LAST = date(2026, 11, 5)
PERIOD = Period(FIRST, LAST)
REPORTED = ("drivers", "growth", "loops", "efficiency", "cache-breaks", "cache-health", "tag-coverage")
FEATURES = ("feature",)
CHOSEN = Question(PERIOD, FEATURES, parse_where(["team=search", "feature!="]))
ASKED = (
    Question(PERIOD, ("day", "model")),
    Question(Period(FIRST, FIRST), FEATURES, parse_where(["model=gpt-5,claude-haiku-4-5"])),
    Question(PERIOD, ("user",)),
    Question(Period(FIRST, LAST, Calendar("Europe/Berlin")), FEATURES),
)


def rows(seed: int, count: int = 240) -> list[Row]:
    draw = random.Random(seed)
    whose = {number: draw.choice(["search", "support", None]) for number in range(50)}
    found = random_prompts(draw, count, FIRST, 3)
    return [
        row
        | {"team_id": whose[int(row["trace_id"], 16) % 50], "session_id": f"s{seed}"}
        | {"customer_id": "acme" if row["user_id"] == "ann" else None}
        for row in found
    ]


@pytest.fixture
def lake(tmp_path: Path) -> Path:
    return make_lake(tmp_path / "lake", rows(1, 120))


@pytest.fixture(scope="module")
def kept_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    lake = make_lake(tmp_path_factory.mktemp("kept") / "lake", rows(1, 40))
    count(lake)
    return lake


@pytest.fixture
def kept_lake(kept_once: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(kept_once, tmp_path / "kept"))


@pytest.fixture(autouse=True)
def without_contract() -> Iterator[None]:
    yield
    contract.use(contract.NONE)


def answers(lake: Path, scope: Scope = EVERYTHING) -> list[Answer]:
    ledger = Ledger(lake, scope)
    found = [REPORTS[name].answer(ledger, replace(CHOSEN, by=_by(name))) for name in REPORTED]
    found += [REPORTS["tag-coverage"].answer(ledger, one) for one in ASKED]
    people = [Question(PERIOD, by) for by in (("user",), ("customer", "week"), ("user", "team", "day"), ())]
    people[-1] = replace(people[-1], where=parse_where(["user=ann"]))
    found += [REPORTS["spend"].answer(ledger, one) for one in people]
    found += [REPORTS["concentration"].answer(ledger, Question(PERIOD, by)) for by in (("user",), ("customer", "team"))]
    found += [REPORTS["unit-cost"].answer(ledger, Question(PERIOD, by), more=True) for by in ((), ("day",), FEATURES)]
    half_past = Period(FIRST, LAST - DAY, Calendar("Asia/Kolkata"))
    cut = Period(FIRST, LAST, until=PERIOD.end - timedelta(minutes=105))
    hours = [
        busy_hours(ledger, one, FEATURES)
        for one in (CHOSEN, ASKED[1], ASKED[3], replace(CHOSEN, period=half_past), replace(CHOSEN, period=cut))
    ]
    hours += [busy_hours(ledger, one, ("user", *FEATURES), SPENT) for one in (CHOSEN, ASKED[1], ASKED[3])]
    return found + [Answer(frame) for frame in hours]


def _by(name: str) -> tuple[str, ...]:
    return FEATURES if REPORTS[name].takes_by else ()


def count(lake: Path) -> None:
    refresh_rollups(lake)
    assert not keep_ahead(Ledger(lake, EVERYTHING), LAST + timedelta(days=1), 60, lambda: 0.0)


def assert_equal(found: list[Answer], expected: list[Answer]) -> None:
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        assert one.frame.equals(other.frame)
        assert one.notes == other.notes


def test_reports_say_the_same_by_kept_answers_as_by_spans_and_after_late_spans_came(lake: Path) -> None:
    by_spans = answers(lake)
    count(lake)
    assert is_kept(Ledger(lake, EVERYTHING), HOURS, FIRST, LAST)
    assert_equal(answers(lake), by_spans)
    make_lake(lake, [row | {"trace_id": f"{900 + number:032x}"} for number, row in enumerate(rows(2, 60))], version=1)
    late = answers(lake)
    assert late[0].frame["cost_usd"].sum() != by_spans[0].frame["cost_usd"].sum()
    count(lake)
    assert_equal(answers(lake), late)


def test_what_is_kept_for_all_is_nothing_to_who_sees_a_team(kept_lake: Path) -> None:
    found = []
    for _ in range(2):
        ledger = Ledger(kept_lake, scope_of_teams(["search"]))
        found.append(REPORTS["drivers"].answer(ledger, Question(PERIOD)))
    asked = Question(PERIOD, (), parse_where(["team=search"]))
    assert_equal(found, [REPORTS["drivers"].answer(Ledger(kept_lake, EVERYTHING), asked)] * 2)
    assert len(list((kept_lake / kept.FOLDER).glob("drivers-*"))) == 2


def test_an_answer_is_asked_once_of_a_day_that_is_counted_and_always_of_others(lake: Path) -> None:
    asked: list[tuple[date, date]] = []

    def ask(ledger: Ledger, first: date, last: date) -> pl.DataFrame:
        asked.append((first, last))
        days = [first + timedelta(days=step) for step in range((last - first).days + 1)]
        return pl.DataFrame({"dt": days, "cost_usd": [Decimal(day.day) for day in days]})

    question = DayQuestion("days", (), ask)
    for _ in range(2):
        answered(Ledger(lake, EVERYTHING), question, FIRST, LAST).collect()
    refresh_rollups(lake)
    for _ in range(2):
        found = answered(Ledger(lake, EVERYTHING), question, FIRST, LAST + timedelta(days=1)).collect().sort("dt")
        assert found["cost_usd"].to_list() == [3, 4, 5, 6]
    whole, tomorrow = (FIRST, LAST + timedelta(days=1)), LAST + timedelta(days=1)
    assert asked == [(FIRST, LAST)] * 2 + [whole, (tomorrow, tomorrow)]


def test_an_answer_that_hangs_on_prices_is_asked_again_under_others(kept_lake: Path, tmp_path: Path) -> None:
    path = tmp_path / "contract.toml"
    path.write_text('[[discount]]\nname = "half"\nprovider = "openai"\npercent = 50\n', "utf-8")
    contract.use(read_contract(path))
    lacks = {asked.name for asked, _ in AHEAD if lacking(Ledger(kept_lake, EVERYTHING), asked, [FIRST])}
    assert lacks == {"drivers", "efficiency", "cache_health", "routes"}
    assert len(current_book().digest) == 16


def test_what_holds_no_longer_is_deleted_and_so_is_the_oldest_where_it_is_too_much(
    kept_lake: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lake = kept_lake
    files = sorted((lake / kept.FOLDER).glob("*/*.parquet"))
    assert len(files) == 3 * len(AHEAD)
    tidy_kept(lake)
    assert sorted((lake / kept.FOLDER).glob("*/*.parquet")) == files
    os.utime(files[0], (0, 0))
    monkeypatch.setattr(kept, "MOST_BYTES", sum(file.stat().st_size for file in files) - 1)
    tidy_kept(lake)
    assert sorted((lake / kept.FOLDER).glob("*/*.parquet")) == files[1:]
    unused = files[-1].parent
    long_ago = time.time() - 31 * 86_400
    os.utime(unused, (long_ago, long_ago))
    tidy_kept(lake)
    assert not unused.exists()
    shutil.rmtree(lake / DAILY_CUBE.name / f"dt={FIRST}")
    tidy_kept(lake)
    left = [path for path in files[1:] if path.parent != unused and not path.name.startswith(f"{FIRST}")]
    assert sorted((lake / kept.FOLDER).glob("*/*")) == left


def test_half_a_file_and_one_that_was_deleted_are_made_again(kept_lake: Path) -> None:
    before = [REPORTS["drivers"].answer(Ledger(kept_lake, EVERYTHING), CHOSEN)]
    first, second, _ = sorted((kept_lake / kept.FOLDER).glob("drivers-*/*.parquet"))
    whole = first.read_bytes()
    first.write_bytes(whole[: len(whole) // 2])
    second.unlink()
    assert_equal([REPORTS["drivers"].answer(Ledger(kept_lake, EVERYTHING), CHOSEN)], before)
    assert (len(first.read_bytes()), second.exists()) == (len(whole), True)


def test_where_nothing_can_be_written_answers_are_right_and_not_kept(lake: Path) -> None:
    by_spans = [REPORTS["drivers"].answer(Ledger(lake, EVERYTHING), CHOSEN)]
    refresh_rollups(lake)
    (lake / kept.FOLDER).write_text("in the way", "utf-8")
    assert_equal([REPORTS["drivers"].answer(Ledger(lake, EVERYTHING), CHOSEN)], by_spans)
    assert not is_kept(Ledger(lake, EVERYTHING), PEOPLE, FIRST, LAST)


def test_the_counting_process_keeps_what_pages_ask(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rollup, "_AHEAD_S", 600.0)
    yesterday = datetime.now(UTC).date() - timedelta(days=1)
    moved = yesterday - LAST
    late = [row | {name: row[name] + moved for name in ("start_time",)} for row in rows(3, 30)]
    lake = make_lake(tmp_path / "lake", [row | {"ingested_at": row["start_time"]} for row in late])
    os.utime(lake, None)
    two_hours_ago = time.time() - 7_200
    for path in (lake / "spans").glob("dt=*/*.parquet"):
        os.utime(path, (two_hours_ago, two_hours_ago))
    assert count_once(lake) == {"counted": 3, "waiting": False}
    assert is_kept(Ledger(lake, EVERYTHING), HOURS, yesterday - timedelta(days=2), yesterday)
