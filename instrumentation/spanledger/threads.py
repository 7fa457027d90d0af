"""Tags and the open step go along into threads and into the work of thread pools.

Python hands a context to tasks and not to threads, so `Thread.start` and `ThreadPoolExecutor.submit` are wrapped, with
the first tags or the first step. Only our own two variables go along, never the application's: what else a thread
sees must not depend on whether it is traced. A thread keeps what it was started with for as long as it lives, as
Python's own do where they inherit a context; a pool's thread keeps nothing from one piece of work to the next.
"""

from __future__ import annotations

import functools
import sys
import threading
from collections.abc import Callable, Mapping
from concurrent.futures.thread import ThreadPoolExecutor
from types import MethodType
from typing import Any, Final

import _spanledger_boot as switch

from . import faults, spans, tagging

_tags: Final = tagging.current
_step: Final = spans.current
_MARK: Final = "_spanledger"
_installing = threading.RLock()  # a signal handler may set tags, too
_ours: dict[tuple[type, str], tuple[object, object]] = {}
"""Class and name to what stood there before, and ours."""


def install() -> None:
    """Wrap the methods; does nothing where that was done before."""
    with _installing:
        _replace(threading.Thread, "start", _around_start)
        # OpenTelemetry's own instrumentation gives timers a `start` besides that of threads.
        _replace(threading.Timer, "start", _around_start)
        _replace(ThreadPoolExecutor, "submit", _around_submit)


def restore() -> None:
    """Put back what was there, except where somebody has wrapped ours: those go straight through."""
    with _installing:
        for (owner, name), (before, ours) in _ours.items():
            if owner.__dict__.get(name) is ours:
                setattr(owner, name, before)


def _replace(kind: type, name: str, around: Callable[[Callable[..., Any]], Callable[..., Any]]) -> None:
    # gevent puts a subclass in the place of `Thread`.
    owner = next(base for base in kind.__mro__ if name in base.__dict__)
    # What somebody put there before us may need to be looked up to be called, as wrapt's wrappers do.
    before, plain = owner.__dict__[name], getattr(owner, name)
    # The mark is copied by whoever wraps ours in the usual ways.
    if not hasattr(plain, _MARK):
        ours = functools.wraps(plain)(around(plain))
        setattr(ours, _MARK, True)
        setattr(owner, name, ours)
        _ours[owner, name] = before, ours


class _Carried:
    """Work to be done with the tags and below the step of those who gave it out."""

    __slots__ = ("_held", "_open", "_work")

    def __init__(self, held: Mapping[str, str], open_step: spans.OpenSpan | None, work: Callable[..., Any]) -> None:
        self._held = held
        self._open = open_step
        self._work = work

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        of_tags, of_step = _tags.set(self._held), _step.set(self._open)
        try:
            return self._work(*args, **kwargs)
        finally:
            _step.reset(of_step)
            _tags.reset(of_tags)


def _around_submit(plain: Callable[..., Any]) -> Callable[..., Any]:
    def submit(pool: Any, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        held, open_step = _tags.get(), _step.get()
        if not (switch.on and (held or open_step is not None)) or _is_elsewhere(pool):
            return plain(pool, fn, *args, **kwargs)
        # The pool may start a thread now. It will work for others, too, so it must not carry what is in force here.
        of_tags, of_step = _tags.set(tagging.NONE), _step.set(None)
        try:
            return plain(pool, _Carried(held, open_step, fn), *args, **kwargs)
        finally:
            _step.reset(of_step)
            _tags.reset(of_tags)

    return submit


def _is_elsewhere(pool: object) -> bool:
    """Tell a pool of interpreters (Python 3.14): it is made of threads, and pickles what they are to do."""
    kind = getattr(sys.modules.get("concurrent.futures.interpreter"), "InterpreterPoolExecutor", None)
    return kind is not None and isinstance(pool, kind)


def _around_start(plain: Callable[[threading.Thread], None]) -> Callable[[threading.Thread], None]:
    def start(thread: threading.Thread) -> None:
        held, open_step = _tags.get(), _step.get()
        # From Python 3.14 on a thread may be given a context; that one says what it sees.
        if not (switch.on and (held or open_step is not None)) or getattr(thread, "_context", None) is not None:
            plain(thread)
            return
        run = _shadow_run(held, open_step, thread)
        try:
            plain(thread)
        except BaseException:
            if run is not None:
                run.withdraw(thread)
            raise

    return start


def _shadow_run(held: Mapping[str, str], open_step: spans.OpenSpan | None, thread: threading.Thread) -> _Run | None:
    try:
        return _Run(held, open_step, thread)
    except Exception as error:
        faults.report("thread without tags", error)
        return None


class _Run:
    """Shadows `run` of one thread until it runs, whichever class has that method.

    It stands there as a bound method, because others who shadow `run` (Sentry does) look for its function.
    """

    __slots__ = ("_before", "_carried")

    def __init__(self, held: Mapping[str, str], open_step: spans.OpenSpan | None, thread: threading.Thread) -> None:
        self._carried: _Carried | None = _Carried(held, open_step, thread.run)
        self._before: object = thread.__dict__.get("run")
        thread.__dict__["run"] = MethodType(self, thread)

    def __call__(self, thread: threading.Thread, *args: Any, **kwargs: Any) -> None:
        carried, self._carried = self._carried, None
        self.withdraw(thread)
        if carried is not None:
            carried(*args, **kwargs)

    def withdraw(self, thread: threading.Thread) -> None:
        """Take the shadow away: with it, the thread would hold itself."""
        own = thread.__dict__
        if getattr(own.get("run"), "__func__", None) is not self:
            return
        if self._before is None:
            del own["run"]
        else:
            own["run"] = self._before
