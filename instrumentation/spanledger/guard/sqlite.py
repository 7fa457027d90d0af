"""The store of the processes of one host: an SQLite file of 0600, with a write-ahead log.

One connection under a lock serves all threads: threads with their own would wait for each other by the file's lock,
which sleeps for milliseconds. `synchronous=NORMAL`: what was committed outlives any process, and a host's power failing
may take the last moments with it. SQLite forbids that a connection goes along into a forked child, so it is closed
before a fork, and each side opens its own when it needs one.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
import weakref
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, TypeVar

from . import sqlite_holds, sqlite_old, sqlite_rows, sqlite_schema
from .counting import RETURNED, SENT, SETTLED, UNSENT, Fate
from .store import LEASE_MS, Account, Charge, Line, Reserved, StoreAwayError, Unit

PATIENCE_S: Final = 0.25
_PAGE_SIZE: Final = 2048
"""Bytes. What a commit writes are pages: larger ones cost more, and smaller ones are more."""
_MOVED_AFTER: Final = 256
"""Calls that are settled before they are moved on together; sweeping does it, too."""
_T = TypeVar("_T")


class SqliteStore:
    """Accounts in a file; see `Store` for what the methods do. Raises `StoreAwayError` for all that goes wrong."""

    def __init__(self, path: Path, patience_s: float = PATIENCE_S) -> None:
        self._path = path
        self._patience_s = patience_s
        self._lock = threading.RLock()
        self._connection: sqlite3.Connection | None = None
        self._settled = 0
        self._own: sqlite_rows.Own = {}
        """Changed under the lock, within a transaction."""
        _stores.add(self)

    def reserve(self, call: str, lines: Sequence[Line], now_ms: int) -> Reserved:
        """Hold the amounts of all lines for `LEASE_S` seconds, or of none."""
        return self._written(lambda cursor: sqlite_holds.reserve(cursor, self._own, call, lines, now_ms))

    def sent(self, call: str) -> None:
        """Note that the request is about to leave."""
        statement = "update live set state = ? where call = ? and state = ?"
        self._written(lambda cursor: cursor.execute(statement, (SENT, call, UNSENT)))

    def settle(self, call: str, usd: int, tokens: int, now_ms: int, *, flagged: bool = False) -> bool:
        """Swap the hold, or the estimate that was charged for it, for what was spent."""
        fate = Fate(SETTLED, usd, tokens, flagged)

        def work(cursor: sqlite3.Cursor) -> bool:
            self._settled += 1
            if self._settled % _MOVED_AFTER == 0:
                sqlite_rows.move_settled(cursor)
            return sqlite_rows.settle(cursor, self._own, call, fate, now_ms)

        return self._written(work)

    def tell_settled(self, call: str, usd: int, tokens: int, now_ms: int, *, flagged: bool = False) -> None:
        """Settle: there is nothing to wait for but the work."""
        self.settle(call, usd, tokens, now_ms, flagged=flagged)

    def release(self, call: str, now_ms: int) -> bool:
        """Give back all that a call holds, rates of calls but for that."""
        return self._written(lambda cursor: sqlite_rows.release(cursor, self._own, call, now_ms))

    def renew(self, calls: Sequence[str], now_ms: int) -> None:
        """Have the holds of these calls live for another `LEASE_S` seconds."""
        rows = [(now_ms + LEASE_MS, call) for call in calls]
        statement = "update live set expires_ms = ? where call = ?"
        self._written(lambda cursor: cursor.executemany(statement, rows))

    def sweep(self, now_ms: int) -> int:
        """End what has expired, and forget what is old."""

        def work(cursor: sqlite3.Cursor) -> int:
            # Held by a clock that was ahead, and has been set back.
            latest = now_ms + 2 * LEASE_MS
            cursor.execute("update live set expires_ms = ?1 where state <= 1 and expires_ms > ?1", (latest,))
            ended = sqlite_rows.expire(cursor, now_ms)
            sqlite_rows.move_settled(cursor)
            return ended

        ended = self._written(work)
        sqlite_old.forget(self._read, self._written, now_ms)
        return ended

    def accounts(self) -> list[Account]:
        """List all accounts, by key."""
        statement = "select key, kind, unit, spent, held, flagged, until_ms from accounts order by key"
        return [Account(*row) for row in self._read(statement)]

    def charges(self, before_ms: int, limit: int, after: Charge | None = None) -> list[Charge]:
        """List calls reserved before a moment that the lake hasn't confirmed, oldest first; those `after` one."""
        at_ms, call = (after.at_ms, after.call) if after is not None else (-1, "")
        states = {"returned": RETURNED, "settled": SETTLED}
        values = {"before_ms": before_ms, "limit": limit, "at_ms": at_ms, "call": call}
        found = self._read(sqlite_rows.CHARGES, states | values)
        return [Charge(call, at_ms, usd, tokens, bool(flagged)) for call, at_ms, usd, tokens, flagged in found]

    def confirm(self, call: str, usd: int, tokens: int) -> bool:
        """Put what the lake says in place of what a call was charged, and forget the call."""
        return self._written(lambda cursor: sqlite_rows.confirm(cursor, call, usd, tokens))

    def set_spent(self, key: str, spent: int, until_ms: int, unit: Unit, expected: int | None = None) -> bool:
        """Say what a budget's account has spent, if that was `expected`; holds stay."""

        def work(cursor: sqlite3.Cursor) -> bool:
            row = cursor.execute("select spent from accounts where key = ?", (key,)).fetchone()
            if expected is not None and (row[0] if row else 0) != expected:
                return False
            change = "set spent = excluded.spent, flagged = 0"
            sqlite_rows.put_spent(cursor, {key: (spent, until_ms, unit)}, change)
            return True

        return self._written(work)

    def raise_spent(self, floors: Mapping[str, tuple[int, int, Unit]]) -> None:
        """See that accounts have spent at least so much."""
        change = "set spent = max(spent, excluded.spent)"
        self._written(lambda cursor: sqlite_rows.put_spent(cursor, floors, change))

    def states(self, prefix: str) -> dict[str, str]:
        """Return what was kept under keys that begin with this."""
        statement = "select key, value from states where substr(key, 1, ?) = ? order by key"
        return dict(self._read(statement, (len(prefix), prefix)))

    def put_state(self, key: str, value: str | None, expected: str | None) -> bool:
        """Keep a text, or None for nothing more, if what is kept is still `expected`."""

        def work(cursor: sqlite3.Cursor) -> bool:
            row = cursor.execute("select value from states where key = ?", (key,)).fetchone()
            if (row[0] if row else None) != expected:
                return False
            if value is None:
                cursor.execute("delete from states where key = ?", (key,))
            else:
                cursor.execute("insert or replace into states values (?, ?)", (key, value))
            return True

        return self._written(work)

    def close(self) -> None:
        """Close the file; the next use opens it again."""
        with self._lock:
            connection, self._connection = self._connection, None
            if connection is not None:
                with contextlib.suppress(sqlite3.Error):
                    connection.close()

    def _read(self, statement: str, values: Sequence[object] | Mapping[str, object] = ()) -> list[Any]:
        return self._locked(lambda connection: connection.execute(statement, values).fetchall())

    def _written(self, work: Callable[[sqlite3.Cursor], _T]) -> _T:
        """Run work in a transaction; what comes in between, in the thread that is in one, joins that."""
        return self._locked(lambda connection: _transaction(connection, work))

    def _locked(self, work: Callable[[sqlite3.Connection], _T]) -> _T:
        if not self._lock.acquire(timeout=self._patience_s):
            raise StoreAwayError(f"{self._path}: other threads have waited for it for {self._patience_s} s")
        try:
            return work(self._connection or self._open())
        except (sqlite3.Error, OSError) as error:
            raise self._away(error) from error
        finally:
            self._lock.release()

    def _open(self) -> sqlite3.Connection:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileExistsError):
            os.close(os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        connection = sqlite3.connect(
            self._path, timeout=self._patience_s, isolation_level=None, check_same_thread=False
        )
        try:
            connection.execute(f"pragma page_size = {_PAGE_SIZE}")  # of a file that is new
            connection.execute("pragma journal_mode = wal")
            connection.execute("pragma synchronous = normal")
            connection.execute("pragma wal_autocheckpoint = 4000")
            sqlite_schema.prepare(connection)
        except BaseException:
            connection.close()
            raise
        self._connection = connection
        return connection

    def _away(self, error: Exception) -> StoreAwayError:
        if not (isinstance(error, sqlite3.OperationalError) and "locked" in str(error)):
            self.close()
        return StoreAwayError(f"{self._path}: {error}")


def _transaction(connection: sqlite3.Connection, work: Callable[[sqlite3.Cursor], _T]) -> _T:
    cursor = connection.cursor()  # one for all statements: each `connection.execute` makes its own
    if connection.in_transaction:
        return work(cursor)
    cursor.execute("begin immediate")
    try:
        result = work(cursor)
        cursor.execute("commit")
    except BaseException:
        with contextlib.suppress(sqlite3.Error):
            connection.rollback()
        raise
    return result


_stores: Final[weakref.WeakSet[SqliteStore]] = weakref.WeakSet()
_held: Final[list[SqliteStore]] = []
"""Stores whose locks are held while the process forks."""


def _before_fork() -> None:
    for store in list(_stores):
        store._lock.acquire()
        store.close()
        _held.append(store)


def _after_fork() -> None:
    while _held:
        _held.pop()._lock.release()


def _after_fork_in_child() -> None:
    _held.clear()
    for store in list(_stores):
        store._lock = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork, after_in_child=_after_fork_in_child)
