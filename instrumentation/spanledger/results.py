"""Results of batches as they come: bytes, a line of JSON each.

They come by the thousand, so their records are made on the ledger's thread, as it sends them; the application's own
only hands over the lines that are whole. What it does not read is not charged until somebody does.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Generator, Mapping
from typing import Any, Final

from . import faults, ledger
from .later import Reading, Result, settle
from .record import Record

MAX_LINE_BYTES: Final = 16 * 1024 * 1024
"""One result that is larger is not read for its usage, nor is what follows it."""
Find = Callable[[Mapping[str, Any]], Result | None]
"""Find the answer in a line of results; None where it was not paid for."""


class Lines:
    """Takes decoded bytes as the application reads them, and hands over the lines that are whole."""

    def __init__(self, reading: Reading, find: Find) -> None:
        self._reading = reading
        self._find = find
        self._rest = bytearray()
        self._given_up = False

    def feed(self, data: bytes) -> bytes:
        """Take bytes in; the application may have all of them now."""
        if self._given_up:
            return data
        self._rest += data
        if b"\n" in data:
            end = self._rest.rindex(b"\n") + 1
            add_lines(self._reading, bytes(self._rest[:end]), self._find)
            del self._rest[:end]
        elif len(self._rest) > MAX_LINE_BYTES:
            self._given_up, self._rest = True, bytearray()
            faults.report("results of a batch are not recorded", "a line is too large to keep")
        return data

    def end(self) -> bytes:
        """Hand over the last line; the body is over."""
        if self._rest.strip():
            add_lines(self._reading, bytes(self._rest), self._find)
        self._rest = bytearray()
        settle()
        return b""


def add_lines(of: Reading, content: bytes, find: Find) -> None:
    """Hand lines of results over to the ledger, which reads them when it comes to them."""
    if ledger.start() and not ledger.add(_records(of, content, find)):
        count = sum(map(_may_be_charged, io.BytesIO(content)))
        faults.report("results of a batch count nowhere until they are read again", "queue full", count=count)


def _records(of: Reading, content: bytes, find: Find) -> Generator[Record, None, None]:
    for line in io.BytesIO(content):
        try:
            record = _read_line(of, line, find)
        except Exception as error:
            faults.report("a result of a batch is not recorded", error)
        else:
            if record is not None:
                yield record


def _may_be_charged(line: bytes) -> bool:
    return b'"usage"' in line and b'"custom_id"' in line


def _read_line(of: Reading, line: bytes, find: Find) -> Record | None:
    if not _may_be_charged(line):
        return None
    parsed = json.loads(line)
    result = find(parsed) if isinstance(parsed, dict) else None
    return of.record(result) if result is not None else None
