"""The contract that the collector's processes price under: read at the start, and again whenever its file changes.

A file that is wrong at the start ends the process with its line and key. One that goes wrong later leaves the contract
that was in force, because spans keep coming while somebody edits; so does one that was changed just now, which may not
be whole yet.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Final

from spanledger import contract
from spanledger.contract_file import ContractError, read_contract
from spanledger.entries import is_being_written
from spanledger.settings import Settings

LOG: Final = logging.getLogger("spanledger.collector")
_Stamp = tuple[Path, int, int] | None


class ContractWatch:
    """Keeps the contract of the settings in force.

    Raises (on construction):
        ContractError: its file can't be used.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._stamp = self._look()
        contract.use(read_contract(self._stamp[0]) if self._stamp else contract.NONE)

    def refresh(self) -> None:
        """Read the file again if it has changed."""
        try:
            stamp = self._look()
            if stamp == self._stamp or (stamp and is_being_written(stamp[1])):
                return
            self._stamp = stamp
            contract.use(read_contract(stamp[0]) if stamp else contract.NONE)
        except ContractError as error:
            LOG.warning("%s; the contract of before stays in force", error)
        else:
            LOG.info("the contract has changed: %s", stamp[0] if stamp else "there is none any more")

    def _look(self) -> _Stamp:
        path = contract.named(self._settings)
        if path is None:
            return None
        try:
            found = path.stat()
        except OSError as error:
            raise ContractError(path, None, f"can't be read ({error.strerror})") from error
        return path, found.st_mtime_ns, found.st_size
