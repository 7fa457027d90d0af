"""Where answers are kept: the store's interface, and the file in the home folder that serves a host.

The file is a cache: what can't be read in it is thrown away, and it waits for nobody longer than a moment, because a
call that isn't answered from it is merely made.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, NamedTuple, Protocol, TypeVar

from spanledger import faults

FILE: Final = "answers.sqlite3"
_BUSY_S: Final = 0.1
_TOUCH_MS: Final = 60_000
"""An answer's last use is noted once in so long: that is enough to know which ones nobody wants."""
_LEFT: Final = 9
"""Tenths of its bound that a rule's answers take after some were thrown out."""
_SCHEMA: Final = """
create table if not exists answers (
    key blob primary key, rule text not null, until_ms integer not null, used_ms integer not null,
    size integer not null, data blob not null, avoids integer
) without rowid;
create index if not exists by_use on answers (rule, used_ms, size);
create table if not exists totals (rule text primary key, bytes integer not null, entries integer not null);
create trigger if not exists added after insert on answers begin
    insert into totals values (new.rule, new.size, 1)
    on conflict do update set bytes = bytes + new.size, entries = entries + 1;
end;
create trigger if not exists taken after delete on answers begin
    update totals set bytes = bytes - old.size, entries = entries - 1 where rule = old.rule;
end;
"""
Result = TypeVar("Result")


_inherited: Final[list[sqlite3.Connection]] = []


class Bound(NamedTuple):
    """How much is kept for one rule."""

    rule: str
    bytes: int
    entries: int


class Kept(NamedTuple):
    """What a store has under a key."""

    data: bytes
    avoids: int | None
    """Pico-dollars that a hit saves, where that is known beforehand: of a step."""


class Answers(Protocol):
    """A store of packed answers; no method raises, a store that is away has nothing."""

    @property
    def blocks(self) -> bool:
        """Whether it may take so long to answer that no event loop should wait for it."""
        ...

    def get(self, key: bytes, now_ms: int) -> Kept | None:
        """Return what is kept and not too old."""

    def put(self, key: bytes, data: bytes, until_ms: int, now_ms: int, bound: Bound) -> None:
        """Keep packed bytes, and throw out what has not been used for longest where the bound is passed."""

    def set_avoids(self, key: bytes, pico: int | None) -> None:
        """Say what a hit saves."""

    def close(self) -> None:
        """Let go of files and connections."""


class SqliteAnswers:
    """A file that all processes of a host share; write-ahead log, its owner's alone."""

    blocks = False

    def __init__(self, path: Path) -> None:
        self._path = path
        self._connection: sqlite3.Connection | None = None
        self._start_anew()

    def _start_anew(self) -> None:
        """Leave the parent's connection to the parent, open: closing it here would let go of the parent's locks."""
        if self._connection is not None:
            _inherited.append(self._connection)
        self._lock, self._connection, self._pid = threading.Lock(), None, os.getpid()

    def get(self, key: bytes, now_ms: int) -> Kept | None:
        """Return what is kept and not too old."""

        def read(connection: sqlite3.Connection) -> Kept | None:
            found = connection.execute(
                "select data, avoids, used_ms from answers where key = ? and until_ms > ?", (key, now_ms)
            ).fetchone()
            if found is None:
                return None
            if abs(now_ms - found[2]) > _TOUCH_MS:
                connection.execute("update answers set used_ms = ? where key = ?", (now_ms, key))
            return Kept(found[0], found[1])

        return self._run(read)

    def put(self, key: bytes, data: bytes, until_ms: int, now_ms: int, bound: Bound) -> None:
        """Keep packed bytes, and throw out what has not been used for longest where the bound is passed."""

        def write(connection: sqlite3.Connection) -> None:
            connection.execute("begin immediate")
            try:
                connection.execute("delete from answers where key = ?", (key,))
                row = (key, bound.rule, until_ms, now_ms, len(data), data)
                connection.execute("insert into answers values (?, ?, ?, ?, ?, ?, null)", row)
                _throw_out(connection, now_ms, bound)
                connection.execute("commit")
            except BaseException:
                connection.execute("rollback")
                raise

        if len(data) <= bound.bytes:
            self._run(write)

    def set_avoids(self, key: bytes, pico: int | None) -> None:
        """Say what a hit saves."""
        self._run(lambda connection: connection.execute("update answers set avoids = ? where key = ?", (pico, key)))

    def close(self) -> None:
        """Close the file; the next use opens it again."""
        if self._pid == os.getpid() and self._lock.acquire(timeout=_BUSY_S):
            try:
                connection, self._connection = self._connection, None
                if connection is not None:
                    connection.close()
            finally:
                self._lock.release()

    def _run(self, step: Callable[[sqlite3.Connection], Result]) -> Result | None:
        if self._pid != os.getpid():
            self._start_anew()
        # Not for ever: a signal handler, or a finaliser, may have interrupted this very thread in here.
        if not self._lock.acquire(timeout=_BUSY_S):
            return None
        try:
            return step(self._open())
        except sqlite3.OperationalError as error:
            faults.report("an answer is not kept, or not found", error, expected=True)
        except sqlite3.DatabaseError as error:
            faults.report("kept answers thrown away, their file can't be read", error, expected=True)
            self._throw_away()
        except OSError as error:
            faults.report("an answer is not kept, or not found", error, expected=True)
        finally:
            self._lock.release()
        return None

    def _throw_away(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()
        for end in ("", "-wal", "-shm"):
            with contextlib.suppress(OSError):
                Path(f"{self._path}{end}").unlink()

    def _open(self) -> sqlite3.Connection:
        if self._connection is not None:
            return self._connection
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        # Made before SQLite makes it, which would ask only the umask who may read it; its other files follow this one.
        os.close(os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600))
        connection = sqlite3.connect(self._path, timeout=_BUSY_S, isolation_level=None, check_same_thread=False)
        connection.execute("pragma journal_mode = wal")
        connection.execute("pragma synchronous = off")  # a power cut may cost answers, which are checked when read
        connection.executescript(_SCHEMA)
        self._connection = connection
        return connection


def _throw_out(connection: sqlite3.Connection, now_ms: int, bound: Bound) -> None:
    total: Any = connection.execute("select bytes, entries from totals where rule = ?", (bound.rule,)).fetchone()
    if total[0] <= bound.bytes and total[1] <= bound.entries:
        return
    connection.execute("delete from answers where rule = ? and until_ms <= ?", (bound.rule, now_ms))
    size, count = connection.execute("select bytes, entries from totals where rule = ?", (bound.rule,)).fetchone()
    most_size, most_count = bound.bytes * _LEFT // 10, max(1, bound.entries * _LEFT // 10)
    if size <= bound.bytes and count <= bound.entries:
        return
    gone = []
    for key, length in connection.execute(
        "select key, size from answers where rule = ? order by used_ms", (bound.rule,)
    ):
        if size <= most_size and count <= most_count:
            break
        gone.append((key,))
        size, count = size - length, count - 1
    connection.executemany("delete from answers where key = ?", gone)
