"""The queue of requests that may wait: one SQLite file of the home folder, which only its owner can read.

A request that is being made is leased: where whoever makes it dies, another makes it after a while. So a request is
made at least once; twice only where the one who made it died between the answer and writing it down.
"""

from __future__ import annotations

import json
import os
import secrets
import sqlite3
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Literal, NamedTuple, TypeAlias, cast

from .methods import Method, SdkName

State: TypeAlias = Literal["waiting", "running", "batched", "done", "failed"]
FILE: Final = "deferred.sqlite"
LEASE_S: Final = 900
"""For how long a request is somebody's to make: above the ten minutes that SDKs wait for an answer."""
KEEP_S: Final = 30 * 86_400
_SCHEMA: Final = """
create table if not exists job (
    id text primary key,
    at_s integer not null,
    sdk text not null,
    path text not null,
    base_url text not null,
    request text not null,
    tags text not null,
    on_result text,
    state text not null,
    until_s integer not null default 0,
    batch text,
    result text,
    error text,
    ended_s integer
) without rowid
"""
_COLUMNS: Final = "id, at_s, sdk, path, base_url, request, tags, on_result, state, batch, result, error"


class Job(NamedTuple):
    """One request."""

    id: str
    at_s: int
    """When it was put off, Unix seconds."""
    method: Method
    request: str
    """JSON."""
    tags: Mapping[str, str]
    """By wire name."""
    on_result: str | None
    state: State
    batch: str | None
    """The provider's id of the batch that it is in."""
    result: str | None
    """JSON of the answer."""
    error: str | None


class Queue:
    """The requests of a home folder."""

    def __init__(self, home: Path) -> None:
        self.path = home / FILE

    def put(self, method: Method, request: str, tags: Mapping[str, str], on_result: str | None) -> str:
        """Write a request down and return its id."""
        id, now_s = secrets.token_hex(8), int(time.time())
        with self._open() as file:
            file.execute("delete from job where ended_s < ?", (now_s - KEEP_S,))
            file.execute(
                "insert into job (id, at_s, sdk, path, base_url, request, tags, on_result, state)"
                " values (?, ?, ?, ?, ?, ?, ?, ?, 'waiting')",
                (id, now_s, *method, request, json.dumps(tags), on_result),
            )
        return id

    def find(self, id: str) -> Job | None:
        """Return a request; None where there is none of that id."""
        with self._open() as file:
            row = file.execute(f"select {_COLUMNS} from job where id = ?", (id,)).fetchone()  # noqa: S608
        return _job(row) if row is not None else None

    def jobs(self, *states: State) -> list[Job]:
        """List requests in some states, oldest first."""
        marks = ", ".join("?" * len(states))
        with self._open() as file:
            rows = file.execute(
                f"select {_COLUMNS} from job where state in ({marks}) order by at_s, id",  # noqa: S608
                states,
            ).fetchall()
        return [_job(row) for row in rows]

    def take(self, *, most: int = 1, alike: Job | None = None) -> list[Job]:
        """Lease the oldest requests that wait, or whose lease has run out; `alike`: of that method and those tags."""
        now_s = int(time.time())
        wanted = "(state = 'waiting' or (state = 'running' and until_s < ?))"
        values: list[object] = [now_s]
        if alike is not None:
            wanted += " and sdk = ? and path = ? and base_url = ? and tags = ?"
            values += [*alike.method, json.dumps(dict(alike.tags))]
        with self._open() as file:
            rows = file.execute(
                f"select {_COLUMNS} from job where {wanted} order by at_s, id limit ?",  # noqa: S608
                (*values, most),
            ).fetchall()
            self._set(file, [row[0] for row in rows], "running", now_s + LEASE_S)
        return [_job(row) for row in rows]

    def give_back(self, ids: Sequence[str]) -> None:
        """Have requests wait on: they weren't made."""
        with self._open() as file:
            self._set(file, ids, "waiting", 0)

    def batched(self, ids: Sequence[str], batch: str) -> None:
        """Note that requests are in a provider's batch."""
        with self._open() as file:
            self._set(file, ids, "batched", 0)
            file.executemany("update job set batch = ? where id = ?", [(batch, id) for id in ids])

    def end(self, id: str, *, result: str | None = None, error: str | None = None) -> bool:
        """Write an answer, or why there is none, down; False where the request has ended before."""
        with self._open() as file:
            done = file.execute(
                "update job set state = ?, result = ?, error = ?, ended_s = ?"
                " where id = ? and state not in ('done', 'failed')",
                ("failed" if result is None else "done", result, error, int(time.time()), id),
            )
        return done.rowcount == 1

    @staticmethod
    def _set(file: sqlite3.Connection, ids: Sequence[str], state: State, until_s: int) -> None:
        file.executemany("update job set state = ?, until_s = ? where id = ?", [(state, until_s, id) for id in ids])

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        if not self.path.exists():
            os.close(os.open(self.path, os.O_CREAT | os.O_RDWR, 0o600))
        file = sqlite3.connect(self.path, timeout=30, isolation_level=None)
        try:
            file.execute("pragma journal_mode = wal")
            file.execute("begin immediate")
            file.execute(_SCHEMA)
            yield file
            file.execute("commit")
        finally:
            file.close()


def _job(row: Sequence[object]) -> Job:
    id, at_s, sdk, path, base_url, request, tags, on_result, state, batch, result, error = row
    method = Method(cast(SdkName, sdk), cast(str, path), cast(str, base_url))
    return Job(
        cast(str, id),
        cast(int, at_s),
        method,
        cast(str, request),
        json.loads(cast(str, tags)),
        cast("str | None", on_result),
        cast(State, state),
        cast("str | None", batch),
        cast("str | None", result),
        cast("str | None", error),
    )
