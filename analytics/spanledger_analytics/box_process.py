"""The process that one question of somebody else is asked in.

It gives away all that it could do harm with, runs the SQL, writes the answer to its standard output, and ends. It is
trusted until the SQL runs, and not after: what it was told comes as a pickle, what it answers is a line of JSON
and Arrow's stream format. It imports DuckDB and Arrow and nothing else of ours or others, because that is what a
question costs in time. DuckDB is opened before the bans, because it looks at the machine then, but without a thread:
those that it starts later inherit them.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import pickle
import resource
import signal
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final, Literal, NoReturn

import duckdb
import pyarrow as pa

from .landlock import allow_only
from .statements import run

MEGABYTE: Final = 1 << 20
_OVERHEAD_MB: Final = 1_536
"""Of address space, beyond what DuckDB may use for data: libraries, stacks and reserves of its threads."""
_THREADS: Final = 2
_ALARM_S: Final = 5
"""After its time, a process ends itself; before that, whoever asked ends it."""
_BATCH_ROWS: Final = 2_048
_MESSAGE_CHARACTERS: Final = 20_000
_CAPABILITY_VERSION: Final = 0x20080522


@dataclass(frozen=True, slots=True)
class Limits:
    """What a question may take."""

    seconds: float = 30.0
    """By the clock."""
    memory_mb: int = 1_024
    """For DuckDB's data; the process may have twice as much and an overhead."""
    rows: int = 100_000
    """Of the answer."""
    answer_mb: int = 64
    """Of the answer, as Arrow holds it."""


@dataclass(frozen=True, slots=True)
class Step:
    """Something that makes the views."""

    kind: Literal["execute", "register", "unregister"]
    text: str
    """The SQL, or the name to register."""
    value: object = None
    """Its parameters, or the table to register."""


@dataclass(frozen=True, slots=True)
class Request:
    """One question."""

    query: str
    steps: Sequence[Step]
    paths: Sequence[str]
    """Files that may be read."""
    users: Sequence[tuple[int, int]]
    """Users and groups to become, best first, for root only: the first who can read all files is taken."""
    limits: Limits


@dataclass(frozen=True, slots=True)
class Told:
    """What stands before an answer, as a line of JSON."""

    kind: Literal["answer", "nothing", "error", "memory", "late", "unprotected"]
    """nothing: a statement without an answer."""
    message: str = ""
    rows_cut: bool = False
    bytes_cut: bool = False


def main() -> NoReturn:
    """Answer the question on standard input."""
    source, target = _only_pipes()
    with source:
        request: Request = pickle.load(source)  # noqa: S301 - our own process wrote it
    told, table = _outcome(request)
    with contextlib.suppress(BrokenPipeError):
        target.write(json.dumps({name: getattr(told, name) for name in Told.__slots__}).encode() + b"\n")
        if table is not None:
            with pa.ipc.new_stream(target, table.schema) as writer:
                writer.write_table(table)
        target.flush()
    os._exit(0)  # DuckDB's threads may still be at work


def _only_pipes() -> tuple[BinaryIO, BinaryIO]:
    """Return standard input and output under numbers that SQL can't name, and put nothing in their places."""
    source, target = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    nothing = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1, 2):
        os.dup2(nothing, standard)
    os.close(nothing)
    return source, target


def _outcome(request: Request) -> tuple[Told, pa.Table | None]:
    try:
        _limit(request.limits)
        _become(request.users, request.paths)
        connection = _open(request.limits)
        reason = danger(request.paths)
        if reason is not None:
            return Told("unprotected", reason), None
        return _answer(connection, request)
    except duckdb.InterruptException:
        return Told("late"), None
    except (duckdb.OutOfMemoryException, MemoryError, pa.ArrowMemoryError):
        return Told("memory"), None
    except (duckdb.Error, pa.ArrowException, OSError, RuntimeError, ValueError) as error:
        return Told("error", str(error)[:_MESSAGE_CHARACTERS]), None


def _limit(limits: Limits) -> None:
    os.chdir("/")
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.setitimer(signal.ITIMER_REAL, limits.seconds + _ALARM_S)  # where nobody is left to end it
    for kind, most in (
        (resource.RLIMIT_AS, (2 * limits.memory_mb + _OVERHEAD_MB) * MEGABYTE),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CPU, int(limits.seconds * _THREADS + _ALARM_S)),
    ):
        with contextlib.suppress(ValueError, OSError):  # macOS has no limit of address space
            resource.setrlimit(kind, (most, most))


def _open(limits: Limits) -> duckdb.DuckDBPyConnection:
    """Open DuckDB without any thread of its own."""
    return duckdb.connect(
        config={
            "threads": 1,
            "async_threads": 0,
            "memory_limit": f"{limits.memory_mb}MiB",
            "max_execution_time": int(limits.seconds * 1000),
        }
    )


def danger(paths: Sequence[str]) -> str | None:
    """Put the bans on; return why SQL could overwrite a file all the same, None where it can't."""
    if allow_only(paths):
        return None
    if os.geteuid() == 0:
        return "as root, and without Landlock (Linux from 5.13), SQL could overwrite the lake's files"
    writable = [path for path in paths if os.access(path, os.W_OK)]
    return f"without Landlock (Linux from 5.13), SQL could overwrite {writable[0]}" if writable else None


def _become(users: Iterable[tuple[int, int]], paths: Iterable[str]) -> None:
    """Become the first of the users who can read the files; where that is root, without what makes it root."""
    if os.geteuid() != 0:
        return
    for user, group in users:
        if user == 0 or _can_read(user, group, paths):
            with contextlib.suppress(OSError):
                os.setgroups([])
                os.setresgid(group, group, group)
                os.setresuid(user, user, user)
                break
    if os.geteuid() == 0:
        _drop_capabilities()


def _can_read(user: int, group: int, paths: Iterable[str]) -> bool:
    groups = os.getgroups()
    try:
        os.setgroups([])
        os.setegid(group)
        os.seteuid(user)
        return all(os.access(path, os.R_OK, effective_ids=True) for path in paths)
    except OSError:
        return False
    finally:
        os.seteuid(0)
        os.setegid(0)
        os.setgroups(groups)


def _drop_capabilities() -> None:
    if sys.platform != "linux":
        return
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION, 0)
    none = (ctypes.c_uint32 * 6)()
    if ctypes.CDLL(None, use_errno=True).capset(ctypes.byref(header), ctypes.byref(none)) != 0:
        raise OSError(ctypes.get_errno(), "capabilities can't be given away")


def _answer(connection: duckdb.DuckDBPyConnection, request: Request) -> tuple[Told, pa.Table | None]:
    connection.execute(f"set threads = {_THREADS}")
    for step in request.steps:
        if step.kind == "execute":
            connection.execute(step.text, step.value)
        elif step.kind == "register":
            connection.register(step.text, step.value)
        else:
            connection.unregister(step.text)
    relation = run(connection, request.query)
    if relation is None:
        return Told("nothing"), None
    return _cut(relation.to_arrow_reader(_BATCH_ROWS), request.limits)


def _cut(reader: pa.RecordBatchReader, limits: Limits) -> tuple[Told, pa.Table]:
    """Read as much of an answer as is given out."""
    kept: list[pa.RecordBatch] = []
    rows_left, bytes_left = limits.rows, limits.answer_mb * MEGABYTE
    rows_cut = bytes_cut = False
    for batch in reader:
        fitting = _fitting(batch, bytes_left)
        bytes_cut = fitting < min(batch.num_rows, rows_left)
        rows_cut = not bytes_cut and batch.num_rows > rows_left
        kept.append(batch.slice(0, min(fitting, rows_left)))
        rows_left -= kept[-1].num_rows
        bytes_left -= kept[-1].nbytes
        if rows_cut or bytes_cut:
            break
    return Told("answer", rows_cut=rows_cut, bytes_cut=bytes_cut), pa.Table.from_batches(kept, reader.schema)


def _fitting(batch: pa.RecordBatch, most: int) -> int:
    """Return how many of its first rows take at most so many bytes."""
    if batch.nbytes <= most:
        return int(batch.num_rows)
    low, high = 0, int(batch.num_rows)
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if batch.slice(0, middle).nbytes <= most else (low, middle - 1)
    return low


def import_paths() -> list[str]:
    """Return where a process that starts without site-packages finds what this one did."""
    return [str(Path(path).resolve()) for path in sys.path if path]
