"""The maintainer process: has small files merged, and the lake's other `jobs` done, when it is time.

It only watches, and does so with little: it counts the files that commits add in Delta's log, as text, and loads
neither Parquet nor Delta. The work is done by a process that ends with it, at the lowest priority, so that a merge
holds up no commit and leaves no memory behind.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from spanledger.lake_path import LakePath

from .logwatch import TableLog
from .storage import beside, each, table_logs
from .worker import LOG, run

MOST_SMALL_FILES: Final = 300
"""Small files beyond one a day that may be live before they are merged."""
_MOST_SMALL_FILES_OF: Final = {"settlements": 32}
"""Every question about a day opens those of its settlements."""
_LOOK_S: Final = 2.0
_LOOK_FAR_S: Final = 20.0
"""In a store, which wants to be paid for each look."""
_ALL_JOBS_S: Final = 1800.0
"""Between two times that all jobs are done: often enough that no replaced file drops out of Delta's log, after two
hours, before it is deleted."""
_FIRST_S: Final = 60.0
"""After the start, when a collector has better things to do."""
_NEXT_TRY_S: Final = 300.0
"""After a time that changed nothing: the disk may be full, or another machine faster."""
_IDLE_S: Final = 0.5


def most_small_files(table: str) -> int:
    """Return how many small files a table may have, beyond one a day."""
    return _MOST_SMALL_FILES_OF.get(table, MOST_SMALL_FILES)


def state_path(lake: LakePath) -> LakePath:
    """Return where it stands which job was done when."""
    return lake / "maintain.json"


def lock_path(lake: LakePath) -> Path:
    """Return the file whose lock those of one machine have that do jobs."""
    return beside(lake) / "maintain.lock"


def jobs_command(lake: LakePath, names: tuple[str, ...]) -> list[str]:
    """Return how to start the process that does jobs, all where none is named."""
    chosen = [part for name in names for part in ("--job", name)]
    return [sys.executable, "-m", "spanledger_collector.jobs", "--lake", str(lake), *chosen]


def make_step(_: Path, lake: LakePath) -> Callable[[], bool]:
    """Return the step of the loop: start what is due, and see what became of what was started."""
    os.nice(15)
    return Maintainer(lake).step


class Maintainer:
    """Looks after one lake."""

    def __init__(self, lake: LakePath, clock: Callable[[], float] = time.monotonic) -> None:
        self._lake = lake
        self._clock = clock
        self._logs: dict[str, TableLog] = {}
        self._jobs: subprocess.Popen[bytes] | None = None
        self._next_look = clock()
        self._next_all = clock() + _FIRST_S
        self._no_merge_before = float("-inf")

    def step(self) -> bool:
        """Look, where it is time; returns False always, because nobody has to wait for the rest."""
        if self._jobs is not None and self._jobs.poll() is not None:
            self._end(self._jobs)
            self._jobs = None
        if self._jobs is None and self._clock() >= self._next_look:
            self._next_look = self._clock() + (_LOOK_S if isinstance(self._lake, Path) else _LOOK_FAR_S)
            self._look()
        return False

    def _look(self) -> None:
        for folder in table_logs(self._lake):
            if folder.parent.name not in self._logs:
                self._logs[folder.parent.name] = TableLog(folder)
        each(self._lake, TableLog.read_on, self._logs.values())
        if self._logs and self._clock() >= self._next_all:
            self._next_all = self._clock() + _ALL_JOBS_S
            self._start()
        elif self._clock() >= self._no_merge_before and self._crowded():
            self._start("merge")

    def _crowded(self) -> list[str]:
        return [name for name, log in self._logs.items() if log.small > most_small_files(name)]

    def _start(self, *names: str) -> None:
        command = jobs_command(self._lake, names)
        # Its standard input is a pipe that ends with this process, and so does it then.
        self._jobs = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)  # noqa: S603

    def _end(self, jobs: subprocess.Popen[bytes]) -> None:
        told, _ = jobs.communicate()
        with contextlib.suppress(ValueError):
            for name, stands in json.loads(told).items():
                self._logs[name] = TableLog(self._lake / name / "_delta_log", stands["version"], stands["small"])
        if jobs.returncode:
            LOG.warning("the jobs ended (exit code %d); trying again later", jobs.returncode)
        if jobs.returncode or self._crowded():
            self._no_merge_before = self._clock() + _NEXT_TRY_S


if __name__ == "__main__":
    run("maintain", make_step, _IDLE_S)
