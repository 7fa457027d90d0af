"""What is kept of an answer: the body as the provider sent it, and a few of its headers, packed.

JSON below zlib and never pickle: whoever can write the store must not be able to run code in the application.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from typing import Final, NamedTuple

HEADERS: Final = ("content-type", "request-id", "x-request-id", "openai-version", "openai-model")
"""Headers of a response that are still true when it is given again; limits that are left, for one, are not."""
MOST_BYTES: Final = 16 << 20
"""A larger body is not kept."""
_LEVEL: Final = 1
"""Of zlib: the application waits for it, and level 6 takes four times as long for a tenth less."""


class Entry(NamedTuple):
    """An answer, or the result of a step."""

    body: bytes
    headers: Mapping[str, str]
    made_ms: int
    """When the provider answered, Unix milliseconds."""


def pack(entry: Entry) -> bytes:
    """Return an entry as bytes."""
    head = json.dumps({"headers": dict(entry.headers), "made_ms": entry.made_ms}, separators=(",", ":"))
    return zlib.compress(head.encode() + b"\n" + entry.body, _LEVEL)


def unpack(data: bytes) -> Entry:
    """Return what `pack` packed.

    Raises:
        ValueError: it is something else.
    """
    inflater = zlib.decompressobj()
    try:
        plain = inflater.decompress(data, MOST_BYTES * 2)
    except zlib.error as error:
        raise ValueError(f"no kept answer: {error}") from error
    if inflater.unconsumed_tail or not inflater.eof:
        raise ValueError("no kept answer: too large, or cut")
    head, _, body = plain.partition(b"\n")
    told = json.loads(head)
    return Entry(body, {str(name): str(value) for name, value in told["headers"].items()}, int(told["made_ms"]))
