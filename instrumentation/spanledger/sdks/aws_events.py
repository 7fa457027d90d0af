"""Amazon's event streams as bytes pass, for who reads them without botocore.

A message is: its length and that of its headers (big-endian, 4 bytes each), their CRC-32, the headers, the payload, and
a CRC-32 of all that. The sums are for the reader of the stream to check; here only what is used is looked for.
"""

from __future__ import annotations

from struct import Struct
from typing import Final, NamedTuple

from spanledger import faults
from spanledger.bodies import MAX_BODY_BYTES
from spanledger.call import Call

_PRELUDE: Final = Struct(">II")
_FRAME: Final = 16
_TEXT: Final = 7
_SIZES: Final = {0: 0, 1: 0, 2: 1, 3: 2, 4: 4, 5: 8, 8: 8, 9: 16}
"""Type of a header's value to its length; 6 and 7, bytes and text, say theirs."""


class Message(NamedTuple):
    """One event, as botocore has it."""

    headers: dict[str, str]
    payload: bytes


class AwsEvents:
    """Reads the events of one response."""

    def __init__(self, call: Call) -> None:
        self._call = call
        self._rest = bytearray()
        self._given_up = False

    def feed(self, data: bytes) -> bytes:
        """Hear the events that are whole now; the bytes go on as they came."""
        if not self._given_up:
            self._rest += data
            self._hear_whole()
        return data

    def end(self) -> bytes:
        """Finish the call."""
        self._call.finish()
        return b""

    def _hear_whole(self) -> None:
        while len(self._rest) >= _FRAME:
            length, head = _PRELUDE.unpack_from(self._rest)
            if not _FRAME + head <= length <= MAX_BODY_BYTES:
                self._given_up = True
                self._rest.clear()
                faults.report("stream event not understood", "no message of an event stream")
                return
            if len(self._rest) < length:
                return
            message = bytes(self._rest[:length])
            del self._rest[:length]
            self._call.hear(Message(_headers(message[12 : 12 + head]), message[12 + head : -4]))


def _headers(raw: bytes) -> dict[str, str]:
    """Return the headers that are text."""
    found, place = {}, 0
    while place < len(raw):
        after = place + 1 + raw[place]
        name, kind = raw[place + 1 : after].decode(), raw[after]
        place = after + 1
        size = _SIZES.get(kind)
        if size is None:
            size = int.from_bytes(raw[place : place + 2], "big")
            place += 2
        if kind == _TEXT:
            found[name] = raw[place : place + size].decode()
        place += size
    return found
