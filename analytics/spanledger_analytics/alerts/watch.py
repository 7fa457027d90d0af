"""Evaluating again and again: what the process `alert` does, and what it does while there are no rules."""

from __future__ import annotations

import logging
import os
import resource
import sqlite3
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from spanledger.entries import is_being_written
from spanledger.errors import SpanledgerError
from spanledger.settings import Settings
from spanledger_analytics.connection import Ledger
from spanledger_analytics.reports.calendar import Calendar
from spanledger_analytics.scope import EVERYTHING

from .delivery import Delivery
from .evaluate import evaluate
from .lookout import Lookout
from .rules import Rules
from .rules_file import read_rules
from .store import Store

LOG: Final = logging.getLogger("spanledger.alerts")


class Watch:
    """Evaluates the rules of one file over one lake; the file is read again when it changes."""

    def __init__(self, settings: Settings, path: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self._path = path
        self._home = settings.home
        self._clock = clock
        self._calendar = Calendar(settings.zone, settings.billing_day)
        self._lookout = Lookout(Ledger(settings.lake, EVERYTHING), self._calendar)
        self._store = Store(settings.home)
        self._rules = Rules()
        self._are_known = False
        """Whether the file has been read, or found not to be there: until then no alert is of a rule that is gone."""
        self._stamp: tuple[int, int] | None = None
        self._delivery: Delivery | None = None
        self._next = clock()

    def step(self) -> None:
        """Evaluate, where it is time."""
        if self._clock() < self._next:
            return
        self._read_again()
        self._next = self._clock() + self._rules.pace.every.total_seconds()
        if self._rules.rules or (self._are_known and self._store.alerts()):
            self._evaluate()

    def stop(self) -> None:
        """Let what is being sent be sent, and end."""
        if self._delivery is not None:
            self._delivery.stop()
        self._store.close()

    def _evaluate(self) -> None:
        began, used = time.monotonic(), _cpu_s()
        try:
            evaluate(self._rules, self._lookout, self._store, datetime.now(UTC))
            took_ms, cpu_ms = (round(seconds * 1000) for seconds in (time.monotonic() - began, _cpu_s() - used))
            self._store.put_facts(took_ms=str(took_ms), cpu_ms=str(cpu_ms), pid=str(os.getpid()))
        except (OSError, sqlite3.Error, SpanledgerError) as error:
            LOG.warning("not evaluated (%s); it is tried again", error)
            return
        if self._delivery is not None:
            self._delivery.wake()

    def _read_again(self) -> None:
        """Take the rules of the file, if it has changed; those that can't be used leave the ones before in force."""
        try:
            found = self._path.stat()
            stamp = found.st_mtime_ns, found.st_size
        except FileNotFoundError:
            stamp = None
            self._are_known = True
        except OSError as error:
            LOG.warning("%s can't be looked at (%s); the rules before it stay in force", self._path, error)
            return
        if stamp == self._stamp or (stamp and self._rules.rules and is_being_written(stamp[0])):
            return
        self._stamp = stamp
        try:
            rules = Rules() if stamp is None else read_rules(self._path)
        except SpanledgerError as error:
            LOG.error("%s; the rules before it stay in force", error)
            self._store.put_facts(file=str(error))
            return
        self._store.put_facts(file="")
        LOG.info("%d rules of %s", len(rules.rules), self._path)
        self._rules, self._are_known = rules, True
        if self._delivery is not None:
            self._delivery.stop()
        self._delivery = Delivery(self._home, rules)


def _cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime
