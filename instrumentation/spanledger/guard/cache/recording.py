"""Keeping the bytes of an answer as the application reads them.

A response that the SDK has read has its body; of one that the application reads itself, the byte stream below it is
replaced by one that passes all on and keeps a copy. A stream counts as whole once its last event is in, because SDKs
read no further than that.
"""

from __future__ import annotations

import re
import sys
from collections.abc import AsyncIterator, Iterator
from functools import lru_cache
from typing import Any, Final

from .entry import HEADERS, MOST_BYTES, Entry

_LAST_EVENT: Final = re.compile(
    rb'(?:^|[\r\n])(?:data:\s*\[DONE\]|event:\s*(?:message_stop|response\.completed)\b|data:\s*\{"type":\s*"(?:message_stop'
    rb'|response\.completed)")'
)
_EVENT_END: Final = re.compile(rb"(?:\n\r?\n|\r\r)\s*$")
_TAIL: Final = 1 << 16


class Recording:
    """The body of one response, as far as it has come."""

    def __init__(self, response: Any, now_ms: int) -> None:
        self._response_class = type(response)
        self._headers = response.headers
        self._now_ms = now_ms
        self._body: bytearray | None = bytearray()
        self.over = False
        """The provider has sent all."""
        content = getattr(response, "_content", None)
        if content is not None:
            self._decoded: bytes | None = content
            self.over = True
        else:
            self._decoded = None
            response.stream = _teeing(type(response).__module__.partition(".")[0])(response.stream, self)

    def add(self, data: bytes) -> None:
        """Keep a piece; of what is too long, nothing."""
        if self._body is not None:
            self._body += data
            if len(self._body) > MOST_BYTES:
                self._body = None

    def entry(self, *, stream: bool) -> Entry | None:
        """Return what was kept; None where it isn't whole."""
        body = self._whole(stream=stream)
        if not body or len(body) > MOST_BYTES:
            return None
        headers = {name: self._headers[name] for name in HEADERS if name in self._headers}
        return Entry(body, headers, self._now_ms)

    def _whole(self, *, stream: bool) -> bytes | None:
        if self._decoded is None and self._body is not None:
            encoding = self._headers.get("content-encoding")
            headers = {"content-encoding": encoding} if encoding else {}
            # Decoded here as the library would; of a body that breaks off this raises, or leaves out the end.
            self._decoded = self._response_class(200, headers=headers, content=bytes(self._body)).content
        body = self._decoded
        if body is None or (not self.over and not stream):
            return None
        if stream and not (_LAST_EVENT.search(body[-_TAIL:]) and _EVENT_END.search(body[-16:])):
            return body if self.over else None
        return body


@lru_cache(maxsize=4)
def _teeing(library: str) -> type[Any]:
    """Make the class of byte stream that passes on and keeps, for an HTTP library."""
    httpx = sys.modules[library]

    class Teeing(httpx.SyncByteStream, httpx.AsyncByteStream):  # type: ignore[misc, name-defined]
        def __init__(self, inner: Any, recording: Recording) -> None:
            self._inner = inner
            self._recording = recording

        def __getattr__(self, name: str) -> Any:
            if name in ("_inner", "_recording"):
                raise AttributeError(name)
            return getattr(self._inner, name)

        def __iter__(self) -> Iterator[bytes]:
            for data in self._inner:
                self._recording.add(data)
                yield data
            self._recording.over = True

        async def __aiter__(self) -> AsyncIterator[bytes]:
            async for data in self._inner:
                self._recording.add(data)
                yield data
            self._recording.over = True

        def close(self) -> None:
            self._inner.close()

        async def aclose(self) -> None:
            await self._inner.aclose()

    return Teeing
