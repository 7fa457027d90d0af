"""A disk that can be filled up and emptied: a small one in memory, or a limit that acts so where nobody may mount."""

from __future__ import annotations

import contextlib
import os
import resource
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, Protocol

from process_tree import Process, tree_of

DISK_BYTES: Final = 64 << 20
Wanted = Callable[[Process], bool]


class SmallDisk(Protocol):
    """A disk that can be filled up."""

    folder: Path

    def fill(self, pid: int) -> None:
        """Leave no room at all to the process tree of `pid`."""

    def leave(self, size: int) -> bool:
        """Leave so many bytes; False where that can't be done."""
        ...

    def free(self, pid: int) -> None:
        """Make room again."""


class MemoryDisk:
    """A file system in memory, mounted for the test."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._ballast = folder / "ballast"

    def fill(self, pid: int) -> None:
        """Leave no room at all."""
        with contextlib.suppress(OSError), self._ballast.open("ab", buffering=0) as ballast:
            while ballast.write(bytes(1 << 20)):
                """Until there is no room: what fits is written."""

    def leave(self, size: int) -> bool:
        """Leave so many bytes."""
        free = os.statvfs(self.folder).f_bavail * os.statvfs(self.folder).f_frsize
        with self._ballast.open("ab") as ballast:
            ballast.write(bytes(max(0, free - size)))
        return True

    def free(self, pid: int) -> None:
        """Make room again."""
        self._ballast.unlink()


class FileLimit:
    """The system's limit on the size of files, set on running processes: they can write no more, as on a full disk."""

    def __init__(self, folder: Path, wanted: Wanted) -> None:
        self.folder = folder
        self._wanted = wanted

    def fill(self, pid: int) -> None:
        """Let no process of the tree that is wanted make a file larger."""
        self._limit(pid, 0)

    def leave(self, size: int) -> bool:
        """Do nothing: there is no such limit."""
        return False

    def free(self, pid: int) -> None:
        """Lift the limit."""
        self._limit(pid, resource.RLIM_INFINITY)

    def _limit(self, pid: int, size: int) -> None:
        for process in filter(self._wanted, tree_of(pid)):
            with contextlib.suppress(ProcessLookupError):
                resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))


@contextlib.contextmanager
def memory_disk(folder: Path) -> Iterator[MemoryDisk | None]:
    """Mount a small disk; None where that isn't allowed."""
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "none", str(folder)]
    try:
        subprocess.run(command, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        yield None
        return
    try:
        yield MemoryDisk(folder)
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)
