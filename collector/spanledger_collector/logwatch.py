"""Whether somebody has committed to a table, for those who only watch and load neither Parquet nor Delta."""

from __future__ import annotations

import contextlib
from pathlib import Path

from spanledger.lake_path import LakePath

from .storage import exists, files_in, read_bytes


def entry_path(log: LakePath, version: int) -> LakePath:
    """Return where a table's log has the commit that made a version."""
    return log / f"{version:020d}.json"


class LogWatch:
    """Watches the folder of a table's log."""

    def __init__(self, log: LakePath) -> None:
        self._log = log
        self._version = -1
        """The last one seen, in a store."""

    def now(self) -> int | None:
        """Return a number that changes with each commit, None where there is no log."""
        if isinstance(self._log, Path):
            with contextlib.suppress(FileNotFoundError):
                return self._log.stat().st_mtime_ns
            return None
        if self._version < 0 or not exists(entry_path(self._log, self._version)):
            self._version = max((int(path.stem) for path, _ in files_in(self._log, "*.json")), default=-1)
        while self._version >= 0 and exists(entry_path(self._log, self._version + 1)):
            self._version += 1
        return None if self._version < 0 else self._version


class TableLog:
    """Counts the small files of a table by the entries of its log."""

    def __init__(self, log: LakePath, version: int | None = None, small: int = 0) -> None:
        self._log = log
        self.small: float = small
        """Or more, because it knows sizes only of those that it was told of."""
        if version is None:
            version = min((int(path.stem) for path, _ in files_in(log, "*.json")), default=0) - 1
            if version >= 0:
                self.small = float("inf")  # the log begins with a checkpoint
        self._version = version

    def read_on(self) -> None:
        """Count what commits have added since."""
        with contextlib.suppress(FileNotFoundError):
            while True:
                entry = read_bytes(entry_path(self._log, self._version + 1))
                self.small += entry.count(b'"add":{') - entry.count(b'"remove":{')
                self._version += 1
