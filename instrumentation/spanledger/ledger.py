"""The ledger's own thread: it takes finished records, makes spans of them, and sends or spools them in batches.

It starts with the first call. Until then, and on the application's threads at all times, nothing of OpenTelemetry,
of the price book or of the network is touched. The queue is one that a finaliser may put into at any moment, which
rules out everything with an ordinary lock.
"""

from __future__ import annotations

import atexit
import contextlib
import importlib
import os
import queue
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from contextvars import Context
from typing import TYPE_CHECKING, Final

import _spanledger_boot as switch

from . import faults
from .errors import SettingError
from .record import Record
from .settings import Settings, load, parse_pairs

if TYPE_CHECKING:
    from .delivery import Delivery
    from .tracing import SpanMaker

EXIT_LIMIT_S: Final = 2.0
"""How long the end of the application may wait for the last spans; what is left then goes to the spool."""
_SET_UP_LIMIT_S: Final = 5.0


class _Flush:
    """Asks the worker to deliver all that was put before it."""

    __slots__ = ("delivered", "done", "last")

    def __init__(self, *, last: bool) -> None:
        self.done = threading.Event()
        self.delivered = False
        self.last = last
        """The worker ends after it."""


class Worker:
    """The thread, its queue, and what it sends."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.providers = parse_pairs(settings.providers, "SPANLEDGER_PROVIDERS")
        """End of a host's name, or host:port, to the provider there."""
        self.known_hosts: dict[tuple[str, object, object], str] = {}
        """Who was found to serve what an SDK called."""
        self._records: deque[Record] = deque()
        self._signals: queue.SimpleQueue[_Flush | None] = queue.SimpleQueue()
        """Wakes the thread: a request to flush, or None where a record is the first or the last of a batch."""
        self._collecting = False
        self._maker: SpanMaker | None = None
        self._delivery: Delivery | None = None
        self.ready = threading.Event()
        """Set once nothing more is to be imported, whether that went well or not."""
        self._thread = threading.Thread(target=self._run, name="spanledger", daemon=True)
        # In a context of its own: it works for all, and must not hold the tags of who happened to be first.
        Context().run(self._thread.start)

    def add(self, record: Record) -> None:
        """Take a record; drop and count it where the thread is too far behind."""
        waiting = len(self._records)
        if waiting >= self._settings.queue_size:
            faults.report("calls lost from the ledger", "queue full")
            return
        self._records.append(record)
        # A switch of threads for every record would cost more than all else that a call does here.
        if not self._collecting or waiting + 1 == self._settings.batch_size:
            self._collecting = True
            self._signals.put(None)

    def flush(self, timeout_s: float, *, last: bool = False) -> bool:
        """Have everything put so far delivered; False if it is not, or not in time."""
        request = _Flush(last=last)
        self._signals.put(request)
        return request.done.wait(timeout_s) and request.delivered

    def end(self, limit_s: float) -> None:
        """Deliver what can be delivered within `limit_s`, spool the rest, and stop.

        A script that ends right after its first call waits for our imports too; they hang on no network.
        """
        self.ready.wait(_SET_UP_LIMIT_S)
        deadline = time.monotonic() + limit_s
        self.flush(limit_s, last=True)
        self._thread.join(max(0.0, deadline - time.monotonic()))
        if self._thread.is_alive() and self._maker is not None and self._delivery is not None:
            self._delivery.spool_in_flight()
            left = self._take(len(self._records))
            if left:
                self._delivery.keep(self._maker.encode(left))
        elif self._thread.is_alive():
            faults.report("calls lost from the ledger", "the process ended first", count=len(self._records))

    def _take(self, most: int) -> list[Record]:
        taken: list[Record] = []
        with contextlib.suppress(IndexError):
            while len(taken) < most:
                taken.append(self._records.popleft())
        return taken

    def _run(self) -> None:
        try:
            self._maker = importlib.import_module(".tracing", __package__).SpanMaker(self._settings)
            self._delivery = importlib.import_module(".delivery", __package__).Delivery(self._settings)
        except Exception as error:
            faults.report("spans are not sent", error)
        finally:
            self.ready.set()
        request: _Flush | None = None
        while request is None or not request.last:
            request = self._wait()
            delivered = self._deliver_waiting(request)
            if request is not None:
                request.delivered = delivered
                request.done.set()

    def _deliver_waiting(self, request: _Flush | None) -> bool:
        """Deliver a batch, or with a request to flush all that waits; True if the collector has it."""
        hurry = request is not None
        delivered = self._deliver(self._take(self._settings.batch_size), hurry=hurry)
        while hurry and self._records:
            delivered = self._deliver(self._take(self._settings.batch_size), hurry=True) and delivered
        return delivered

    def _deliver(self, records: list[Record], *, hurry: bool) -> bool:
        if self._maker is None or self._delivery is None:
            if records:
                faults.report("calls lost from the ledger", "no way to send", count=len(records))
            return False
        try:
            if records:
                return self._delivery.deliver(self._maker.encode(records), hurry=hurry)
            return self._delivery.send_spooled(hurry=hurry)
        except Exception as error:
            faults.report("calls lost from the ledger", error, count=len(records))
            return False

    def _wait(self) -> _Flush | None:
        """Wait for a batch: full, or as old as the batch delay, or asked for."""
        self._collecting = False  # before the look at what waits: a record that comes in between must wake us
        if not self._records:
            retry_s = self._delivery.retry_in_s() if self._delivery is not None else None
            with contextlib.suppress(queue.Empty):
                request = self._signals.get(timeout=retry_s)
                if request is not None:
                    return request
        self._collecting = True
        if not self._records or len(self._records) >= self._settings.batch_size:
            return None
        with contextlib.suppress(queue.Empty):
            return self._signals.get(timeout=self._settings.batch_delay_ms / 1000)
        return None


_worker: Worker | None = None
_before_exit: list[Callable[[], None]] = []
_starting = threading.Lock()
_exit_known = False


def start() -> bool:
    """Start the thread if it does not run yet; called when work begins, never by a finaliser.

    Settings that cannot be read switch us off for good, with a line on stderr: False.
    """
    if _worker is not None:
        return True
    with _starting:
        return _start()


def _start() -> bool:
    global _worker, _exit_known
    if _worker is not None:  # another thread was faster
        return True
    try:
        _worker = Worker(load())
    except SettingError as error:
        switch.complain(f"switched off: {error}")
        switch.switch_off()
        return False
    if not _exit_known:
        _exit_known = True
        atexit.register(_at_exit)
    _end_with_process_pool()
    return True


def add(record: Record) -> None:
    """Hand a record to the thread; never raises, never waits."""
    if _worker is not None:
        _worker.add(record)
    else:
        faults.report("calls lost from the ledger", "not started")


def is_running() -> bool:
    """Tell whether the settings in force were read."""
    return _worker is not None


def providers() -> Mapping[str, str]:
    """Return who serves which host, as the user said; empty before `start`."""
    return _worker.providers if _worker is not None else {}


def known_hosts() -> dict[tuple[str, object, object], str]:
    """Return who was found to serve which host and port, by SDK; forgotten with the settings in force."""
    return _worker.known_hosts if _worker is not None else {}


def flush(timeout_s: float = 5.0) -> bool:
    """Send everything recorded so far; True once the collector has all of it.

    False after `timeout_s` seconds, or when the collector is away; the spans are then kept and sent later.
    """
    return _worker is None or not switch.on or _worker.flush(timeout_s)


def before_exit(step: Callable[[], None]) -> None:
    """Run `step` before the last flush."""
    _before_exit.append(step)


def close() -> None:
    """Send or spool what is left and stop the thread; the next call starts a new one."""
    global _worker
    _at_exit()
    _worker = None


def _at_exit() -> None:
    worker = _worker
    if worker is None:
        return
    try:
        for step in _before_exit:
            step()
        worker.end(EXIT_LIMIT_S)
    except Exception as error:
        faults.report("last calls lost from the ledger", error)


def _end_with_process_pool() -> None:
    """Have a multiprocessing child flush too: it leaves by os._exit, past atexit."""
    util = sys.modules.get("multiprocessing.util")
    process = sys.modules.get("multiprocessing.process")
    if util is not None and process is not None and process.parent_process() is not None:
        util.Finalize(None, _at_exit, exitpriority=0)


def _before_fork() -> None:
    # A module that is half imported when the process forks would stay so in the child, its lock held for good.
    if _worker is not None:
        _worker.ready.wait(_SET_UP_LIMIT_S)


def _after_fork_in_child() -> None:
    global _worker, _starting
    # The parent's thread is not here, and its queue is the parent's to send.
    _worker = None
    _starting = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_child=_after_fork_in_child)
