"""The few file operations that a promise hangs on, in one place, so that tests can make a disk fail."""

from __future__ import annotations

import fcntl
import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

_BUFFERS_PER_CALL: Final = 512  # below every platform's IOV_MAX


class Disk:
    """The real disk."""

    def write(self, file: int, buffers: Sequence[bytes], offset: int) -> int:
        """Write all buffers from `offset` on, and return the offset after them."""
        for start in range(0, len(buffers), _BUFFERS_PER_CALL):
            offset = self._write_some(file, buffers[start : start + _BUFFERS_PER_CALL], offset)
        return offset

    def sync(self, file: int) -> None:
        """Return when the file's contents would survive a power cut."""
        if sys.platform == "darwin":
            fcntl.fcntl(file, fcntl.F_FULLFSYNC)  # its fsync leaves the data in the drive's cache
        else:
            os.fdatasync(file)

    def sync_folder(self, folder: Path) -> None:
        """Return when names made, changed or removed in `folder` would survive a power cut."""
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)

    def replace(self, path: Path, text: str) -> None:
        """Give a small file new contents, all or nothing, durably."""
        draft = path.with_name(f"{path.name}.tmp")
        with draft.open("w", encoding="utf-8") as handle:
            handle.write(text)
            handle.flush()
            self.sync(handle.fileno())
        draft.rename(path)
        self.sync_folder(path.parent)

    def free_bytes(self, folder: Path) -> int:
        """Return the room left on the disk of `folder`."""
        return shutil.disk_usage(folder).free

    def _write_some(self, file: int, buffers: Sequence[bytes], offset: int) -> int:
        written = os.pwritev(file, buffers, offset)
        offset += written
        for buffer in buffers:
            if written >= len(buffer):
                written -= len(buffer)
                continue
            rest = memoryview(buffer)[written:]
            written = 0
            while rest:
                count = os.pwrite(file, rest, offset)
                offset += count
                rest = rest[count:]
        return offset


def publish(path: Path, content: bytes) -> None:
    """Write a file so that it is there whole or not at all, and survives a power cut."""
    draft = path.with_suffix(path.suffix + ".tmp")
    with draft.open("wb") as handle:
        handle.write(content)
        handle.flush()
        os.fsync(handle.fileno())
    draft.rename(path)
    Disk().sync_folder(path.parent)
