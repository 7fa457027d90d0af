"""The rollup process: days that are over and quiet are counted into the rollups, and what pages ask of them is kept.

It only watches, and loads neither DuckDB nor Delta: it looks whether the logs of the lake have changed. The counting
is done by a process that ends with it, at the lowest priority and in bounded memory, and rests twenty times as long as
it worked, so that it never takes more than a twentieth of a core. Until a day is counted, questions read its spans; so
nothing is wrong where nobody counts, or somebody dies of it.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import logging
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from spanledger.lake_path import LakePath, lake_path
from spanledger_collector.logwatch import LogWatch
from spanledger_collector.storage import beside
from spanledger_collector.supervise import ChildCommand
from spanledger_collector.worker import LOG, if_free, in_a_sentence, run

_MODULE: Final = "spanledger_analytics.rollup"
"""Not `__name__`, which is `__main__` in the process itself."""
_FIRST_S: Final = 5.0
"""After the start, when a collector has better things to do."""
_LOOK_S: Final = 60.0
_REST: Final = 20
"""How many times as long as it worked it rests."""
_IDLE_S: Final = 0.5
_AHEAD_S: Final = 60.0
"""So long it answers what pages will ask, before it rests."""
_COUNTED_FROM: Final = ("spans", "superseded", "settlements")
"""Named here, because `tables` loads Arrow."""


def rollup_command(home: Path, lake: LakePath) -> ChildCommand:
    """Return how to start the process that keeps the rollups of a lake, beside a collector."""
    argv = (sys.executable, "-m", _MODULE, "--home", str(home), "--lake", str(lake))
    return ChildCommand("rollup", argv)


def make_step(_: Path, lake: LakePath) -> Callable[[], bool]:
    """Return the step of the loop: start the counting where it is time, and see what became of it."""
    os.nice(15)
    return Roller(lake).step


class Roller:
    """Has the rollups of one lake counted, again and again."""

    def __init__(self, lake: LakePath, clock: Callable[[], float] = time.monotonic) -> None:
        self._lake = lake
        self._clock = clock
        self._counting: subprocess.Popen[bytes] | None = None
        self._began = 0.0
        self._next = clock() + _FIRST_S
        self._logs = {table: LogWatch(lake / table / "_delta_log") for table in _COUNTED_FROM}
        self._seen: dict[str, int] | None = None
        """How the logs stood, where nothing that is older waits to be counted."""
        self._looked: dict[str, int] = {}

    def step(self) -> bool:
        """Look, where it is time; returns False always, because nobody has to wait for the rest."""
        if self._counting is not None and self._counting.poll() is not None:
            self._end(self._counting)
            self._counting = None
        if self._counting is None and self._clock() >= self._next:
            self._next = self._clock() + _LOOK_S
            self._looked = self._stand()
            if self._looked and self._looked != self._seen:
                self._began = self._clock()
                command = [sys.executable, "-m", _MODULE, "--once", "--lake", str(self._lake)]
                # Its standard input is a pipe that ends with this process, and so does it then.
                self._counting = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)  # noqa: S603
        return False

    def _end(self, counting: subprocess.Popen[bytes]) -> None:
        told, _ = counting.communicate()
        waits = True
        with contextlib.suppress(ValueError):
            waits = json.loads(told)["waiting"]
        self._seen = None if waits or counting.returncode else self._looked
        if counting.returncode:
            LOG.warning("the counting ended (exit code %d); trying again later", counting.returncode)
        self._next = self._clock() + max(_LOOK_S, _REST * (self._clock() - self._began))

    def _stand(self) -> dict[str, int]:
        stand = {table: log.now() for table, log in self._logs.items()}
        return {table: now for table, now in stand.items() if now is not None}


def lock_path(lake: LakePath) -> Path:
    """Return the file whose lock those of one machine have that count."""
    return beside(lake) / "rollup.lock"


def count_once(lake: LakePath) -> dict[str, object]:
    """Count the days that are due, unless another process of this machine does; says if there are others that wait."""
    from spanledger_collector.tables import SETTLEMENTS, SUPERSEDED

    from .connection import Ledger
    from .counting import due_days, refresh, tidy
    from .kept import tidy_kept
    from .reports.ahead import keep_ahead
    from .scope import EVERYTHING
    from .snapshot import Snapshots

    with if_free(lock_path(lake)) as free:
        if not free:
            return {"counted": 0, "waiting": True}
        snapshot = Snapshots(lake, (SUPERSEDED, SETTLEMENTS)).now()
        done = refresh(snapshot, due_days(snapshot, datetime.now(UTC)))
        tidy(lake)
        now = Snapshots(lake, (SUPERSEDED, SETTLEMENTS)).now()
        left = keep_ahead(Ledger(lake, EVERYTHING), datetime.now(UTC).date(), _AHEAD_S)
        tidy_kept(lake)
    return {"counted": len(done.counted), "waiting": left or len(now.counted()) < len(now.fingerprints())}


def main() -> None:
    """Keep the rollups, or count once and print what was done."""
    if "--once" not in sys.argv:
        run("rollup", make_step, _IDLE_S)
        return
    parser = argparse.ArgumentParser(prog="spanledger-rollup")
    parser.add_argument("--once", action="store_true")
    parser.add_argument("--lake", type=lake_path, required=True)
    lake = parser.parse_args().lake
    logging.basicConfig(stream=sys.stderr, format="rollup: %(message)s", level=logging.WARNING)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    with in_a_sentence(lake):
        print(json.dumps(count_once(lake)))


def _end_with_parent() -> None:
    """End at once when standard input does: whatever is left half done is nowhere in the log."""
    while os.read(0, 4096):  # not through sys.stdin, whose lock would be held at the end
        pass
    os._exit(1)


if __name__ == "__main__":
    main()
