"""Writing the log: one thread, one fsync for all requests that wait, then the acknowledgements.

Nothing is acknowledged that is not on disk. What can't be written is refused with an error that the client may
retry, and the log goes on from the last good offset. Numbers of segments are never used again, not even after
the committer has deleted the segment: the file `floor` keeps the highest one ever sealed, because the lake
would take a second segment of that number for a replay and drop it.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import logging
import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

from .disk import Disk
from .errors import OverloadedError, WalBusyError, WalError
from .figures import Histogram
from .wal import OPEN, SEALED, Signal, first_received_ns, record_header, renew_id, segment_path, segments, sound_length

log = logging.getLogger(__name__)

_BATCH_BYTES: Final = 8 << 20
_LOOK_EVERY_S: Final = 0.5

Done = Callable[[OverloadedError | None], None]
"""Called on the log's thread: with None once the request is durable, else with the reason to refuse it."""


@dataclass(frozen=True, slots=True)
class Limits:
    """When the log seals a segment and when it refuses."""

    segment_bytes: int = 32 << 20
    segment_age_s: float = 1.0
    """A segment is sealed this long after its first record, so that its spans become queryable."""
    backlog_bytes: int = 4 << 30
    """Refuse while segments that aren't committed take more than this."""
    free_bytes: int = 1 << 30
    """Refuse while the disk of the log or of the lake has less room than this."""
    waiting_bytes: int = 256 << 20
    """Refuse while more than this waits in memory for the disk."""


@dataclass(frozen=True, slots=True)
class WalState:
    """Figures for /metrics and /readyz."""

    backlog_bytes: int
    free_bytes: int
    """On the disk of the log."""
    lake_free_bytes: int
    """On the disk of the lake, which may be the same."""
    waiting_bytes: int
    backlog_age_s: float
    """Since the oldest request came that isn't committed; 0 when there is none."""
    fsyncs: Histogram
    """How long each took; it goes on counting."""
    refusal: str
    """Why a request would be refused now; empty when it would be taken."""


class _Request(NamedTuple):
    """One request that waits for the disk."""

    payload: bytes
    signal: Signal
    done: Done


@dataclass(slots=True)
class _OpenSegment:
    path: Path
    file: int
    size: int
    """Offset after the last durable record; bytes beyond it are of a write that failed."""
    first_at: float


class WalWriter:
    """The log of one collector; holds the folder's lock until closed.

    Raises (on construction):
        WalBusyError: another process has this log.
        WalError: the folder can't be used, or its `floor` is lost.
    """

    def __init__(
        self, folder: Path, limits: Limits | None = None, disk: Disk | None = None, lake: Path | None = None
    ) -> None:
        self._folder = folder
        self._lake = lake
        self._limits = limits or Limits()
        self._disk = disk or Disk()
        self._lock_file = _lock(folder)
        self._floor = _prepare(folder, self._disk)
        self._open: _OpenSegment | None = None
        self._recover()
        self._changed = threading.Condition()
        self._queue: list[_Request] = []
        self._waiting_bytes = 0
        self._closing = False
        self._failing = False
        self._fsyncs = Histogram()
        self._oldest: tuple[str, int | None] = ("", None)
        self._looked_at = float("-inf")
        self._backlog_bytes = 0
        self._free_bytes = self._lake_free_bytes = 0
        self._look()
        self._thread = threading.Thread(target=self._run, name="spanledger-wal", daemon=True)
        self._thread.start()

    def submit(self, payload: bytes, done: Done, signal: Signal = "traces") -> None:
        """Queue one request; `done` is called when it is durable or refused.

        Raises:
            OverloadedError: no room now; `done` is not called.
        """
        with self._changed:
            refusal = self._refusal(len(payload))
            if refusal:
                raise OverloadedError(refusal)
            self._queue.append(_Request(payload, signal, done))
            self._waiting_bytes += len(payload)
            self._changed.notify()

    async def append(self, payload: bytes, signal: Signal = "traces") -> None:
        """Return when the request is durable.

        Raises:
            OverloadedError: it is not, and nothing of it is kept.
        """
        loop = asyncio.get_running_loop()
        outcome: asyncio.Future[OverloadedError | None] = loop.create_future()

        def settle(error: OverloadedError | None) -> None:
            if not outcome.done():
                outcome.set_result(error)

        def done(error: OverloadedError | None) -> None:
            with contextlib.suppress(RuntimeError):  # the loop has closed: nobody waits any more
                loop.call_soon_threadsafe(settle, error)

        self.submit(payload, done, signal)
        error = await outcome
        if error is not None:
            raise error

    def state(self) -> WalState:
        """Return the figures as last seen (at most half a second old)."""
        with self._changed:
            refusal = self._refusal(0)
            age_s = (time.time_ns() - self._oldest[1]) / 1e9 if self._oldest[1] else 0.0
            return WalState(
                self._backlog_bytes,
                self._free_bytes,
                self._lake_free_bytes,
                self._waiting_bytes,
                max(0.0, age_s),
                self._fsyncs,
                refusal,
            )

    def close(self) -> None:
        """Write what waits, seal, and let the folder go; later requests are refused. Closing twice is fine."""
        with self._changed:
            if self._closing:
                return
            self._closing = True
            self._changed.notify()
        self._thread.join()
        os.close(self._lock_file)

    def _refusal(self, size: int) -> str:
        if self._closing:
            return "the collector is stopping"
        if not self._thread.is_alive():
            return "the write-ahead log has stopped; restart the collector"
        if time.monotonic() - self._looked_at > _LOOK_EVERY_S:
            self._look()
        limits = self._limits
        if self._waiting_bytes + size > limits.waiting_bytes:
            return "too many requests wait for the disk"
        if self._backlog_bytes + self._waiting_bytes + size > limits.backlog_bytes:
            return f"{self._backlog_bytes} bytes wait to become rows, more than the limit of {limits.backlog_bytes}"
        if self._free_bytes - self._waiting_bytes - size < limits.free_bytes:
            return f"{self._free_bytes} bytes are free on the disk; {limits.free_bytes} are kept in reserve"
        if self._lake_free_bytes < limits.free_bytes:
            return f"{self._lake_free_bytes} bytes are free for the lake; {limits.free_bytes} are kept in reserve"
        return ""

    def _look(self) -> None:
        self._looked_at = time.monotonic()
        paths = list(self._folder.glob(f"*{SEALED}*"))
        self._backlog_bytes = sum(_size(path) for path in paths)
        self._note_oldest(min(paths, default=None))
        self._free_bytes = self._disk.free_bytes(self._folder)
        self._lake_free_bytes = self._disk.free_bytes(_existing(self._lake or self._folder))

    def _note_oldest(self, path: Path | None) -> None:
        """Know when the oldest request came; a segment keeps its first one, so it is read once."""
        number = path.name.partition(".")[0] if path else ""
        if number != self._oldest[0] or self._oldest[1] is None:
            self._oldest = (number, first_received_ns(path) if path else None)

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: bool(self._queue) or self._closing, self._seal_due_in_s())
                batch = self._take_batch()
                finished = self._closing and not self._queue
            if batch:
                self._write(batch)
            if finished or self._seal_due():
                self._seal()
            if finished:
                return

    def _take_batch(self) -> list[_Request]:
        size = count = 0
        while count < len(self._queue) and size < _BATCH_BYTES:
            size += len(self._queue[count].payload)
            count += 1
        batch = self._queue[:count]
        del self._queue[:count]
        return batch

    def _write(self, batch: list[_Request]) -> None:
        error: OverloadedError | None = None
        try:
            written = self._write_durably(batch)
        except OSError as failure:
            if not self._failing:
                log.error("the write-ahead log could not be written (%s); requests are refused", failure)
            error = OverloadedError(f"the write-ahead log could not be written: {failure.strerror}")
            written = 0
            self._drop_failed_bytes()
        if self._failing and error is None:
            log.warning("the write-ahead log can be written again")
        self._failing = error is not None
        size = sum(len(request.payload) for request in batch)
        with self._changed:
            self._waiting_bytes -= size
            self._backlog_bytes += written
            self._free_bytes -= written
        for request in batch:
            request.done(error)

    def _write_durably(self, batch: list[_Request]) -> int:
        if self._open is None:
            self._open = self._create()
        now_ns = time.time_ns()
        buffers = [part for payload, signal, _ in batch for part in (record_header(payload, now_ns, signal), payload)]
        end = self._disk.write(self._open.file, buffers, self._open.size)
        began_at = time.perf_counter()
        self._disk.sync(self._open.file)
        self._fsyncs.observe(time.perf_counter() - began_at)
        # Age counts from the first durable record: an empty segment has nothing that anyone waits for.
        if self._open.size == 0:
            self._open.first_at = time.monotonic()
        written = end - self._open.size
        self._open.size = end
        return written

    def _create(self) -> _OpenSegment:
        # A file left by a failed attempt is empty or unacknowledged, so the number is still free.
        path = self._folder / f"{self._floor + 1:010d}{OPEN}"
        file = os.open(path, os.O_CREAT | os.O_RDWR | os.O_TRUNC, 0o600)
        try:
            self._disk.sync_folder(self._folder)
        except OSError:
            os.close(file)
            raise
        return _OpenSegment(path, file, size=0, first_at=0.0)

    def _drop_failed_bytes(self) -> None:
        """Give the room back; should this fail too, the next write goes over the same place."""
        if self._open is None:
            return
        try:
            os.ftruncate(self._open.file, self._open.size)
        except OSError as failure:
            log.error("%s could not be cut back to %d bytes: %s", self._open.path, self._open.size, failure)

    def _seal_due_in_s(self) -> float | None:
        if self._open is None or not self._open.size:
            return None
        return max(0.0, self._open.first_at + self._limits.segment_age_s - time.monotonic())

    def _seal_due(self) -> bool:
        due_in_s = self._seal_due_in_s()
        return self._open is not None and (due_in_s == 0.0 or self._open.size >= self._limits.segment_bytes)

    def _seal(self) -> None:
        segment = self._open
        if segment is None:
            return
        try:
            if segment.size:
                os.ftruncate(segment.file, segment.size)
            self._finish(segment.path, keep=segment.size > 0)
        except OSError as failure:
            log.error("%s could not be sealed (%s); trying again", segment.path, failure)
            segment.first_at = time.monotonic()
            return
        os.close(segment.file)
        self._open = None

    def _finish(self, path: Path, *, keep: bool) -> None:
        """Rename an open segment to its sealed name, or remove an empty one, whose number is still unused."""
        if not keep:
            path.unlink()
            return
        number = int(path.name.removesuffix(OPEN))
        # The floor goes first: once the sealed name is seen, the segment may be committed and deleted at any time.
        self._disk.replace(self._folder / "floor", f"{number}\n")
        path.rename(segment_path(self._folder, number))
        self._floor = number

    def _recover(self) -> None:
        """Cut torn tails and seal what a crash left open."""
        highest = max((segment.number for segment in segments(self._folder)), default=0)
        self._floor = max(self._floor, highest)
        for path in sorted(self._folder.glob(f"*{OPEN}")):
            data = path.read_bytes()
            # Only behind the last whole record is a tear; damage before it stays for the reader to set aside.
            end = sound_length(data)
            if end < len(data):
                log.warning("%s: cut %d bytes that were never acknowledged", path.name, len(data) - end)
                with path.open("r+b") as handle:
                    handle.truncate(end)
                    self._disk.sync(handle.fileno())
            self._finish(path, keep=end > 0)


def _lock(folder: Path) -> int:
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        file = os.open(folder / "lock", os.O_CREAT | os.O_RDWR, 0o600)
    except OSError as error:
        raise WalError(folder, f"can't be used: {error.strerror}; choose another with --home") from error
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        holder = os.pread(file, 32, 0).decode("ascii", "replace").strip()
        os.close(file)
        advice = f"is in use by another collector (process {holder or 'unknown'}); stop it or choose another --home"
        raise WalBusyError(folder, advice) from error
    os.ftruncate(file, 0)
    os.pwrite(file, f"{os.getpid()}\n".encode("ascii"), 0)
    return file


def _prepare(folder: Path, disk: Disk) -> int:
    """Make `floor` and then `id` where there is no log yet; return the highest number ever sealed."""
    floor = folder / "floor"
    if not (folder / "id").exists():
        # The id comes last, so that a log with an id but no floor has lost it and isn't merely new.
        disk.replace(floor, "0\n")
        renew_id(folder, disk)
    try:
        return int(floor.read_text("ascii"))
    except (OSError, ValueError) as error:
        advice = (
            "has lost its file `floor`, so a number could be used twice and its spans be taken for a replay; "
            "write the highest segment number ever used into it, or let the segments be committed and move the "
            "folder away"
        )
        raise WalError(folder, advice) from error


def _existing(folder: Path) -> Path:
    """Return `folder`, or what is to hold it once it is made."""
    return next(path for path in (folder, *folder.absolute().parents) if path.exists())


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0  # the committer has just deleted it
