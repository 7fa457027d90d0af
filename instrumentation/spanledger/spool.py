"""Bodies that could not be sent, kept on disk until some process can send them.

One folder per user, one file per body, named `<boot>-<pid>-<seq>`: complete when it has its name, so whoever finds it
may send it, whether its writer lives or not. Sending one twice does no harm, as the collector knows every span id.
"""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from . import faults

FOLDER_LIMIT_BYTES: Final = 64 * 1024 * 1024
MEMORY_LIMIT_BYTES: Final = 8 * 1024 * 1024
"""What is kept in memory where the disk cannot be written."""
_HALF_WRITTEN: Final = ".part-"
_ACCOUNT: Final = ".dropped"
_WRITERS_LOCK: Final = ".lock"
_SENDERS_LOCK: Final = ".sending"
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
        self._prefix = f"{_boot_id()}-{os.getpid()}"
        self._sequence = 0

    def keep(self, body: bytes) -> None:
        """Keep a body; the oldest ones give way to it where there is no room."""
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            with _lock(self._folder / _WRITERS_LOCK, _LOCK_PATIENCE_S):
                self._write(body)
                self._trim()
        except OSError as error:
            faults.report("spool cannot be written, spans are kept in memory", error, expected=True)
            self._remember(body)

    def has_any(self) -> bool:
        """Whether anything waits, on disk or in memory."""
        return bool(self._memory) or next(_waiting(self._folder), None) is not None

    @contextlib.contextmanager
    def oldest_first(self, most: int) -> Iterator[Iterator[Kept] | None]:
        """Give up to `most` bodies to send; None while another process is sending this folder's."""
        if not self._memory and next(_waiting(self._folder), None) is None:
            yield iter(())
            return
        try:
            lock = _lock(self._folder / _SENDERS_LOCK, 0.0)
            held = lock.__enter__()
        except OSError:  # the folder cannot be written, and so holds nothing of ours
            yield self._from_memory(most)
            return
        try:
            yield self._from_both(most) if held else None
        finally:
            lock.__exit__(None, None, None)

    def _from_both(self, most: int) -> Iterator[Kept]:
        files = sorted(_waiting(self._folder), key=_age_key)[:most]
        for file in files:
            try:
                body = file.read_bytes()
            except OSError as error:
                if file.exists():
                    faults.report("spooled batch left where it is", error, expected=True)
                continue
            yield Kept(body, partial(file.unlink, missing_ok=True))
        yield from self._from_memory(most - len(files))

    def _from_memory(self, most: int) -> Iterator[Kept]:
        for _ in range(min(most, len(self._memory))):
            yield Kept(self._memory[0], self._forget_oldest)

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
        self._clear_half_written()
        files = [(file, file.stat().st_size) for file in sorted(_waiting(self._folder), key=_age_key)]
        excess, dropped = sum(size for _, size in files) - self._limit, 0
        for file, size in files:
            if excess <= 0:
                break
            file.unlink(missing_ok=True)
            excess, dropped = excess - size, dropped + 1
        if dropped:
            faults.report("batches lost", "the collector is away and the spool is full", count=dropped)
            account = self._folder / _ACCOUNT
            account.write_text(str(_dropped(self._folder) + dropped), "ascii")

    def _clear_half_written(self) -> None:
        for part in self._folder.glob(f"{_HALF_WRITTEN}*"):
            with contextlib.suppress(FileNotFoundError):
                if time.time() - part.stat().st_mtime > _ABANDONED_S:
                    part.unlink()


def backlog(folder: Path) -> Backlog:
    """Say what waits in a spool folder; nothing where there is none."""
    sizes, oldest = [], time.time()
    for file in _waiting(folder):
        with contextlib.suppress(FileNotFoundError):
            found = file.stat()
            sizes.append(found.st_size)
            oldest = min(oldest, found.st_mtime)
    age = time.time() - oldest if sizes else 0.0
    return Backlog(len(sizes), sum(sizes), age, _dropped(folder))


def _waiting(folder: Path) -> Iterator[Path]:
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


def _dropped(folder: Path) -> int:
    try:
        return int((folder / _ACCOUNT).read_text("ascii"))
    except (OSError, ValueError):
        return 0


def _boot_id() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()[:8]
    except OSError:
        # Elsewhere the minute of the boot tells one from another.
        return f"{int((time.time() - time.monotonic()) / 60):08x}"


@contextlib.contextmanager
def _lock(path: Path, patience_s: float) -> Iterator[bool]:
    """Hold an advisory lock on `path`; False where it was not to be had in time."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        deadline = time.monotonic() + patience_s
        while not (held := _try_lock(descriptor)) and time.monotonic() < deadline:
            time.sleep(0.01)
        yield held
    finally:
        os.close(descriptor)  # and with it the lock


if sys.platform == "win32":
    import msvcrt

    def _try_lock(descriptor: int) -> bool:
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True
else:
    import fcntl

    def _try_lock(descriptor: int) -> bool:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
        return True
