"""Asking SQL of somebody who may not do harm: each question in a process of its own, which ends with it.

DuckDB's own locks are not enough (docs/sql.md says what each layer is for), and a process can be ended whatever it is
at, even inside of `repeat('x', 2000000000)`, which no limit of DuckDB's stops. A process that is started before it is
needed has done its imports by the time it is asked.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import pickle
import selectors
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import pyarrow as pa

from spanledger import contract
from spanledger.contract import Contract
from spanledger_collector.row import SCHEMA

from .box_process import MEGABYTE, Limits, Request, Step, Told, import_paths
from .connection import prepare
from .errors import QueryError, StoppedError, UnprotectedError
from .extract import extract
from .scope import EVERYTHING, Scope
from .snapshot import LakeFiles
from .sql_errors import explained
from .views import CATALOGUE, LAKE_NAMES

_PROGRAM: Final = "import sys; sys.path[:] = {paths!r}; from spanledger_analytics.box_process import main; main()"
ENVIRONMENT: Final = {
    "ARROW_DEFAULT_MEMORY_POOL": "system",
    "LANG": "C.UTF-8",
    "MALLOC_ARENA_MAX": "2",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "TZ": "UTC",
}
"""All that the process is told: no name of a key, a lake or a user is among it."""
_NEEDED: Final = ("LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")
"""What some builds of Python don't start without."""
_GRACE_S: Final = 2.0
"""For a process to say itself that it is late."""
_PATHS_A_SECOND: Final = 10_000
_PIECE: Final = 1 << 16
_NOBODY: Final = 65_534
_FIRST_USER: Final = 61_184
_USERS: Final = 4_000
"""From there on no user has a number (systemd gives them to services that need one for a while)."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a question was answered."""

    table: pa.Table | None
    """None for a statement that has no answer."""
    note: str | None
    """In words, where it is not the whole answer."""


@dataclass(slots=True)
class Script:
    """What makes the views, to be done in another process."""

    steps: list[Step] = field(default_factory=list)

    def execute(self, query: str, parameters: object = None, /) -> None:
        """Note SQL to run."""
        self.steps.append(Step("execute", query, parameters))

    def register(self, view_name: str, python_object: object, /) -> None:
        """Note a table of Arrow's to give a name."""
        self.steps.append(Step("register", view_name, python_object))

    def unregister(self, view_name: str, /) -> None:
        """Note a name to take away."""
        self.steps.append(Step("unregister", view_name))


class Box:
    """A process that waits for one question. Use it as a context manager: at its end the process is gone.

    Raises:
        UnprotectedError: processes can't be confined here.
    """

    def __init__(self) -> None:
        if sys.platform == "win32":
            raise UnprotectedError("a process can't be confined on Windows", "ask from Linux or macOS")
        self._ending = threading.Lock()
        self._process = subprocess.Popen(  # noqa: S603 - this interpreter
            [sys.executable, "-I", "-S", "-c", _PROGRAM.format(paths=import_paths())],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=ENVIRONMENT | {name: os.environ[name] for name in _NEEDED if name in os.environ},
            cwd="/",
            start_new_session=True,
        )

    @property
    def process_id(self) -> int:
        """Number of the process, which is also that of its group."""
        return self._process.pid

    @property
    def waits(self) -> bool:
        """Whether the process is there."""
        with self._ending:
            return self._process.poll() is None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe:
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()

    def stop(self) -> None:
        """End the process, whatever it is at; also for another thread than the one that asks.

        Of one that is gone the number may be another process's by now, so nothing is done.
        """
        with self._ending:
            if self._process.poll() is not None:
                return
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.kill()
            self._process.wait()

    def ask(
        self,
        files: LakeFiles,
        query: str,
        *,
        scope: Scope = EVERYTHING,
        limits: Limits | None = None,
        as_of: datetime | None = None,
    ) -> Answer:
        """Answer the one question; its times and money are as everywhere.

        With `scope`, the SQL finds only what is extracted for it, and no contract.

        Raises:
            QueryError: the SQL is wrong, or asks for what it may not.
            StoppedError: it took longer or more memory than it may.
            UnprotectedError: nothing would keep it from doing harm here.
        """
        users = users_for(files)
        if scope.is_everything:
            return self._asked(files, query, contract.in_force(), users, limits or Limits(), as_of)
        within, owner = limits or Limits(), users[0] if users else None
        with extract(files, scope, owner, as_of, limits=within, is_wanted=lambda: self.waits) as extracted:
            return self._asked(extracted, query, contract.NONE, [*users[:1], *users[-1:]], within, as_of)

    def _asked(
        self,
        files: LakeFiles,
        query: str,
        agreed: Contract,
        users: Sequence[tuple[int, int]],
        limits: Limits,
        as_of: datetime | None,
    ) -> Answer:
        if not query.isascii() and query != query.encode("utf-8", "replace").decode():
            raise QueryError("the SQL has half of a character in it; write it as UTF-8")
        request = make_request(files, query, agreed, users, limits, as_of)
        deadline = time.monotonic() + limits.seconds + _GRACE_S + len(request.paths) / _PATHS_A_SECOND
        try:
            said = self._exchange(pickle.dumps(request), deadline, limits)
        finally:
            self.stop()
        return read_answer(said, query, limits)

    def _exchange(self, request: bytes, deadline: float, limits: Limits) -> bytes:
        """Write the request and return all that is answered.

        Raises:
            StoppedError: the answer isn't there in time, or too long.
        """
        source, target = self._process.stdin, self._process.stdout
        assert source is not None  # noqa: S101 - it was asked for
        assert target is not None  # noqa: S101
        with contextlib.suppress(BrokenPipeError):
            source.write(request)
            source.close()
        said = bytearray()
        with selectors.DefaultSelector() as selector:
            selector.register(target, selectors.EVENT_READ)
            while selector.select(max(0.0, deadline - time.monotonic())):
                piece = os.read(target.fileno(), _PIECE)
                if not piece:
                    return bytes(said)
                said += piece
                if len(said) > (2 * limits.answer_mb + 1) * MEGABYTE:
                    raise StoppedError(
                        f"the answer was longer than {limits.answer_mb} MB; ask for fewer columns or rows"
                    )
        raise _late(limits)


def ask(
    files: LakeFiles,
    query: str,
    *,
    scope: Scope = EVERYTHING,
    limits: Limits | None = None,
    as_of: datetime | None = None,
) -> Answer:
    """Ask in a process that is started for it; see `Box.ask`."""
    with Box() as box:
        return box.ask(files, query, scope=scope, limits=limits, as_of=as_of)


def make_request(
    files: LakeFiles,
    query: str,
    agreed: Contract,
    users: Sequence[tuple[int, int]],
    limits: Limits,
    as_of: datetime | None = None,
) -> Request:
    """Return what a process has to know to answer a question over `files`."""
    script = Script()
    prepare(script, files, agreed, locked=True, as_of=as_of, described=CATALOGUE in query.lower())
    return Request(query, script.steps, list(files.paths()), users, limits)


def users_for(files: LakeFiles) -> list[tuple[int, int]]:
    """Return whom root becomes to ask: one who owns nothing; else whose the lake is."""
    if sys.platform == "win32" or os.geteuid() != 0:
        return []
    nobody = _FIRST_USER + os.getpid() % _USERS
    owners = [] if files.in_store else [Path(max(files.spans, files.touched, key=len)[-1]).stat()]
    return [(nobody, nobody), (_NOBODY, _NOBODY), *((owner.st_uid, owner.st_gid) for owner in owners), (0, 0)]


def read_answer(said: bytes, query: str, limits: Limits) -> Answer:
    """Return what a process said as an answer; for errors see `Box.ask`."""
    head, _, data = said.partition(b"\n")
    try:
        told = Told(**json.loads(head))
    except (ValueError, TypeError):
        raise _too_much(limits) from None  # it was ended, or ended itself, where memory could not be had
    if told.kind == "error":
        raise QueryError(explained(told.message, query, LAKE_NAMES, SCHEMA.names))
    if told.kind == "unprotected":
        raise UnprotectedError(told.message)
    if told.kind == "late":
        raise _late(limits)
    if told.kind == "memory":
        raise _too_much(limits)
    if told.kind == "nothing":
        return Answer(None, None)
    try:
        table = pa.ipc.open_stream(io.BytesIO(data)).read_all()
        table.validate(full=True)
    except (pa.ArrowException, OSError) as error:
        # DuckDB's HUGEINT has more digits than a decimal of Arrow's.
        raise QueryError(
            f"the answer can't be read ({error}); cast numbers of more than 38 digits to varchar"
        ) from None
    return Answer(table, _note(told, table, limits))


def _note(told: Told, table: pa.Table, limits: Limits) -> str | None:
    if told.rows_cut:
        return f"truncated at {limits.rows:,} rows"
    if told.bytes_cut:
        return f"truncated at {limits.answer_mb:,} MB, after {table.num_rows:,} rows"
    return None


def _late(limits: Limits) -> StoppedError:
    return StoppedError(f"stopped after {limits.seconds:g} s; ask for fewer days, or for less at once")


def _too_much(limits: Limits) -> StoppedError:
    return StoppedError(f"stopped, because it takes more memory than {limits.memory_mb:,} MB; ask for less at once")
