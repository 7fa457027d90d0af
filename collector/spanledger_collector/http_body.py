"""A request's body as it arrives: inflated chunk by chunk and never grown beyond the limit.

The limit holds for what comes out, because a few kilobytes of gzip can hold gigabytes. Zstandard comes from the
standard library (its backport before Python 3.14) and not from pyarrow, which would make the doors' process three
times as large and can't bound what a frame makes it set aside.
"""

from __future__ import annotations

import sys
import zlib
from collections.abc import Callable, Mapping
from typing import Final, Protocol

from .errors import MalformedError, TooLargeError

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

_ZSTD_WINDOW: Final[Mapping[int, int]] = {zstd.DecompressionParameter.window_log_max: 25}
"""32 MiB, what the OpenTelemetry Collector's best level asks for."""


class _Inflater(Protocol):
    """What zlib's and Zstandard's decompressors have in common."""

    @property
    def eof(self) -> bool: ...

    @property
    def unused_data(self) -> bytes: ...

    def decompress(self, data: bytes, max_length: int, /) -> bytes: ...


_INFLATERS: Final[Mapping[str, Callable[[], _Inflater]]] = {
    "gzip": lambda: zlib.decompressobj(31),
    "deflate": lambda: zlib.decompressobj(15),
    "zstd": lambda: zstd.ZstdDecompressor(options=_ZSTD_WINDOW),
}
ENCODINGS: Final = ("identity", *_INFLATERS)
"""Content encodings that are understood."""


class Body:
    """Collects one body; `size` is the bytes held so far."""

    def __init__(self, encoding: str, limit_bytes: int) -> None:
        self._inflater = _INFLATERS[encoding]() if encoding in _INFLATERS else None
        self._encoding = encoding
        self._limit = limit_bytes
        self._parts: list[bytes] = []
        self._arrived = 0
        self.size = 0

    def feed(self, chunk: bytes) -> None:
        """Take the next chunk as sent.

        Raises:
            TooLargeError: the body is over the limit, as sent or inflated.
            MalformedError: it can't be inflated.
        """
        self._arrived += len(chunk)
        part = self._inflate(chunk)
        self.size += len(part)
        if self.size > self._limit or self._arrived > self._limit:
            self._parts.clear()
            raise TooLargeError(f"the body is larger than {self._limit} bytes")
        self._parts.append(part)

    def finish(self) -> bytes:
        """Return the whole body.

        Raises:
            MalformedError: the compressed data ends too early.
        """
        if self._inflater and self._arrived and not self._inflater.eof:
            raise MalformedError(f"the {self._encoding} data ends too early")
        return b"".join(self._parts)

    def _inflate(self, chunk: bytes) -> bytes:
        if self._inflater is None or not chunk:
            return chunk
        if self._inflater.eof:
            raise MalformedError(f"there is more after the end of the {self._encoding} data")
        try:
            # One byte over the limit is enough to know, so no more is ever inflated.
            part = self._inflater.decompress(chunk, self._limit - self.size + 1)
        except (zlib.error, zstd.ZstdError) as error:
            raise MalformedError(f"the {self._encoding} data can't be read: {error}") from error
        if self._inflater.unused_data:
            raise MalformedError(f"there is more after the end of the {self._encoding} data")
        return part
