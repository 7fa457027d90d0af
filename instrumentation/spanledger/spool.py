"""Bodies that could not be sent, kept on disk until some process can send them.

One folder per user, one file per body, named `<boot>-<pid>-<seq>`: complete when it has its name, so whoever finds it
may send it, whether its writer lives or not. Sending one twice does no harm, as the collector knows every span id.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from . import faults
from .locks import hold

FOLDER_LIMIT_BYTES: Final = 64 * 1024 * 1024
MEMORY_LIMIT_BYTES: Final = 8 * 1024 * 1024
"""What is kept in memory where the disk cannot be written."""
_HALF_WRITTEN: Final = ".part-"
_DROPPED: Final = ".dropped"
_AT_MOST: Final = ".bytes"
"""Says how much the folder holds at most: writers add to it, and count anew only when that is too much."""
_ROOM_MADE: Final = 8
"""A full folder gives up this part of its limit, an eighth, so that not every body costs a look at all files."""
_WRITERS_LOCK: Final = ".lock"
SENDERS_LOCK: Final = ".sending"
_LOCK_PATIENCE_S: Final = 1.0
_ABANDONED_S: Final = 3600.0


@dataclass(frozen=True, slots=True)
class Kept:
    """A body that waits."""

    body: bytes
    forget: Callable[[], None]
    """Take it out of the spool."""


@dataclass(frozen=True, slots=True)
class Backlog:
    """What waits in a spool folder."""

    files: int
    bytes: int
    oldest_s: float
    """Age of the oldest file; 0 when there is none."""
    dropped: int
    """Bodies given up so far because the folder was full."""


class Spool:
    """Keeps bodies in a folder, and in memory where that cannot be written."""

    def __init__(
        self, folder: Path, *, limit_bytes: int = FOLDER_LIMIT_BYTES, memory_bytes: int = MEMORY_LIMIT_BYTES
    ) -> None:
        self._folder = folder
        self._limit = limit_bytes
        self._memory_limit = memory_bytes
        self._memory: deque[bytes] = deque()
        self._order: deque[Path] = deque()
        """Files still to be sent, oldest first, as of the last look at the folder."""
        self._prefix = f"{boot_id()}-{os.getpid()}"
        self._sequence = 0

    def keep(self, body: bytes) -> None:
        """Keep a body; the oldest ones give way to it where there is no room."""
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            with hold(self._folder / _WRITERS_LOCK, _LOCK_PATIENCE_S) as held:
                if not held:  # on the account with the next count; two that count at once would drop too much
                    self._write(body)
                    return
                # First the account, so that a process that dies here leaves it too high and not too low.
                at_most = _number(self._folder / _AT_MOST, self._limit) + len(body)
                self._account(at_most)
                self._write(body)
                if at_most > self._limit:
                    self._trim()
        except Exception as error:
            expected = isinstance(error, OSError)
            faults.report("spool cannot be written, spans are kept in memory", error, expected=expected)
            self._remember(body)

    def has_any(self) -> bool:
        """Whether anything waits, on disk or in memory."""
        return bool(self._memory) or next(waiting(self._folder), None) is not None

    @contextlib.contextmanager
    def oldest_first(self, most: int) -> Iterator[Iterator[Kept] | None]:
        """Give up to `most` bodies to send; None while another process is sending this folder's."""
        if not self._memory and next(waiting(self._folder), None) is None:
            yield iter(())
            return
        try:
            lock = hold(self._folder / SENDERS_LOCK, 0.0)
            held = lock.__enter__()
        except OSError:  # the folder cannot be written, and so holds nothing of ours
            yield self._from_memory(most)
            return
        try:
            yield self._from_both(most) if held else None
        finally:
            lock.__exit__(None, None, None)

    def _from_both(self, most: int) -> Iterator[Kept]:
        if not self._order:
            self._order.extend(sorted(waiting(self._folder), key=_age_key))
        given, all_taken = 0, False
        try:
            while self._order and given < most:
                given += 1
                file = self._order.popleft()
                try:
                    body = file.read_bytes()
                except OSError as error:
                    if file.exists():
                        faults.report("spooled batch left where it is", error, expected=True)
                    continue
                yield Kept(body, partial(file.unlink, missing_ok=True))
            all_taken = True
        finally:
            if not all_taken:  # one is still there, and it is the oldest
                self._order.clear()
        yield from self._from_memory(most - given)

    def _from_memory(self, most: int) -> Iterator[Kept]:
        for _ in range(min(most, len(self._memory))):
            yield Kept(self._memory[0], self._forget_oldest)

    def give_up(self) -> None:
        """Count what only memory holds: the process ends."""
        if self._memory:
            faults.report("batches lost", "spool not written, and the process ends", count=len(self._memory))

    def _forget_oldest(self) -> None:
        self._memory.popleft()

    def _remember(self, body: bytes) -> None:
        self._memory.append(body)
        while sum(map(len, self._memory)) > self._memory_limit:
            self._memory.popleft()
            faults.report("batches lost", "the collector is away and memory for spans is full")

    def _write(self, body: bytes) -> None:
        part = self._folder / f"{_HALF_WRITTEN}{self._prefix}-{time.monotonic_ns()}"
        try:
            with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                file.write(body)
            while True:
                self._sequence += 1
                # Another process may have our boot and pid: containers that share the folder do.
                final = self._folder / f"{self._prefix}-{self._sequence:06d}"
                if not final.exists():
                    part.rename(final)
                    return
        except OSError:
            part.unlink(missing_ok=True)
            raise

    def _trim(self) -> None:
        """Count what there is, and where that is too much give up the oldest."""
        self._clear_half_written()
        files = [(file, _size(file)) for file in sorted(waiting(self._folder), key=_age_key)]
        total, dropped = sum(size for _, size in files), 0
        room = self._limit - self._limit // _ROOM_MADE if total > self._limit else self._limit
        for file, size in files:
            if total <= room:
                break
            total -= size
            with contextlib.suppress(FileNotFoundError):  # sent in between, so not lost
                file.unlink()
                dropped += 1
        self._account(total)
        if dropped:
            faults.report("batches lost", "the collector is away and the spool is full", count=dropped)
            so_far = _number(self._folder / _DROPPED, 0)
            (self._folder / _DROPPED).write_text(str(so_far + dropped), "ascii")

    def _account(self, at_most: int) -> None:
        (self._folder / _AT_MOST).write_text(str(at_most), "ascii")

    def _clear_half_written(self) -> None:
        for part in self._folder.glob(f"{_HALF_WRITTEN}*"):
            with contextlib.suppress(FileNotFoundError):
                if time.time() - part.stat().st_mtime > _ABANDONED_S:
                    part.unlink()


def backlog(folder: Path) -> Backlog:
    """Say what waits in a spool folder; nothing where there is none."""
    sizes, oldest = [], time.time()
    for file in waiting(folder):
        with contextlib.suppress(FileNotFoundError):
            found = file.stat()
            sizes.append(found.st_size)
            oldest = min(oldest, found.st_mtime)
    age = time.time() - oldest if sizes else 0.0
    return Backlog(len(sizes), sum(sizes), age, _number(folder / _DROPPED, 0))


def waiting(folder: Path) -> Iterator[Path]:
    """Find the files of a spool folder that wait to be sent, in no order."""
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if not entry.name.startswith(".") and entry.is_file(follow_symlinks=False):
                    yield Path(entry.path)
    except OSError:  # no folder, nothing waits
        return


def _age_key(file: Path) -> tuple[int, str]:
    try:
        return file.stat().st_mtime_ns, file.name
    except OSError:  # sent by someone else in between
        return 0, file.name


def _size(file: Path) -> int:
    try:
        return file.stat().st_size
    except OSError:  # sent by someone else in between
        return 0


def _number(path: Path, otherwise: int) -> int:
    try:
        return int(path.read_text("ascii"))
    except (OSError, ValueError):
        return otherwise


def boot_id() -> str:
    """Return what tells this boot of the machine from others, in 8 hexadecimal digits."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()[:8]
    except OSError:
        # Elsewhere the minute of the boot tells one from another.
        return f"{int((time.time() - time.monotonic()) / 60):08x}"
