"""The write-ahead log on disk: its names, its records, and reading a sealed segment.

A record carries a marker, which says what signal it is of, and a checksum, so that a damaged place costs the records
it touches and no others: reading goes on at the next place where a whole record stands. The writer is in
`wal_writer`.
"""

from __future__ import annotations

import re
import struct
import uuid
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, NamedTuple

from .disk import Disk
from .errors import WalError

SEALED: Final = ".wal"
OPEN: Final = ".wal.open"
Signal = Literal["traces", "logs", "metrics"]
MARKERS: Final[dict[Signal, bytes]] = {"traces": b"SLW1", "logs": b"SLL1", "metrics": b"SLM1"}
_SIGNALS: Final[dict[bytes, Signal]] = {marker: signal for signal, marker in MARKERS.items()}
_ANY_MARKER: Final = re.compile(b"|".join(MARKERS.values()))
_SEEDS: Final[dict[Signal, int]] = {
    signal: 0 if signal == "traces" else zlib.crc32(marker) for signal, marker in MARKERS.items()
}
"""Where the checksum starts. Markers may be one bit apart, so it covers them; but for traces', which is older."""
_HEADER: Final = struct.Struct("<4sIIQ")
"""Marker, bytes of payload, crc32, received time in ns since 1970 UTC."""
_CHECKED: Final = struct.Struct("<IQ")
HEADER_BYTES: Final = _HEADER.size


@dataclass(frozen=True, slots=True)
class Record:
    """One request as it was acknowledged."""

    received_ns: int
    """When it came, nanoseconds since 1970 UTC."""
    payload: bytes
    """The signal's export request, protobuf, uncompressed."""
    signal: Signal = "traces"


@dataclass(frozen=True, slots=True)
class Damage:
    """Bytes of a segment in which no whole record stands."""

    offset: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Contents:
    """What one segment holds, in the order it was written."""

    records: tuple[Record, ...]
    damages: tuple[Damage, ...]
    """Empty for a sound segment."""


class Segment(NamedTuple):
    """One sealed segment; it never changes until it is deleted."""

    number: int
    path: Path


def wal_dir(home: Path) -> Path:
    """Return the folder of the write-ahead log."""
    return home / "wal"


def wal_id(folder: Path) -> str:
    """Return the id that was made with the log; with a segment's number it names that segment for ever.

    Raises:
        WalError: there is no log in `folder`.
    """
    try:
        return (folder / "id").read_text("ascii").strip()
    except OSError as error:
        raise WalError(folder, f"has no readable id ({error.strerror}); start the collector on it first") from error


def renew_id(folder: Path, disk: Disk | None = None) -> None:
    """Give the log a new id, under which no number has been used yet."""
    (disk or Disk()).replace(folder / "id", f"{uuid.uuid4()}\n")


def is_set_back(folder: Path, committed: int) -> bool:
    """Whether a lake holds a segment of this log that the log hasn't made yet: it is an older copy of itself.

    Its next segments would be taken for replays of others, and be dropped.
    """
    try:
        return committed > int((folder / "floor").read_text("ascii"))
    except (OSError, ValueError):
        return False  # the writer of the log has a say about a lost floor


def segment_path(folder: Path, number: int) -> Path:
    """Return where a sealed segment stands."""
    return folder / f"{number:010d}{SEALED}"


def segments(folder: Path) -> list[Segment]:
    """Return the sealed segments by number. Numbers follow on without gaps and are never used again."""
    return sorted(
        Segment(int(path.name.removesuffix(SEALED)), path)
        for path in folder.glob(f"*{SEALED}")
        if path.name.removesuffix(SEALED).isdecimal()
    )


def first_received_ns(path: Path) -> int | None:
    """Return when the first request of a segment came, or None where it has none or can't be read."""
    try:
        with path.open("rb") as handle:
            head = handle.read(HEADER_BYTES)
    except OSError:
        return None
    if len(head) < HEADER_BYTES or head[:4] not in _SIGNALS:
        return None
    received_ns: int = _HEADER.unpack(head)[3]
    return received_ns


def read_segment(path: Path) -> Contents:
    """Read every whole record of a segment, and set aside the bytes between them."""
    data = path.read_bytes()
    records: list[Record] = []
    damages: list[Damage] = []
    end = 0
    for start, record in _whole_records(data):
        if start > end:
            damages.append(Damage(end, data[end:start]))
        records.append(record)
        end = start + HEADER_BYTES + len(record.payload)
    if end < len(data):
        damages.append(Damage(end, data[end:]))
    return Contents(tuple(records), tuple(damages))


def sound_length(data: bytes) -> int:
    """Return the offset after the last whole record: whatever follows is a torn tail."""
    end = 0
    for start, record in _whole_records(data):
        end = start + HEADER_BYTES + len(record.payload)
    return end


def record_header(payload: bytes, received_ns: int, signal: Signal = "traces") -> bytes:
    """Return the header that stands before `payload`."""
    return _HEADER.pack(MARKERS[signal], len(payload), _checksum(payload, received_ns, signal), received_ns)


def _checksum(payload: bytes, received_ns: int, signal: Signal) -> int:
    checked = _CHECKED.pack(len(payload), received_ns)
    return zlib.crc32(payload, zlib.crc32(checked, _SEEDS[signal]))


def _whole_records(data: bytes) -> Iterator[tuple[int, Record]]:
    position = 0
    while position >= 0:
        record = _record_at(data, position)
        if record is not None:
            yield position, record
            position += HEADER_BYTES + len(record.payload)
        else:
            position = _next_whole(data, position)


def _next_whole(data: bytes, position: int) -> int:
    """Return where reading goes on after damage at `position`, or -1.

    The length in the damaged record is believed first, because a payload may itself contain bytes that look
    like a record.
    """
    if position + HEADER_BYTES <= len(data):
        length: int = _HEADER.unpack_from(data, position)[1]
        stated = position + HEADER_BYTES + length
        if _record_at(data, stated) is not None:
            return stated
    for candidate in _ANY_MARKER.finditer(data, position + 1):
        if _record_at(data, candidate.start()) is not None:
            return candidate.start()
    return -1


def _record_at(data: bytes, position: int) -> Record | None:
    start = position + HEADER_BYTES
    if start > len(data):
        return None
    marker, length, checksum, received_ns = _HEADER.unpack_from(data, position)
    signal = _SIGNALS.get(marker)
    if signal is None or start + length > len(data):
        return None
    payload = data[start : start + length]
    if _checksum(payload, received_ns, signal) != checksum:
        return None
    return Record(received_ns, payload, signal)
