"""The settler process: the traces of spans that have been there for a while are looked at whole.

It has time: it runs at the lowest priority, looks for work every few seconds by one look at the log of `spans`, and
rests twenty times as long as it worked, so that it never takes more than a twentieth of a core, however large the
lake. Of the collectors on one lake it is enough if one settles; a lock in the lake keeps those of one machine from
doing the same work, and `settling` keeps all others from writing it twice.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Final

from spanledger.lake_path import LakePath
from spanledger.settings import load

from .lake import table_path
from .logwatch import LogWatch
from .settling import settle_new
from .storage import beside
from .worker import LOG, if_free, run

_LOOK_S: Final = 5.0
"""Between two looks for work."""
_REST: Final = 20
"""How many times as long as it worked it rests."""
_IDLE_S: Final = 0.5


def make_step(_: Path, lake: LakePath) -> Callable[[], bool]:
    """Return the step of the loop: settle what has been quiet, where it is time to look."""
    os.nice(15)
    return Settler(lake, timedelta(seconds=load().settle_after_s)).step


class Settler:
    """Settles a lake again and again, with rests."""

    def __init__(self, lake: LakePath, quiet: timedelta) -> None:
        self._lake = lake
        self._quiet = quiet
        self._look_s = min(_LOOK_S, quiet.total_seconds())
        self._log = LogWatch(table_path(lake) / "_delta_log")
        self._seen: int | None = None
        """How the log of `spans` stood, where nothing in it waits to be settled."""
        self._next = 0.0

    def step(self) -> bool:
        """Settle what is due; returns False always, because nobody has to wait for the rest."""
        if time.monotonic() >= self._next:
            began = time.monotonic()
            written = self._log.now()
            if written is not None and written != self._seen:
                with if_free(beside(self._lake) / "settle.lock") as free:
                    self._seen = None if not free or self._settle() else written
            worked = time.monotonic() - began
            self._next = time.monotonic() + max(self._look_s, _REST * worked)
        return False

    def _settle(self) -> bool:
        """Settle what has been quiet; returns whether more waits for it."""
        done = settle_new(self._lake, self._quiet)
        if done.decisions:
            LOG.info("settled %d traces: %d decisions", done.traces, done.decisions)
        return done.left


if __name__ == "__main__":
    run("settle", make_step, _IDLE_S)
