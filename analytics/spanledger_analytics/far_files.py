"""How DuckDB reads files of a store: by a file system of Python, because its own (`httpfs`) isn't in the wheel.

Each read is one request for just the bytes that DuckDB asks for, the end of a file and then the columns it needs. To
make the views, every file is opened some fifty times; data files never change, so what is small is asked for once a
process and then kept. Nothing can be written.
"""

from __future__ import annotations

import io
import threading
from collections import OrderedDict
from datetime import UTC, datetime
from functools import cache, lru_cache
from typing import Any, Final

import duckdb
import pyarrow as pa
from fsspec import AbstractFileSystem

from spanledger.lake_path import StorePath
from spanledger_collector.store import store

_KEPT_BYTES: Final = 64 << 20
"""Of small reads, all files together."""
_SMALL_BYTES: Final = 256 << 10
_UNCHANGED: Final = datetime(1970, 1, 1, tzinfo=UTC)


def reach(connection: duckdb.DuckDBPyConnection) -> None:
    """Let a connection read files of the store, and write none."""
    connection.register_filesystem(_far_files())


class _FarFiles(AbstractFileSystem):  # type: ignore[misc]
    """The store as DuckDB asks for it."""

    protocol = "s3"
    cachable = False

    def open(self, path: str, mode: str = "rb", **_: object) -> _FarFile:
        """Open a data file for reading."""
        if mode != "rb":
            raise PermissionError(f"{path} can only be read")
        return _FarFile(path)

    def info(self, path: str, **_: object) -> dict[str, Any]:
        """Return what is known of a file."""
        return {"name": path, "size": _opened(path).size(), "type": "file"}

    def exists(self, path: str, **_: object) -> bool:
        """Say whether a file is there."""
        try:
            return bool(_opened(path))
        except FileNotFoundError:
            return False

    def modified(self, path: str) -> datetime:
        """Return the same for all: what has a name doesn't change."""
        return _UNCHANGED


class _FarFile(io.RawIOBase):
    """One data file, which several threads may have open."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._source = _opened(path)
        self.size: int = self._source.size()
        self._at = 0

    def read(self, size: int = -1) -> bytes:
        """Read from where it stands."""
        wanted = self.size - self._at if size < 0 else min(size, self.size - self._at)
        content = _SMALL.read(self._source, self._path, self._at, wanted)
        self._at += len(content)
        return content

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go to a place."""
        self._at = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self.size}[whence]
        return self._at

    def tell(self) -> int:
        """Return where it stands."""
        return self._at

    def seekable(self) -> bool:
        """It can."""
        return True

    def readable(self) -> bool:
        """It can."""
        return True


class _SmallReads:
    """What was read of files and is small, the latest first."""

    def __init__(self) -> None:
        self._kept: OrderedDict[tuple[str, int, int], bytes] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()

    def read(self, source: pa.NativeFile, path: str, offset: int, size: int) -> bytes:
        """Return a part of a file."""
        key = (path, offset, size)
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
        content: bytes = source.read_at(size, offset)
        if size <= _SMALL_BYTES:
            self._keep(key, content)
        return content

    def _keep(self, key: tuple[str, int, int], content: bytes) -> None:
        with self._lock:
            if key not in self._kept:
                self._kept[key] = content
                self._bytes += len(content)
            while self._bytes > _KEPT_BYTES:
                _, gone = self._kept.popitem(last=False)
                self._bytes -= len(gone)


_SMALL: Final = _SmallReads()


@lru_cache(maxsize=4096)
def _opened(path: str) -> pa.NativeFile:
    return store().opened(StorePath(path))


@cache
def _far_files() -> _FarFiles:
    return _FarFiles()
