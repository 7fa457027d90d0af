"""The base of the price book in the collector's processes: read at the start, and again whenever its file changes.

Unlike a contract, a base that can't be used never ends a process and never stays in force: the shipped one counts
then, as it does in every program and command that reads the same file.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Final

from spanledger import base_file
from spanledger.settings import Settings

LOG: Final = logging.getLogger("spanledger.collector")
_Stamp = tuple[Path, int, int, int] | None


class BaseWatch:
    """Keeps the base of the settings in force."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._stamp: _Stamp = None
        self.refresh()

    def refresh(self) -> None:
        """Read the file again if it has changed."""
        stamp = self._look()
        if stamp == self._stamp:
            return
        self._stamp = stamp
        try:
            base_file.use_named(self._settings)
        except base_file.BaseFileError as error:
            LOG.warning("%s; the shipped prices count", error)
        else:
            LOG.info("the base of the price book is %s", stamp[0] if stamp else "the shipped one again")

    def _look(self) -> _Stamp:
        path = base_file.named(self._settings)
        if path is None:
            return None
        try:
            found = path.stat()
        except OSError:
            return path, 0, 0, 0
        return path, found.st_mtime_ns, found.st_size, found.st_ino
