"""A question in SQL on its way: asked by a thread of its own, so that the page stays alive and can stop it.

SQL is run as somebody else's who may do no harm (`box`): whoever opens a link runs what its writer wrote. So a link may
run by itself: it reads what the reader may see anyway, writes nothing, reaches no network, and ends in time. What it
could take is time, so only a few run at once, whoever asks, and one whose page was left makes room.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

import pyarrow as pa

from spanledger.errors import SpanledgerError
from spanledger_analytics.box import Box
from spanledger_analytics.box_process import Limits
from spanledger_analytics.errors import QueryError
from spanledger_analytics.scope import Scope
from spanledger_analytics.snapshot import LakeFiles

LIMITS: Final = Limits(answer_mb=32)
"""A session keeps one answer."""
_AT_ONCE: Final = 2
_PLACES: Final = threading.BoundedSemaphore(_AT_ONCE)
_LOOK_S: Final = 0.1
_AWAY_S: Final = 5.0
"""A page that was left for so long won't come back: one that is loaded anew asks anew."""
_UNASKED: Final = "Stopped before it was asked."
_FAR: Final = (
    "SQL is asked here of files of this machine only. Copy the lake to a folder and show that with --lake, or ask with"
    " `spanledger sql`."
)


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a question ended."""

    table: pa.Table | None = None
    """None where there is no answer: see the others, or the statement has none."""
    note: str | None = None
    """In words, where the table isn't the whole answer."""
    wrong: str | None = None
    """What is wrong with the SQL, over several lines, the place marked in the last two."""
    stopped: str | None = None
    """Why it was not answered although the SQL may be right; a sentence."""
    seconds: float = 0.0
    """From the start of its process."""


@dataclass(slots=True)
class Asking:
    """One question."""

    query: str
    explained: bool = False
    """Whether what is asked is how it would be run."""
    begun: float = field(default_factory=time.monotonic)
    outcome: Outcome | None = None
    """None while it is on its way."""
    waits: bool = True
    """Whether others are before it."""
    copies: bool = False
    """Whether rows are copied for it first, because its reader sees a part."""
    noted: bool = False
    """Whether it is in the history."""
    _done: threading.Event = field(default_factory=threading.Event)
    _stopped: threading.Event = field(default_factory=threading.Event)
    _box: Box | None = None

    def start(self, files: LakeFiles, scope: Scope, is_open: Callable[[], bool] = lambda: True) -> None:
        """Ask it over `files`; of a scope that isn't everything, over an extract of what is inside alone.

        It is ended where `is_open` says for a while that its page is not.
        """
        self.copies = not scope.is_everything
        threading.Thread(target=self._run, args=(files, scope), name="sql", daemon=True).start()
        threading.Thread(target=self._watch, args=(is_open,), name="sql-page", daemon=True).start()

    def wait(self, seconds: float) -> bool:
        """Wait for its end, so long at most; tell whether it has ended."""
        return self._done.wait(seconds)

    def passed(self) -> float:
        """Return the seconds since it was begun."""
        return time.monotonic() - self.begun

    def stop(self) -> None:
        """End it, whatever it is at."""
        self._stopped.set()
        if (box := self._box) is not None:
            box.stop()

    def _run(self, files: LakeFiles, scope: Scope) -> None:
        try:
            self.outcome = self._asked(files, scope)
        except BaseException as error:
            self.outcome = Outcome(stopped=f"It could not be asked ({type(error).__name__}). Run it again.")
            raise
        finally:
            self._done.set()

    def _watch(self, is_open: Callable[[], bool]) -> None:
        seen = time.monotonic()
        while not self._done.wait(_LOOK_S):
            if is_open():
                seen = time.monotonic()
            elif time.monotonic() - seen > _AWAY_S:
                self.stop()

    def _asked(self, files: LakeFiles, scope: Scope) -> Outcome:
        if files.in_store and scope.is_everything:
            return Outcome(stopped=_FAR)
        while not _PLACES.acquire(timeout=_LOOK_S):
            if self._stopped.is_set():
                return Outcome(stopped=_UNASKED)
        try:
            self.waits = False
            return Outcome(stopped=_UNASKED) if self._stopped.is_set() else self._boxed(files, scope)
        finally:
            _PLACES.release()

    def _boxed(self, files: LakeFiles, scope: Scope) -> Outcome:
        start = time.monotonic()

        def passed() -> float:
            return time.monotonic() - start

        query = f"explain {self.query}" if self.explained else self.query
        try:
            with _taken() as self._box:
                if self._stopped.is_set():
                    self._box.stop()
                answer = self._box.ask(files, query, scope=scope, limits=LIMITS)
        except QueryError as error:
            return Outcome(wrong=str(error), seconds=passed())
        except SpanledgerError as error:
            said = f"Stopped after {passed():.1f} s." if self._stopped.is_set() else _sentence(str(error))
            return Outcome(stopped=said, seconds=passed())
        return Outcome(answer.table, answer.note, seconds=passed())


_spare: list[Box] = []
_turn: Final = threading.Lock()


def prepare() -> None:
    """Start the process of the next question, so that it has done its imports by then; it ends with this one."""
    with _turn:
        if not any(box.waits for box in _spare):
            _spare[:] = [Box()]


def _taken() -> Box:
    """Return a process to ask in: the one that was started before, where there is one."""
    with _turn:
        ready = _spare.pop() if _spare else None
    return ready if ready and ready.waits else Box()


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}."
