"""Reading what a model answered out of its bytes: one JSON body, or server-sent events as they pass.

The bytes are read a second time, beside the SDK, because only then does an application that wants a raw response get
one that nobody has touched.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, Final

from . import faults
from .listening import Listener

MAX_BODY_BYTES: Final = 16 * 1024 * 1024
"""A raw body, or one event of a raw stream, that is larger than this is not kept for its usage."""
_EVENT_END: Final = re.compile(rb"\n\r?\n|\r\r")
_LAST: Final = b"event: message_stop"


class Body:
    """Keeps a whole JSON body."""

    def __init__(self, call: Listener) -> None:
        self._call = call
        self._kept: bytearray | None = None if call.answers_in == "bytes" else bytearray()

    def feed(self, data: bytes) -> bytes:
        """Take bytes in; the application has them as they came."""
        if self._kept is not None:
            self._kept += data
            if len(self._kept) > MAX_BODY_BYTES:
                self._kept = None
                faults.report("usage of a raw response", "the body is too large to keep")
        return data

    def end(self) -> bytes:
        """Read the body; nothing was held back."""
        # Read once: whoever reads a response again gets the body that was kept, and goes by here again.
        kept, self._kept = self._kept, None
        if kept is not None:
            read_json(self._call, bytes(kept))
        elif self._call.answers_in == "bytes":
            self._call.read(None)
        self._call.finish()
        return b""


class Events:
    """Reads server-sent events, and holds back the one that only we asked for.

    Who reads them may read no further than an event that begins like one of `last`.
    """

    def __init__(self, call: Listener, *last: bytes) -> None:
        self._call = call
        self._last = (_LAST, *last)
        self._rest = bytearray()
        self._searched = 0
        """Bytes of the rest in which no event ends."""
        self._given_up = False
        self._over = False
        """The last event was heard: who knows what it says reads no further."""

    def feed(self, data: bytes) -> bytes:
        """Take bytes in; return the events that the application may have now."""
        if self._given_up:
            return data
        self._rest += data
        passed = b"".join(self._ended())
        if self._over:
            self._call.finish()
        if len(self._rest) > MAX_BODY_BYTES:
            self._given_up = True
            faults.report("usage of a raw stream", "an event is too large to keep")
            passed += self._rest
        # Where nothing of ours is in the stream, an event may go on in pieces, as it came.
        return passed if self._call.hides_usage else data

    def end(self) -> bytes:
        """Return what is still held back; the stream is over."""
        rest, self._rest = bytes(self._rest), bytearray()
        if self._given_up:
            rest = b""
        passes = self._hear(rest) if rest.strip() else True
        if not self._over:
            self._call.finish()
        return rest if passes and self._call.hides_usage else b""

    def _ended(self) -> Iterator[bytes]:
        """Take out the events that are whole, and yield those that the application may see."""
        while found := _EVENT_END.search(self._rest, max(0, self._searched - 3)):
            event = bytes(self._rest[: found.end()])
            del self._rest[: found.end()]
            self._searched = 0
            if self._hear(event):
                yield event
        self._searched = len(self._rest)

    def _hear(self, event: bytes) -> bool:
        lines = [line[5:].strip() for line in event.splitlines() if line.startswith(b"data:")]
        data = b"\n".join(lines)
        if not data or data == b"[DONE]":
            self._over = bool(data)
            return True
        try:
            parsed = json.loads(data)
        except ValueError as error:
            faults.report("stream event not understood", error)
            return True
        self._over = event.startswith(self._last)
        return self._call.hear(parsed)


def read_events(call: Listener, body: bytes) -> None:
    """Finish `call` with the usage of a stream that is there as a whole."""
    reader = Events(call)
    reader.feed(body)
    reader.end()


def read_content(call: Listener, response: Any) -> None:
    """Finish `call` with an HTTP response that was read before us: as a rule of httpx, or by a hook or a recorder."""
    body: bytes = response.content
    if not call.stream or body.lstrip().startswith(b"{"):
        read_json(call, body)
        return
    reader = Events(call)
    passed = reader.feed(body) + reader.end()
    if call.hides_usage:
        response._content = passed


def read_json(call: Listener, body: bytes) -> None:
    """Finish `call` with the usage of a JSON body."""
    try:
        parsed = json.loads(body) if call.answers_in != "bytes" else None
    except ValueError as error:
        if call.answers_in == "text":
            call.read(None)
            return
        faults.report("raw response recorded without its usage", error)
        call.finish()
    else:
        call.read(parsed)
