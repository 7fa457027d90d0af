"""The framing of AWS event streams, `application/vnd.amazon.eventstream`.

A message is: its length and that of its headers (big-endian, 4 bytes each), their CRC-32, the headers, the payload, and
the CRC-32 of all that. A header is: length of its name (1 byte), name, type (7 is text), length (2 bytes), value.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from zlib import crc32

CONTENT_TYPE: Final = "application/vnd.amazon.eventstream"
_TEXT: Final = 7
_FRAME: Final = 16
"""Bytes of a message besides its headers and payload."""


@dataclass(frozen=True, slots=True)
class Message:
    """One message: an event, or an exception that ends the stream."""

    kind: str
    payload: Mapping[str, object]
    is_exception: bool = False

    def encode(self) -> bytes:
        """Return it as bytes on the wire."""
        said = "exception" if self.is_exception else "event"
        headers = {f":{said}-type": self.kind, ":content-type": "application/json", ":message-type": said}
        head = b"".join(_header(name, value) for name, value in headers.items())
        payload = json.dumps(self.payload).encode()
        prelude = struct.pack(">II", _FRAME + len(head) + len(payload), len(head))
        message = prelude + struct.pack(">I", crc32(prelude)) + head + payload
        return message + struct.pack(">I", crc32(message))


def _header(name: str, value: str) -> bytes:
    raw = value.encode()
    return bytes([len(name)]) + name.encode() + struct.pack(">BH", _TEXT, len(raw)) + raw
