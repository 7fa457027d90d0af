"""Bodies in files, as the OpenTelemetry Collector's file exporter writes them, read one by one.

That is a JSON object a line, or bodies with four bytes before each that say how long it is (big-endian); such a body
may be compressed by itself, and the file as a whole, too. A single body, in protobuf or in JSON of any shape, is read
as well. Which of these a file is, is told by its first bytes and not by its name; what is damaged costs itself only.
"""

from __future__ import annotations

import gzip
import io
import json
import struct
import sys
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO, Final, cast

from .errors import MalformedError

if TYPE_CHECKING:
    from typing_extensions import Buffer

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

MOST_BODY_BYTES: Final = 256 << 20
"""A body that is larger, as stored or after decompression, is passed over."""
_GZIP: Final = b"\x1f\x8b"
_ZSTD: Final = b"\x28\xb5\x2f\xfd"
_LENGTH: Final = struct.Struct(">I")
_RESOURCE: Final = b"\n"
"""The first byte of a body in protobuf: its field 1, with a length."""
_TROUBLES: Final = (OSError, EOFError, zlib.error, zstd.ZstdError)


@dataclass(frozen=True, slots=True)
class Stored:
    """A body as it was found; `data` is JSON or protobuf."""

    place: str
    """`line 7`, or `byte 1234`; after decompression where the whole file is compressed."""
    data: bytes


@dataclass(frozen=True, slots=True)
class Fault:
    """A place in which no body could be found."""

    place: str
    reason: str


def read_stored(file: BinaryIO) -> Iterator[Stored | Fault]:
    """Yield what a file holds, in order; memory is bounded by the largest body."""
    stream = _opened(file)
    try:
        first = stream.peek(8)[:8]
        if not first:
            return
        if first[:1] == _RESOURCE:
            yield from _single(stream, b"", "byte 0")
        elif first.lstrip()[:1] == b"{":
            yield from _lines(stream)
        elif len(first) >= _LENGTH.size and 0 < _LENGTH.unpack_from(first)[0] <= MOST_BODY_BYTES:
            yield from _prefixed(stream)
        else:
            yield Fault("byte 0", "is neither OTLP in JSON nor in protobuf")
    except _TROUBLES as error:
        yield Fault("the rest", f"can't be read: {error}")


def _opened(file: BinaryIO) -> io.BufferedReader:
    """Return the file, decompressed if it is compressed as a whole."""
    stream = _buffered(file)
    first = stream.peek(4)[:4]
    if first[:2] == _GZIP:
        return _buffered(_Inflating(gzip.GzipFile(fileobj=stream)))
    if first == _ZSTD:
        return _buffered(_Inflating(zstd.ZstdFile(stream)))
    return stream


def _buffered(file: object) -> io.BufferedReader:
    return file if isinstance(file, io.BufferedReader) else io.BufferedReader(cast("Any", file))


class _Inflating(io.RawIOBase):
    """A compressed file that gives what it has before it complains of what follows."""

    def __init__(self, file: gzip.GzipFile | zstd.ZstdFile) -> None:
        self._file = file

    def readable(self) -> bool:
        return True

    def readinto(self, target: Buffer, /) -> int:
        view = memoryview(target)
        data = self._file.read1(len(view))
        view[: len(data)] = data
        return len(data)


def _lines(stream: io.BufferedReader) -> Iterator[Stored | Fault]:
    number = 0
    while line := stream.readline(MOST_BODY_BYTES + 1):
        number += 1
        place = f"line {number}"
        if len(line) > MOST_BODY_BYTES:
            while not line.endswith(b"\n") and (line := stream.readline(1 << 20)):
                pass
            yield Fault(place, f"is longer than {MOST_BODY_BYTES} bytes")
        elif number == 1 and not _is_whole(line):
            yield from _single(stream, line, place)
            return
        elif line.strip():
            yield Stored(place, line)


def _is_whole(line: bytes) -> bool:
    """Say whether a line is a JSON object; the first of a document on many lines is not."""
    if line.strip() == b"{":
        return False
    try:
        json.loads(line)
    except (ValueError, RecursionError):
        return line.rstrip().endswith(b"}")  # damaged, and complained of as a line
    return True


def _single(stream: io.BufferedReader, begin: bytes, place: str) -> Iterator[Stored | Fault]:
    """Yield all that is left as one body."""
    data = begin + stream.read(MOST_BODY_BYTES + 1)
    if len(data) > MOST_BODY_BYTES:
        yield Fault(place, f"is a body longer than {MOST_BODY_BYTES} bytes")
    else:
        yield Stored(place, data)


def _prefixed(stream: io.BufferedReader) -> Iterator[Stored | Fault]:
    offset = 0
    while head := stream.read(_LENGTH.size):
        place = f"byte {offset}"
        length = _LENGTH.unpack(head)[0] if len(head) == _LENGTH.size else 0
        if length > MOST_BODY_BYTES:
            yield Fault(place, f"says that {length} bytes follow; the rest is passed over")
            return
        data = stream.read(length)
        if len(head) < _LENGTH.size or len(data) < length:
            yield Fault(place, "ends in the middle of a body")
            return
        offset += len(head) + length
        if not data:
            continue
        try:
            yield Stored(place, _inflated(data))
        except MalformedError as error:
            yield Fault(place, error.message)


def _inflated(data: bytes) -> bytes:
    """Return a body that may be compressed by itself."""
    if data[:4] != _ZSTD:
        return data
    try:
        with zstd.ZstdFile(io.BytesIO(data)) as stream:
            found: bytes = stream.read(MOST_BODY_BYTES + 1)
    except _TROUBLES as error:
        raise MalformedError(f"can't be decompressed: {error}") from error
    if len(found) > MOST_BODY_BYTES:
        raise MalformedError(f"is longer than {MOST_BODY_BYTES} bytes after decompression")
    return found
