"""The ledger's own thread: it takes finished records, makes spans of them, and sends or spools them in batches.

It starts with the first call. Until then, and on the application's threads at all times, nothing of OpenTelemetry,
of the price book or of the network is touched. The queue is one that a finaliser may put into at any moment, which
rules out everything with an ordinary lock.
"""

from __future__ import annotations

import atexit
import contextlib
import importlib
import itertools
import os
import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Mapping
from contextvars import Context
from typing import TYPE_CHECKING, Final, TypeAlias

import _spanledger_boot as switch

from . import account, endings, faults
from .errors import SettingError
from .evidence import Lessons
from .fingerprints import make_fingerprints
from .guard import make_gate
from .record import Finished, Record, lose
from .settings import Settings, load, parse_pairs

if TYPE_CHECKING:
    from .content import Content
    from .delivery import Delivery, Haste
    from .guard.gate import Gate
    from .sdk import Endpoint, Request, Sdk
    from .tracing import SpanMaker

Making: TypeAlias = Generator[Record, None, None]
"""Makes records where they are taken, because they come by the thousand."""

EXIT_LIMIT_S: Final = 2.0
"""How long the end of the application may wait for the last spans; what is left then goes to the spool."""
LINGER_S: Final = 0.05
"""A record that comes alone waits this long for company; those that come faster wait for the batch delay."""
_SET_UP_LIMIT_S: Final = 5.0
_ALL: Final = 2**62


class _Flush:
    """Asks the worker to deliver all that was put before it."""

    __slots__ = ("delivered", "done", "haste", "last")

    def __init__(self, haste: Haste, *, last: bool) -> None:
        self.done = threading.Event()
        self.delivered = False
        self.haste: Haste = haste
        self.last = last
        """The worker ends after it."""


class Worker:
    """The thread, its queue, and what it sends."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.home = settings.home
        self.flushes_calls = endings.flushes_calls(settings)
        self.providers = parse_pairs(settings.providers, "SPANLEDGER_PROVIDERS")
        """End of a host's name, or host:port, to the provider there."""
        self.known_hosts: dict[tuple[str, object, object, str], str] = {}
        """Who was found to serve what an SDK called."""
        self.fingerprints = make_fingerprints(settings)
        self.lessons = Lessons()
        self._records: deque[Finished | Making] = deque()
        """What waits; a generator makes its records on this thread, as they are sent."""
        self._signals: queue.SimpleQueue[_Flush | None] = queue.SimpleQueue()
        """Wakes the thread: a request to flush, or None where a record is the first or the last of a batch."""
        self._collecting = False
        self._under_way: list[Finished] = []
        """Being encoded, sent or kept; not safe anywhere yet."""
        self._sent_at = float("-inf")
        self._ended = False
        self._maker: SpanMaker | None = None
        self._delivery: Delivery | None = None
        self.ready = threading.Event()
        """Set once nothing more is to be imported, whether that went well or not."""
        self.gate = make_gate(settings, self.ready)
        """What calls are held against before they are sent; None where the settings name no policy."""
        self._thread = threading.Thread(target=self._run, name="spanledger", daemon=True)
        # In a context of its own: it works for all, and must not hold the tags of who happened to be first.
        Context().run(self._thread.start)

    def add(self, record: Finished | Making) -> bool:
        """Take a record; False where the thread is too far behind: it is dropped and, if it is one, counted.

        How many calls a generator would have made is for who hands it over to tell.
        """
        waiting = len(self._records)
        if waiting >= self._settings.queue_size:
            if not isinstance(record, Generator):
                _lose("queue full", record)
            return False
        self._records.append(record)
        if self._ended:
            self._keep_left()
        # A switch of threads for every record would cost more than all else that a call does here.
        if not self._collecting or waiting + 1 == self._settings.batch_size:
            self._collecting = True
            self._signals.put(None)
        return True

    def flush(self, timeout_s: float, haste: Haste = "now", *, last: bool = False) -> bool:
        """Have everything put so far delivered; False if it is not, or not in time."""
        if self._ended or threading.current_thread() is self._thread:
            return False
        request = _Flush(haste, last=last)
        self._signals.put(request)
        return request.done.wait(timeout_s) and request.delivered

    def settle(self) -> None:
        """Have what was put so far delivered or spooled."""
        if threading.current_thread() is not self._thread:
            self.ready.wait(_SET_UP_LIMIT_S)
            self.flush(EXIT_LIMIT_S, "call")

    def end(self, limit_s: float) -> None:
        """Deliver what can be delivered within `limit_s`, spool the rest, and stop; ending twice is fine.

        A script that ends right after its first call waits for our imports too; they hang on no network.
        """
        try:
            if not self._ended:
                self.ready.wait(_SET_UP_LIMIT_S)
                deadline = time.monotonic() + limit_s
                self.flush(limit_s, last=True)
                self._thread.join(max(0.0, deadline - time.monotonic()))
        finally:
            self._ended = True
            self._keep_left()

    def _keep_left(self) -> None:
        """Spool what the thread did not get done: it has ended, or nobody will wait for it any more."""
        left = list(self._under_way) if self._thread.is_alive() else []
        self._under_way = []
        left += self._take(_ALL)
        if self._maker is None or self._delivery is None:
            if left:
                _lose("the process ended first", *left)
            return
        body = self._maker.encode(left)
        if body:
            self._delivery.keep(body)
        self._delivery.give_up()
        if not self._thread.is_alive():
            self._delivery.disconnect()

    def disown(self) -> None:
        """Close what a forked child has inherited; its parent goes on with the same."""
        if self._delivery is not None:
            self._delivery.disconnect()

    def _take(self, most: int) -> list[Finished]:
        taken: list[Finished] = []
        with contextlib.suppress(IndexError):
            while len(taken) < most:
                waiting = self._records.popleft()
                if isinstance(waiting, Generator):
                    taken.extend(itertools.islice(waiting, most - len(taken)))
                    if len(taken) == most:
                        self._records.appendleft(waiting)
                else:
                    taken.append(waiting)
        return taken

    def _is_making(self) -> bool:
        with contextlib.suppress(IndexError):
            return isinstance(self._records[0], Generator)
        return False

    def _run(self) -> None:
        try:
            self._set_up()
        finally:
            self.ready.set()
        request: _Flush | None = None
        while request is None or not request.last:
            try:
                request = self._wait()
                delivered = self._deliver_waiting(request.haste if request is not None else "none")
                account.post(self._settings.home)
            except Exception as error:
                faults.report("ledger held up", error)
                delivered = False
                time.sleep(LINGER_S)
            if request is not None:
                request.delivered = delivered
                request.done.set()

    def _set_up(self) -> bool:
        """Import and make what encodes and sends; where that fails, the next batch tries again."""
        try:
            if self._maker is None:
                key_id = self.fingerprints.key_id if self.fingerprints is not None else None
                self._maker = importlib.import_module(".tracing", __package__).SpanMaker(self._settings, key_id)
            if self._delivery is None:
                self._delivery = importlib.import_module(".delivery", __package__).Delivery(self._settings)
        except SettingError as error:
            _switch_off(error)
        except Exception as error:
            faults.report("spans are not sent", error)
        return self._maker is not None and self._delivery is not None

    def _deliver_waiting(self, haste: Haste) -> bool:
        """Deliver a batch, or in haste all that waits; True if the collector has it."""
        delivered = self._deliver(self._take(self._settings.batch_size), haste)
        while haste != "none" and self._records:
            next_haste: Haste = haste if delivered else "none"  # one time-out is enough to know that it hangs
            delivered = self._deliver(self._take(self._settings.batch_size), next_haste) and delivered
        return delivered

    def _deliver(self, records: list[Finished], haste: Haste) -> bool:
        if not self._set_up() or self._maker is None or self._delivery is None:
            if records:
                _lose("no way to send", *records)
            return False
        try:
            if not records:
                return self._delivery.send_spooled(haste)
            self._under_way, self._sent_at = records, time.monotonic()
            body = self._maker.encode(records)
            return self._delivery.deliver(body, haste) if body else self._delivery.send_spooled(haste)
        except Exception as error:
            _lose(error, *records)
            return False
        finally:
            self._under_way = []

    def _wait(self) -> _Flush | None:
        """Wait for a batch: full, or as old as the batch delay, or asked for.

        Every waking of this thread costs the application's more than the calls in between: two threads that want the
        interpreter drive each other from core to core. So a busy process wakes it once a batch.
        """
        delay_s = self._settings.batch_delay_ms / 1000
        since_s = time.monotonic() - self._sent_at
        if since_s < delay_s:
            return self._collect(delay_s - since_s)
        if not self._records:
            self._collecting = False
            request = None
            if not self._records:  # looked at again: a record that comes from now on wakes us
                request = self._next_signal(self._delivery.retry_in_s() if self._delivery is not None else None)
            if request is not None or not self._records:
                return request
        request = self._collect(min(LINGER_S, delay_s))
        if request is None and len(self._records) > 1:
            request = self._collect(delay_s - LINGER_S)
        return request

    def _collect(self, for_s: float) -> _Flush | None:
        """Have records come together for a while, unless they are a batch already."""
        self._collecting = True
        if for_s <= 0 or len(self._records) >= self._settings.batch_size or self._is_making():
            return None
        return self._next_signal(for_s)

    def _next_signal(self, timeout_s: float | None) -> _Flush | None:
        with contextlib.suppress(queue.Empty):
            return self._signals.get(timeout=timeout_s)
        return None


def _lose(why: Exception | str, *records: Finished | Making) -> None:
    """Count calls that never reach the ledger."""
    faults.report("calls lost from the ledger", why, count=len(records))
    for record in records:
        lose(record)


_worker: Worker | None = None
_before_exit: list[Callable[[], None]] = []
_starting = threading.RLock()  # a signal handler may make a call while the thread below it is starting
_half_started = False
_exit_known = False

listen: Callable[[Sdk, Request], tuple[Content | None, Endpoint]] | None = None
"""Takes what is said and heard in a call; None, as by default, where that is not captured."""
flushes_calls = False
"""Whether the end of an outermost call or step calls `settle`."""


def start() -> Worker | None:
    """Return the thread, and start it if it does not run yet; called when work begins, never by a finaliser.

    Settings that cannot be read switch us off for good, with a line on stderr: None.
    """
    global _half_started
    if _worker is not None:
        return _worker
    with _starting:
        if _half_started:
            faults.report("calls lost from the ledger", "made by a signal handler during the first")
            return None
        _half_started = True
        try:
            return _start()
        finally:
            _half_started = False


def _start() -> Worker | None:
    global _worker, _exit_known, flushes_calls, listen
    if _worker is not None:  # another thread was faster
        return _worker
    if not _exit_known:
        _exit_known = True
        atexit.register(_at_exit)
    try:
        settings = load()
        if settings.capture_content:
            listen, settings = importlib.import_module(".content", __package__).prepare(settings)
        else:
            listen = None
        _worker = Worker(settings)
    except SettingError as error:
        _switch_off(error)
        return None
    flushes_calls = _worker.flushes_calls
    endings.at_end_of_pool_worker(_at_exit)
    return _worker


def _switch_off(error: SettingError) -> None:
    if switch.on:
        switch.complain(f"switched off: {error}")
        switch.switch_off()


def add(record: Finished | Making) -> bool:
    """Hand a record, or a generator that makes many and never raises, to the thread; never raises, never waits.

    False where it is dropped.
    """
    if _worker is not None:
        return _worker.add(record)
    _lose("not started", record)
    return False


def is_running() -> bool:
    """Tell whether the settings in force were read."""
    return _worker is not None


def providers() -> Mapping[str, str]:
    """Return who serves which host, as the user said; empty before `start`."""
    return _worker.providers if _worker is not None else {}


def known_hosts() -> dict[tuple[str, object, object, str], str]:
    """Return who was found to serve which host and port, by SDK; forgotten with the settings in force."""
    return _worker.known_hosts if _worker is not None else {}


def gate() -> Gate | None:
    """Return what calls are held against; None where there is no policy, or before `start`."""
    return _worker.gate if _worker is not None else None


def flush(timeout_s: float = 5.0) -> bool:
    """Send everything recorded so far; True once the collector has all of it.

    False after `timeout_s` seconds, or when the collector is away; the spans are then kept and sent later.
    """
    return _worker is None or not switch.on or _worker.flush(timeout_s)


def settle() -> None:
    """Wait until what is recorded has left this process: for the collector or, where it is away, for the spool.

    The first call waits for our imports too, as a script that ends right after it does: who is frozen now may never be
    thawed. Never called by a finaliser, which may interrupt the very thread that it would wait for.
    """
    if _worker is not None:
        _worker.settle()


def before_exit(step: Callable[[], None]) -> None:
    """Run `step` before the last flush."""
    _before_exit.append(step)


def close() -> None:
    """Send or spool what is left and stop the thread; the next call starts a new one."""
    global _worker
    _at_exit()
    if _worker is not None and _worker.gate is not None:
        _worker.gate.close()
    _worker = None


def _at_exit() -> None:
    try:
        worker = _worker
        if worker is not None:
            for step in _before_exit:
                step()
            if worker.gate is not None:
                worker.gate.share()
            worker.end(EXIT_LIMIT_S)
        account.post(worker.home if worker is not None else load().home)
    except SettingError:
        pass  # told when it switched us off
    except KeyboardInterrupt:
        pass  # of the wait, by someone in a hurry; what was not sent is in the spool
    except Exception as error:
        faults.report("last calls lost from the ledger", error)


def _before_fork() -> None:
    # A module that is half imported when the process forks would stay so in the child, its lock held for good.
    if _worker is not None:
        _worker.ready.wait(_SET_UP_LIMIT_S)


def _after_fork_in_child() -> None:
    global _worker, _starting, _half_started
    # The parent's thread is not here, and its queue is the parent's to send.
    if _worker is not None:
        _worker.disown()
    _worker, _half_started = None, False
    _starting = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_child=_after_fork_in_child)
