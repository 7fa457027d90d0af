"""The alert process: the rules of `alerts.toml` are held against the lake every 20 seconds, and what fires is told.

It also sets the accounts of the policy's budgets right by the lake (`controls.watch`), so that one process looks at the
lake now and then, not two. Until there is a file of rules, or a policy whose accounts are shared, it only looks for
them, and loads neither DuckDB nor Delta. There is one such process for each home, held to it by a lock, however many
collectors are started on it.
"""

from __future__ import annotations

import atexit
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final

from spanledger.lake_path import LakePath
from spanledger.settings import Settings, load
from spanledger_collector.supervise import ChildCommand
from spanledger_collector.worker import run

from .controls.watch import BudgetWatch

if TYPE_CHECKING:
    from .alerts.watch import Watch

_MODULE: Final = "spanledger_analytics.alert"
"""Not `__name__`, which is `__main__` in the process itself."""
_IDLE_S: Final = 0.25


def alert_command(home: Path, lake: LakePath) -> ChildCommand:
    """Return how to start the process that evaluates the rules of a home, beside a collector."""
    return ChildCommand("alert", (sys.executable, "-m", _MODULE, "--home", str(home), "--lake", str(lake)))


def make_step(home: Path, lake: LakePath) -> Callable[[], bool]:
    """Return the step of the loop: look at rules and at budgets, where there are some, and it is time."""
    os.nice(5)
    settings = load(home=home, lake=lake)
    rules, budgets = Watcher(settings), BudgetWatch(settings)

    def step() -> bool:
        budgets.step()
        return rules.step()

    return step


class Watcher:
    """Waits for rules, and has them evaluated from then on."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._path = Path(settings.alerts).expanduser() if settings.alerts else settings.home / "alerts.toml"
        self._watch: Watch | None = None

    def step(self) -> bool:
        """Evaluate, where there are rules and it is time; returns False always: nobody has to wait for the rest."""
        if self._watch is None and self._path.exists():
            from .alerts.watch import Watch

            self._watch = Watch(self._settings, self._path)
            atexit.register(self._watch.stop)
        if self._watch is not None:
            self._watch.step()
        return False


if __name__ == "__main__":
    run("alert", make_step, _IDLE_S)
