"""The connections of the HTTP door: uvicorn's protocol, with an end to every wait and a bound to their number.

Uvicorn waits for ever for a head, for the rest of a body that was refused, and for a client to read its answer; and it
keeps any number of requests that come without waiting for answers. When there are too many connections, the one that
has been idle for longest makes room: clients reconnect without noticing, while turning a new one away is noticed.
"""

from __future__ import annotations

import asyncio
import math
import time
from typing import Final

from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from .terms import Terms

_HEAD_BYTES: Final = 64 << 10
_WAITING_REQUESTS: Final = 64
_FULL: Final = b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"


class Connections:
    """All connections of one door."""

    def __init__(self, terms: Terms) -> None:
        self._terms = terms
        self._open: set[Connection] = set()
        self._idle: dict[Connection, None] = {}
        """Those between two requests, in the order in which they became so."""

    def new(self, config: Config, state: ServerState) -> Connection:
        """Return the protocol of a new connection of uvicorn's."""
        return Connection(self, self._terms, config, state)

    def admit(self, connection: Connection) -> None:
        """Count a new connection, and make room for it where there is none."""
        self._open.add(connection)
        self._idle[connection] = None
        if len(self._open) <= self._terms.connections:
            return
        longest = next(iter(self._idle))
        longest.transport.write(_FULL if longest is connection else b"")
        self.forget(longest)
        longest.transport.close()

    def forget(self, connection: Connection) -> None:
        """Count a connection no longer."""
        self._open.discard(connection)
        self._idle.pop(connection, None)

    def mark(self, connection: Connection, *, idle: bool) -> None:
        """Note whether a connection is between two requests."""
        self._idle.pop(connection, None)
        if idle and connection in self._open:
            self._idle[connection] = None

    def close_late(self) -> None:
        """Close the connections whose time is up."""
        now = time.monotonic()
        for connection in [connection for connection in self._open if connection.deadline < now]:
            connection.transport.abort()


class Connection(HttpToolsProtocol):
    """One connection."""

    def __init__(self, all_of_them: Connections, terms: Terms, config: Config, state: ServerState) -> None:
        super().__init__(config, state, {})
        self._all = all_of_them
        self._terms = terms
        self._heads = 0
        """How many began."""
        self._head_bytes = 0
        self._in_head = False
        self._whole = True
        """Whether the last request has arrived to its end."""
        self.deadline = math.inf
        """When it is closed unless something happens, in seconds of the monotonic clock."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Expect a first head."""
        super().connection_made(transport)
        self._expect(self._terms.head_s)
        self._all.admit(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """Be counted no longer."""
        self._all.forget(self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take what came; a head has a limit, which the parser doesn't know."""
        before = self._heads
        super().data_received(data)
        if not self._in_head or self._heads != before:
            return
        self._head_bytes += len(data)
        if self._head_bytes > _HEAD_BYTES:
            self.send_400_response("The headers are too large.")

    def eof_received(self) -> bool | None:  # type: ignore[override]
        """Answer a client that has said all, and only then hang up; TLS can't be half closed."""
        if self.scheme == "https" or not self._whole or not self._is_answering():
            return None
        self.cycle.keep_alive = False
        return True

    def on_message_begin(self) -> None:
        """Expect the rest of a head, unless an earlier request is being answered and nothing is read meanwhile."""
        super().on_message_begin()
        if not self._is_answering():
            self._expect(self._terms.head_s)
        self._heads += 1
        self._head_bytes, self._in_head, self._whole = 0, True, False
        self._all.mark(self, idle=False)

    def on_headers_complete(self) -> None:
        """Let the door wait for the body, and the client read its answer."""
        if len(self.pipeline) >= _WAITING_REQUESTS:
            raise ConnectionAbortedError("too many requests one behind the other")  # the parser stops, and it's a 400
        self._in_head = False
        self._expect(self._terms.body_s + self._terms.answer_s)
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """Be idle if the answer went out before the request had arrived."""
        super().on_message_complete()
        self._whole = True
        if not self._is_answering():
            self._rest()

    def on_response_complete(self) -> None:
        """Be idle, or let the rest of a body that was refused go by for a while."""
        super().on_response_complete()
        if self._is_answering():
            return
        if self._whole:
            self._rest()
        else:
            self._expect(self._terms.answer_s)

    def _is_answering(self) -> bool:
        return bool(self.cycle) and not self.cycle.response_complete

    def _rest(self) -> None:
        self._expect(self._terms.idle_s)
        self._all.mark(self, idle=True)

    def _expect(self, seconds: float) -> None:
        self.deadline = time.monotonic() + seconds
