"""A collector whose stages die at their worst places, now and then: started as a program in place of the real one.

    python tests/mortal_collector.py CHANCE MERGE_AT DEATHS --home ... --lake ...

CHANCE is how likely a stage dies each time it comes to such a place, MERGE_AT how many small files are merged, and
DEATHS a file that gets a line for each death. The same program is each of the stages, and what the maintainer starts,
if their name follows.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any, NoReturn

from spanledger.lake_path import LakePath
from spanledger_collector import commit, convert, jobs, maintain, serve, settle
from spanledger_collector.supervise import ChildCommand
from spanledger_collector.worker import run

STAGES: dict[str, ModuleType] = {"convert": convert, "commit": commit, "settle": settle, "maintain": maintain}
PLACES = {
    "convert": ("before write_manifest", "after write_manifest"),
    "commit": (
        "before append_unless_changed",
        "after append_unless_changed",
    ),
    "settle": (),
    "maintain": (),
    "jobs": ("within merge_small_files", "after merge_small_files"),
}
"""Process -> where it dies: before or after a function of its module, or while that runs."""
LONGEST_S = 0.05
"""After which a stage dies within a function."""


class Fate:
    """Decides when a stage dies, and does it."""

    def __init__(self, chance: float, deaths: Path) -> None:
        self._chance = chance
        self._deaths = deaths
        self._random = random.Random()

    def strikes(self) -> bool:
        """Say whether it is time."""
        return self._random.random() < self._chance

    def kill(self, place: str) -> NoReturn:
        """Leave a line and die as by kill -9."""
        with self._deaths.open("a") as lines:
            lines.write(place + "\n")
        os.kill(os.getpid(), signal.SIGKILL)
        raise SystemExit

    def kill_within(self, place: str) -> None:
        """Die from another thread, a moment later."""
        time.sleep(self._random.uniform(0, LONGEST_S))
        self.kill(place)

    def lie_in_wait(self, module: ModuleType, place: str) -> None:
        """Make a function of a module the place to die."""
        when, name = place.split()
        plain: Callable[..., Any] = getattr(module, name)

        def fatal(*args: Any, **kwargs: Any) -> Any:
            struck = self.strikes()
            if struck and when == "before":
                self.kill(place)
            if struck and when == "within":
                threading.Thread(target=self.kill_within, args=(place,), daemon=True).start()
            result = plain(*args, **kwargs)
            if struck and when == "after":
                self.kill(place)
            return result

        setattr(module, name, fatal)


def main(chance: str, merge_at: str, deaths: str, *rest: str) -> None:
    """Be the collector, or one of its stages."""
    me = (sys.executable, __file__, chance, merge_at, deaths)
    name = rest[0]
    if name not in PLACES:

        def stage(name: str, home: Path, lake: LakePath) -> ChildCommand:
            return ChildCommand(name, (*me, name, "--home", str(home), "--lake", str(lake)))

        serve.stage = stage
        serve.main(rest)
        return
    plain = maintain.jobs_command
    maintain.jobs_command = lambda lake, names: [*me, "jobs", *plain(lake, names)[3:]]
    maintain.MOST_SMALL_FILES = int(merge_at)  # type: ignore[misc]
    maintain._LOOK_S, maintain._NEXT_TRY_S = 0.1, 0.5  # type: ignore[misc]
    module = STAGES.get(name, jobs)
    fate = Fate(float(chance), Path(deaths))
    for place in PLACES[name]:
        fate.lie_in_wait(module, place)
    sys.argv[1:] = rest[1:]
    if name == "jobs":
        jobs.main()
    else:
        run(name, module.make_step)


if __name__ == "__main__":
    main(*sys.argv[1:])
