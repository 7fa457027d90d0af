"""Taking over what programs on this machine could not send before they ended.

A script that runs once a night and finds no collector leaves its spans in the spool, and no other may come after it to
send them. What the living wait for is theirs to send, so only the files of dead processes are taken, and those that
nobody has sent for long. The duty is that of the doors: a file is deleted after the fsync that covers its spans; dying
in between takes them in twice, and the second time they are known by their ids.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from spanledger.locks import hold
from spanledger.spool import SENDERS_LOCK, boot_id, waiting

from .dead import bury
from .errors import MalformedError, OverloadedError
from .intake import Intake
from .otlp_requests import read_protobuf

LOG: Final = logging.getLogger(__name__)

EVERY_S: Final = 10.0
FORGOTTEN_S: Final = 600.0
"""A file this old is taken though its process seems to live: its number may be another's now, or it may be frozen."""
_ROUND_FILES: Final = 64
_ROUND_BYTES: Final = 16 << 20
"""What is read at once, to share an fsync."""


@dataclass(frozen=True, slots=True)
class _Left:
    """A file of the spool, as it was seen."""

    path: Path
    size: int
    mtime_ns: int


class Adoption:
    """Looks into one spool folder, again and again."""

    def __init__(self, spool: Path, dead: Path, intake: Intake) -> None:
        self._spool = spool
        self._dead = dead
        self._intake = intake

    async def run(self) -> None:
        """Look now and every few seconds, until cancelled; what goes wrong is logged and tried again."""
        while True:
            try:
                await self.look()
            except Exception as error:
                LOG.warning("the spool %s could not be taken over, trying again: %s", self._spool, error)
            await asyncio.sleep(EVERY_S)

    async def look(self) -> int:
        """Take over what the dead left, oldest first, and return how many files that was."""
        taken = 0
        left = await asyncio.to_thread(_left_behind, self._spool)
        while left:
            with hold(self._spool / SENDERS_LOCK, 0.0) as held:
                if not held:  # a program is sending, and will not stop before the folder is empty
                    return taken
                batch = _batch(left)
                if not await self._take(batch):
                    return taken
            taken += len(batch)
            left = left[len(batch) :]
        return taken

    async def _take(self, batch: list[_Left]) -> bool:
        bodies = await asyncio.to_thread(lambda: [(left.path, _read(left.path)) for left in batch])
        # One after the other into the log, in this order, and all of them below one fsync.
        done = await asyncio.gather(*(self._take_one(path, body) for path, body in bodies if body is not None))
        return all(done)

    async def _take_one(self, path: Path, body: bytes) -> bool:
        try:
            await self._intake.take(read_protobuf(body, ExportTraceServiceRequest), body)
        except MalformedError as error:
            await asyncio.to_thread(bury, self._dead, f"spool-{path.name}", [(body, error.message)])
            LOG.warning("%s cannot be read and went to %s", path, self._dead)
        except OverloadedError:
            return False
        self._intake.adopted_bodies += 1
        await asyncio.to_thread(path.unlink, missing_ok=True)
        return True


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:  # its program has sent it in between, or given it up
        return None


def _left_behind(spool: Path) -> list[_Left]:
    found = []
    boot, now_ns = boot_id(), time.time_ns()
    for path in waiting(spool):
        with contextlib.suppress(FileNotFoundError):
            seen = path.stat()
            left = _Left(path, seen.st_size, seen.st_mtime_ns)
            if _is_dead(path.name, boot) or now_ns - left.mtime_ns > FORGOTTEN_S * 1e9:
                found.append(left)
    return sorted(found, key=lambda left: (left.mtime_ns, left.path.name))


def _batch(left: list[_Left]) -> list[_Left]:
    """Return the first files, at least one, that are read together."""
    size, count = left[0].size, 1
    while count < min(len(left), _ROUND_FILES) and size + left[count].size <= _ROUND_BYTES:
        size += left[count].size
        count += 1
    return left[:count]


def _is_dead(name: str, boot: str) -> bool:
    """Say whether the process that wrote a file is gone; one of another container looks so, and its file is whole."""
    of_boot, _, rest = name.partition("-")
    pid = rest.partition("-")[0]
    if of_boot != boot or not pid.isdecimal():
        return True
    try:
        os.kill(int(pid), 0)
    except PermissionError:
        return False
    except (ProcessLookupError, OverflowError):
        return True
    return False
