"""The maintainer: it counts what commits add, and has the jobs done when it is time."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from committing import NOON, Bench, rows
from spanledger_collector import maintain
from spanledger_collector.jobs import standing
from spanledger_collector.lake import live_files, open_table, table_path
from spanledger_collector.logwatch import TableLog
from spanledger_collector.maintain import Maintainer
from spanledger_collector.upkeep import merge_small_files
from waiting import wait_until


class Clock:
    """Time as a test has it, seconds."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    made = Bench(tmp_path)
    for segment in range(4):
        made.commit(rows(range(segment, segment + 1), NOON + timedelta(hours=segment)))
    return made


def log_of(bench: Bench) -> Path:
    return table_path(bench.lake) / "_delta_log"


def files(bench: Bench) -> int:
    return len(live_files(open_table(bench.lake)))


def test_small_files_are_counted_by_the_log_as_they_come_and_go(bench: Bench) -> None:
    log = TableLog(log_of(bench))
    log.read_on()
    assert log.small == 4
    merge_small_files(open_table(bench.lake))
    bench.commit(rows(range(9, 10)))
    log.read_on()
    assert log.small == 2
    stands = standing(bench.lake)["spans"]
    again = TableLog(log_of(bench), stands["version"], stands["small"])
    again.read_on()
    assert again.small == 1


def test_of_a_log_whose_beginning_is_gone_nobody_can_tell_how_many_there_are(bench: Bench) -> None:
    open_table(bench.lake).create_checkpoint()
    (log_of(bench) / f"{0:020d}.json").unlink()
    log = TableLog(log_of(bench))
    log.read_on()
    assert log.small == float("inf")


def run_until(maintainer: Maintainer, clock: Clock, condition: Callable[[], bool], pace_s: float = 2) -> None:
    def step() -> bool:
        if maintainer._jobs is None:  # else how long these take would say how many times are over
            clock.now += pace_s
        maintainer.step()
        return condition()

    wait_until(step, timeout_s=180)


def test_too_many_small_files_are_merged_by_a_process_that_ends(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(maintain, "MOST_SMALL_FILES", -1)
    clock = Clock()
    maintainer = Maintainer(bench.lake, clock)
    run_until(maintainer, clock, lambda: (bench.lake / "maintain.json").exists())
    assert files(bench) == 4  # its own limit is 300
    run_until(maintainer, clock, lambda: maintainer._jobs is None)
    assert maintainer._no_merge_before > clock.now


def test_all_jobs_are_done_now_and_then(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[tuple[str, ...]] = []

    def command(lake: Path, names: tuple[str, ...]) -> list[str]:
        started.append(names)
        return ["true"]

    monkeypatch.setattr(maintain, "jobs_command", command)
    clock = Clock()
    maintainer = Maintainer(bench.lake, clock)
    run_until(maintainer, clock, lambda: clock.now > 3800 and maintainer._jobs is None, 60)
    assert started == [(), (), ()]


def test_jobs_end_with_the_maintainer(bench: Bench) -> None:
    endless = "from spanledger_collector import jobs; jobs.run_jobs = lambda *_: iter(input, 0); jobs.main()"
    command = [sys.executable, "-c", endless, "--lake", str(bench.lake)]
    waiting = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    waiting.communicate()
    assert waiting.returncode == 1
