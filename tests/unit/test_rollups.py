"""Rollups answer what the spans do, to the last pico-dollar, whatever came, was settled or repriced, and when.

One life of a lake is tried, and with SPANLEDGER_PROVE set, 20.
"""

from __future__ import annotations

import hashlib
import os
import random
import re
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from committing import Bench
from settled_rows import NOON, Row, agent, booked, metered
from spanledger import contract
from spanledger.contract_file import read_contract
from spanledger_analytics import drill, spend
from spanledger_analytics.cells_check import Difference, check_rollups
from spanledger_analytics.connection import Ledger, connect, load_query
from spanledger_analytics.counting import Refreshed, due_days, refresh, refresh_rollups
from spanledger_analytics.rollup import Roller, rollup_command
from spanledger_analytics.scope import EVERYTHING
from spanledger_analytics.snapshot import Snapshots
from spanledger_analytics.spend import Filters
from spanledger_analytics.verify import Fault, Subject, verify
from spanledger_collector.candidates import Wanted
from spanledger_collector.lake import add_files, file_path, live_files, open_table, replace_files, write_file
from spanledger_collector.repricing import reprice
from spanledger_collector.rewrite import rewrite_day
from spanledger_collector.rollups import DAILY_CUBE, HOURLY_USERS, MAKE, ROLLUPS, USD
from spanledger_collector.settling import settle_new
from spanledger_collector.upkeep import merge_small_files
from waiting import wait_until

DAY: Final = timedelta(days=1)
DAYS: Final = [(NOON + step * DAY).date() for step in (-1, 0, 1)]
HALF: Final = '[[discount]]\nname = "half"\nprovider = "openai"\npercent = 50\n'
LIVES: Final = 20 if os.environ.get("SPANLEDGER_PROVE") else 1


class RawLedger(Ledger):
    """Reads every day from its spans."""

    def ask_rollup(self, query: str, rollup: Any, first: date, last: date, **parameters: Any) -> pl.DataFrame:
        return self.ask(query, first=first, last=last, **parameters)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def batch(draw: random.Random, numbers: range) -> list[Row]:
    """Build calls and agents of few traces: over three days, of and for whoever, some of them told of twice."""
    rows: list[Row] = []
    for number in numbers:
        trace = draw.randint(1, 6)
        tags = {
            name: value
            for name, values in (
                ("team_id", (None, "", "a", "b")),
                ("feature", (None, "f", "g")),
                ("environment", ("live", "test")),
                ("user_id", (None, "u", "v", "w")),
            )
            if (value := draw.choice(values)) is not None
        }
        start = NOON + DAY * draw.randint(-1, 1) + timedelta(minutes=draw.randint(0, 59) * draw.randint(0, 9))
        more: Row = {"trace": trace, "start_time": start, "status": draw.choice(["unset", "ok", "error"]), **tags}
        above = draw.choice([None, *(int(row["span_id"], 16) for row in rows if row["trace_id"] == f"{trace:032x}")])
        if draw.random() < 0.2:
            rows.append(agent(number, above, **more))
            continue
        model = draw.choice(["gpt-5", "gpt-5-mini", "nobody-knows"])
        more |= {"request_model": model, "response_model": model, "tokens": (draw.randint(1, 9000), 100)}
        more |= {"response_id": draw.choice([f"chatcmpl-0123456789-{number}", "chatcmpl-0123456789-same"])}
        more |= {"dialect": draw.choice(["spanledger", "litellm"]), "reasoning_tokens": draw.choice([None, 7])}
        more |= {"usage_state": draw.choice(["reported", "reported", "estimated"])}
        rows.append(metered(number, above, **more))
    return rows


def fuller(draw: random.Random, rows: list[Row]) -> list[Row]:
    """Return copies of some rows as they are when their spans have ended."""
    some = draw.sample(rows, min(4, len(rows)))
    return [row | {"duration_us": 9_000_000, "ingested_at": row["ingested_at"] + timedelta(hours=1)} for row in some]


class Life:
    """What happens to a lake, step by step."""

    def __init__(self, bench: Bench, seed: int) -> None:
        self.draw = random.Random(seed)
        self.bench, self.lake = bench, bench.lake
        self.rows: list[Row] = []
        self.signed = False

    def take(self) -> None:
        rows = batch(self.draw, range(len(self.rows) + 1, len(self.rows) + 25))
        self.rows += rows
        running = [row | {"duration_us": None} for row in rows]
        self.bench.commit(booked(running))

    def send_again(self) -> None:
        self.bench.commit(booked(fuller(self.draw, self.rows)))

    def settle(self) -> None:
        settle_new(self.lake, timedelta(0))

    def reprice(self) -> None:
        path = self.bench.home / "contract.toml"
        path.write_text(HALF, "utf-8")
        contract.use(contract.NONE if self.signed else read_contract(path))
        self.signed = not self.signed
        list(reprice(self.lake, Wanted()))

    def merge(self) -> None:
        merge_small_files(open_table(self.lake))

    def rewrite(self) -> None:
        for dt in self.draw.sample(DAYS, 2):
            rewrite_day(self.lake, dt)

    def count_some(self) -> None:
        snapshot = Snapshots(self.lake).now()
        refresh(snapshot, self.draw.sample(DAYS, self.draw.randint(1, 3)))

    def run(self) -> Iterator[None]:
        """Let everything happen in some order, and days be counted in between."""
        steps = [self.take, self.send_again, self.settle, self.reprice, self.merge, self.settle, self.rewrite]
        for step in self.draw.sample(steps, len(steps)):
            step()
            yield
            if self.draw.random() < 0.7:
                self.count_some()
                yield

    def filters(self) -> Filters:
        team, feature = self.draw.choice([None, None, "", "a"]), self.draw.choice([None, None, "f"])
        model = self.draw.choice([None, None, "gpt-5", "nobody-knows"])
        return Filters(team, feature, model, self.draw.choice([None, None, "live"]))

    def answers(self, counted: Ledger, raw: Ledger) -> Iterator[tuple[pl.DataFrame, pl.DataFrame]]:
        """Ask both the same."""
        filters, day, hour = self.filters(), self.draw.choice(DAYS), self.draw.choice([None, NOON.hour])
        by_team = self.draw.choice([Filters(), Filters(team=filters.team)])
        by_hour = Filters(filters.team, None, filters.model, filters.environment)
        for ledger in (counted, raw):
            ledger.version()
        yield spend.days(counted, DAYS[0], DAYS[-1], filters), spend.days(raw, DAYS[0], DAYS[-1], filters)
        by_model = (spend.days_by_model(ledger, DAYS[0], DAYS[-1], filters) for ledger in (counted, raw))
        yield next(by_model), next(by_model)
        yield spend.hours(counted, day, by_hour), spend.hours(raw, day, by_hour)
        yield spend.hours_by_model(counted, day, by_hour), spend.hours_by_model(raw, day, by_hour)
        yield drill.users(counted, day, hour, by_team), drill.users(raw, day, hour, by_team)
        yield spend.filter_values(counted, DAYS[0], DAYS[-1]), spend.filter_values(raw, DAYS[0], DAYS[-1])


@pytest.fixture(autouse=True)
def without_contract() -> Iterator[None]:
    yield
    contract.use(contract.NONE)


@pytest.mark.parametrize("seed", range(LIVES))
def test_whatever_happens_to_a_lake_its_rollups_answer_what_its_spans_do(bench: Bench, seed: int) -> None:
    life = Life(bench, seed)
    life.take()
    refresh_rollups(bench.lake)
    counted, raw = Ledger(bench.lake, EVERYTHING), RawLedger(bench.lake, EVERYTHING)
    for _ in life.run():
        for cells, spans in life.answers(counted, raw):
            assert cells.schema == spans.schema
            assert cells.rows() == spans.rows()
    refresh_rollups(bench.lake)
    assert sorted(Snapshots(bench.lake).now().counted()) == DAYS
    assert check_rollups(bench.lake) == []
    assert_views_say_what_spans_do(bench.lake)


def assert_views_say_what_spans_do(lake: Path) -> None:
    connection = connect(lake)
    calls = "select count(*), sum(cost_usd), count(*) filter (where provisional), sum(duration_us) from llm_calls"
    money = connection.execute(calls).fetchall()
    requests = connection.execute("select count(*) from (select distinct dt, trace_id from llm_calls)").fetchall()
    was = "select sum(cost_usd) from spans_as_booked where role in ('inference', 'agent') and duplicate_of is null"
    booked_usd = connection.execute(was).fetchall()
    for table in ROLLUPS:
        sums = f"select sum(calls), sum(cost_usd), sum(provisional_calls), sum(duration_us) from {table.name}"
        assert connection.execute(sums).fetchall() == money
        assert connection.execute(f"select sum(requests) from {table.name}").fetchall() == requests
        assert connection.execute(f"select sum(booked_usd) from {table.name}").fetchall() == booked_usd


def counted(lake: Path) -> list[date]:
    return sorted(Snapshots(lake).now().counted())


def test_a_day_is_counted_again_when_its_files_are_others_and_no_other_day_is(bench: Bench) -> None:
    bench.commit(booked([metered(number, trace=number, start_time=NOON + number * DAY) for number in (-1, 0, 1)]))
    assert refresh_rollups(bench.lake) == Refreshed(DAYS, [])
    assert refresh_rollups(bench.lake) == Refreshed([], [])
    bench.commit(booked([metered(7, trace=7)]))
    assert counted(bench.lake) == [DAYS[0], DAYS[2]]
    assert refresh_rollups(bench.lake) == Refreshed([DAYS[1]], [])
    files = live_files(open_table(bench.lake, DAILY_CUBE), DAILY_CUBE)
    assert [(file.dt, file.rows) for file in files] == [(dt, 1) for dt in DAYS]


def test_a_day_without_calls_is_counted_and_a_day_without_spans_is_taken_out(bench: Bench) -> None:
    bench.commit(booked([agent(1), metered(2, trace=2, start_time=NOON + DAY)]))
    assert refresh_rollups(bench.lake) == Refreshed(DAYS[1:], [])
    assert counted(bench.lake) == DAYS[1:]
    assert spend.days(Ledger(bench.lake, EVERYTHING), DAYS[0], DAYS[2])["dt"].to_list() == [DAYS[2]]
    spans = open_table(bench.lake)
    replace_files(spans, [file for file in live_files(spans) if file.dt == DAYS[2]], [], same_rows=False)
    assert spend.days(Ledger(bench.lake, EVERYTHING), DAYS[0], DAYS[2]).rows() == []
    assert refresh_rollups(bench.lake) == Refreshed([], [DAYS[2]])
    assert [file.dt for file in live_files(open_table(bench.lake, HOURLY_USERS), HOURLY_USERS)] == [DAYS[1]]


def test_provisional_calls_are_counted_again_when_they_are_settled(bench: Bench) -> None:
    bench.commit(booked([metered(1, 9), metered(2, trace=2, start_time=NOON + DAY)]))
    refresh_rollups(bench.lake)
    ledger = Ledger(bench.lake, EVERYTHING)
    assert spend.days(ledger, DAYS[0], DAYS[2])["provisional_calls"].to_list() == [1, 0]
    settle_new(bench.lake, timedelta(0))
    assert counted(bench.lake) == [DAYS[2]]
    assert spend.days(ledger, DAYS[0], DAYS[2])["provisional_calls"].to_list() == [0, 0]
    assert due_days(Snapshots(bench.lake).now(), NOON + 9 * DAY) == [DAYS[1]]
    assert refresh_rollups(bench.lake) == Refreshed([DAYS[1]], [])
    assert counted(bench.lake) == DAYS[1:]


def test_days_wait_until_they_are_over_and_quiet(bench: Bench) -> None:
    bench.commit(booked([metered(1, trace=1), metered(2, trace=2, start_time=NOON + DAY)]))
    now = datetime.now(UTC)
    snapshot = Snapshots(bench.lake).now()
    assert due_days(snapshot, now) == []
    assert due_days(snapshot, now + timedelta(hours=2)) == DAYS[1:]
    settle_new(bench.lake, timedelta(0))
    assert due_days(Snapshots(bench.lake).now(), now) == DAYS[1:]
    assert due_days(Snapshots(bench.lake).now(), NOON + DAY) == [DAYS[1]]


def test_a_cell_that_says_something_else_is_found(bench: Bench) -> None:
    bench.commit(booked([metered(1, trace=1), metered(2, trace=2, start_time=NOON + DAY)]))
    refresh_rollups(bench.lake)
    assert check_rollups(bench.lake) == []
    cube = open_table(bench.lake, DAILY_CUBE)
    (old,) = (file for file in live_files(cube, DAILY_CUBE) if file.dt == DAYS[1])
    cells = pq.read_table(file_path(bench.lake, old), partitioning=None)
    one_pico_more = pa.array([cells["cost_usd"][0].as_py() + Decimal("0.000000000001")], USD)
    forged = cells.set_column(cells.column_names.index("cost_usd"), "cost_usd", one_pico_more)
    name = Path(old.path).stem.rpartition("_")[0] + "_forged"
    replace_files(cube, [old], [write_file(bench.lake, name, forged, DAILY_CUBE, old.dt)], DAILY_CUBE, same_rows=False)
    assert check_rollups(bench.lake) == [Difference("daily_cube", DAYS[1], 2)]
    words = "has 2 cells that its spans don't come to, or lacks them"
    assert list(verify(Subject(bench.lake))) == [Fault("rollups", f"daily_cube of {DAYS[1]}", words)]


def test_a_file_that_another_program_made_of_ours_is_not_trusted(bench: Bench) -> None:
    bench.commit(booked([metered(1, trace=1)]))
    refresh_rollups(bench.lake)
    cube = open_table(bench.lake, DAILY_CUBE)
    (old,) = live_files(cube, DAILY_CUBE)
    cells = pq.read_table(file_path(bench.lake, old), partitioning=None)
    theirs = write_file(bench.lake, "part-00000-theirs", cells, DAILY_CUBE, old.dt)
    replace_files(cube, [old], [theirs], DAILY_CUBE, same_rows=True)
    assert counted(bench.lake) == []
    assert refresh_rollups(bench.lake) == Refreshed([DAYS[1]], [])


def test_a_day_that_two_machines_have_counted_at_once_is_counted_again(bench: Bench) -> None:
    bench.commit(booked([metered(1, trace=1)]))
    refresh_rollups(bench.lake)
    (ours,) = live_files(open_table(bench.lake, DAILY_CUBE), DAILY_CUBE)
    cells = pq.read_table(file_path(bench.lake, ours), partitioning=None)
    theirs = write_file(bench.lake, f"{Path(ours.path).stem}-theirs", cells, DAILY_CUBE, ours.dt)
    add_files(bench.lake, [theirs], writer="other", version=1, table=DAILY_CUBE)
    assert counted(bench.lake) == []
    assert refresh_rollups(bench.lake) == Refreshed([DAYS[1]], [])
    assert [
        file.path in {ours.path, theirs.path} for file in live_files(open_table(bench.lake, DAILY_CUBE), DAILY_CUBE)
    ] == [False]


def test_the_way_of_counting_has_a_number_of_its_own() -> None:
    """Whoever changes how cells are counted has to raise MAKE, else old cells stand beside new ones."""
    text = re.sub(r"--.*|\s+", " ", load_query("views/rollups"))
    told = hashlib.sha256(text.encode()).hexdigest()[:16]
    assert (MAKE, told) == (1, "0a4340668662530a")


def test_the_process_that_a_collector_starts_counts(bench: Bench) -> None:
    bench.commit(booked([metered(1, trace=1)]))
    settle_new(bench.lake, timedelta(0))
    argv = rollup_command(bench.home, bench.lake).argv
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        try:
            wait_until(lambda: counted(bench.lake) == [DAYS[1]], timeout_s=180, what="the day that is counted")
        finally:
            process.terminate()
        assert process.communicate()[1] == b""


def test_the_process_counts_what_is_due_and_starts_again_only_when_the_lake_has_changed(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.commit(booked([metered(1, trace=1)]))
    settle_new(bench.lake, timedelta(0))
    started: list[str] = []

    class Noted(subprocess.Popen[bytes]):
        def __init__(self, command: list[str], stdin: int, stdout: int) -> None:
            started.append(command[2])
            super().__init__(command, stdin=stdin, stdout=stdout)

    monkeypatch.setattr(subprocess, "Popen", Noted)
    now = [0.0]
    roller = Roller(bench.lake, lambda: now[0])

    def ended() -> bool:
        roller.step()
        return roller._counting is None

    def look() -> int:
        now[0] += 10_000
        roller.step()
        wait_until(ended, timeout_s=180, what="the counting")
        return len(started)

    assert (look(), counted(bench.lake)) == (1, [DAYS[1]])
    assert [look(), look()] == [1, 1]
    bench.commit(booked([metered(2, trace=2, start_time=NOON + DAY)]))
    settle_new(bench.lake, timedelta(0))
    assert (look(), counted(bench.lake)) == (2, DAYS[1:])


STAGE: Final = """
import os, sys
from pathlib import Path
from spanledger_analytics import counting
name, when, times = sys.argv[2], sys.argv[3], int(sys.argv[4])
plain, left = getattr(counting, name), [times]
def dying(*args, **kwargs):
    left[0] -= 1
    if not left[0] and when == "before":
        os.kill(os.getpid(), 9)
    result = plain(*args, **kwargs)
    if not left[0]:
        os.kill(os.getpid(), 9)
    return result
setattr(counting, name, dying)
counting.refresh_rollups(Path(sys.argv[1]))
"""


@pytest.mark.parametrize(("name", "when", "times"), [("write_file", "after", 2), ("replace_files", "after", 3)])
def test_one_that_is_killed_leaves_answers_right_and_the_next_one_ends_the_work(
    bench: Bench, name: str, when: str, times: int
) -> None:
    bench.commit(booked([metered(1, trace=1), metered(2, trace=2, start_time=NOON + DAY)]))
    before = spend.days_by_model(Ledger(bench.lake, EVERYTHING), DAYS[0], DAYS[2])
    command = [sys.executable, "-c", STAGE, str(bench.lake), name, when, str(times)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=180)
    assert done.returncode == -9, done.stderr
    assert counted(bench.lake) == []
    assert spend.days_by_model(Ledger(bench.lake, EVERYTHING), DAYS[0], DAYS[2]).rows() == before.rows()
    assert refresh_rollups(bench.lake) == Refreshed(DAYS[1:], [])
    assert spend.days_by_model(Ledger(bench.lake, EVERYTHING), DAYS[0], DAYS[2]).rows() == before.rows()
    assert check_rollups(bench.lake) == []
    for table in ROLLUPS:
        assert [file.dt for file in live_files(open_table(bench.lake, table), table)] == DAYS[1:]
