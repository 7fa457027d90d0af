"""OTLP over HTTP: an ASGI application without a framework.

Every answer to an OTLP path is in the request's own content type, errors as google.rpc.Status. When there is no
room the answer is 503 and never 429, which some exporters take for final. A refused body isn't read to its end:
the server below discards the rest, so that the client gets to read the answer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, cast

from google.protobuf import json_format
from google.protobuf.message import Message
from google.rpc import code_pb2, status_pb2

from .doorkeeper import Doorkeeper
from .errors import MalformedError, OverloadedError, RefusedError, StrangerError, TooLargeError
from .exposition import metrics_text
from .http_body import ENCODINGS, Body
from .intake import Intake
from .otlp_json import read_json
from .otlp_requests import REQUESTS, read_protobuf
from .readiness import Readiness
from .terms import Terms
from .wal import Signal

Event = Mapping[str, object]
Receive = Callable[[], Awaitable[Event]]
Send = Callable[[Event], Awaitable[None]]

PROTOBUF: Final = "application/x-protobuf"
JSON: Final = "application/json"
_TEXT: Final = "text/plain; charset=utf-8"
_PATHS: Final[Mapping[str, Signal]] = {"/v1/traces": "traces", "/v1/logs": "logs", "/v1/metrics": "metrics"}
_PAGES: Final = ("/healthz", "/readyz", "/metrics")
_PROBES: Final = ("/healthz", "/readyz")
"""Open to all: what looks after processes has no token."""


@dataclass(frozen=True, slots=True)
class _Head:
    method: str
    path: str
    content_type: str
    encoding: str
    length: int | None
    authorization: str
    peer: str


@dataclass(frozen=True, slots=True)
class _Answer:
    status: int
    content_type: str
    body: bytes
    headers: tuple[tuple[bytes, bytes], ...] = ()


class HttpDoor:
    """The ASGI application."""

    def __init__(self, intake: Intake, terms: Terms, doorkeeper: Doorkeeper, readiness: Readiness, home: Path) -> None:
        self._intake = intake
        self._home = home
        self._readiness = readiness
        self._terms = terms
        self._doorkeeper = doorkeeper
        self._held = 0

    async def __call__(self, scope: Event, receive: Receive, send: Send) -> None:
        """Answer one request."""
        head = _head(scope)
        try:
            answer = await self._answer(head, receive)
        except RefusedError as refusal:
            answer = _refused(refusal, head)
        except ConnectionResetError:
            return  # the client left before its body was complete
        self._intake.requests["http", answer.status] += 1
        headers = [
            (b"content-type", answer.content_type.encode("ascii")),
            (b"content-length", str(len(answer.body)).encode("ascii")),
            *answer.headers,
        ]
        await send({"type": "http.response.start", "status": answer.status, "headers": headers})
        await send({"type": "http.response.body", "body": b"" if head.method == "HEAD" else answer.body})

    async def _answer(self, head: _Head, receive: Receive) -> _Answer:
        if head.path not in _PROBES:
            self._doorkeeper.check(head.authorization, head.peer)
        if head.path in _PAGES:
            return self._page(head)
        if head.path not in _PATHS:
            message = f"there is nothing at {head.path}; what is taken goes to {', '.join(_PATHS)}"
            return _status(head, 404, code_pb2.NOT_FOUND, message)
        if head.method != "POST":
            return _not_allowed(head, "POST")
        if head.content_type not in (PROTOBUF, JSON):
            return _status(head, 415, code_pb2.INVALID_ARGUMENT, f"send {PROTOBUF} or {JSON}")
        if head.encoding not in ENCODINGS:
            return _status(head, 415, code_pb2.INVALID_ARGUMENT, f"send it as {', '.join(ENCODINGS)}")
        return await self._export(head, receive)

    async def _export(self, head: _Head, receive: Receive) -> _Answer:
        body = await self._read(head, receive)
        signal = _PATHS[head.path]
        if self._terms.framing and signal == "traces" and head.content_type == PROTOBUF:
            return _encoded(200, await self._intake.take_frames(body), head.content_type)
        kind = REQUESTS[signal]
        if head.content_type == JSON:
            request = read_json(body, kind)
            body = request.SerializeToString()
        else:
            request = read_protobuf(body, kind)
        return _encoded(200, await self._intake.take(request, body), head.content_type)

    async def _read(self, head: _Head, receive: Receive) -> bytes:
        # Before the first receive(), so that a client that asked to continue isn't told to.
        terms = self._terms
        if head.length is not None and head.length > terms.body_bytes:
            raise TooLargeError(f"the body is larger than {terms.body_bytes} bytes")
        body = Body(head.encoding, terms.body_bytes)
        try:
            async with asyncio.timeout(terms.body_s):
                while await self._read_chunk(body, receive):
                    if self._held > terms.held_bytes:
                        raise OverloadedError("too many bodies are being received at once")
        except TimeoutError as error:
            raise OverloadedError(f"the request did not arrive within {terms.body_s:g} seconds") from error
        finally:
            self._held -= body.size
        return body.finish()

    async def _read_chunk(self, body: Body, receive: Receive) -> bool:
        event = await receive()
        if event["type"] == "http.disconnect":
            raise ConnectionResetError
        before = body.size
        try:
            body.feed(cast("bytes", event.get("body", b"")))
        finally:
            self._held += body.size - before
        return bool(event.get("more_body", False))

    def _page(self, head: _Head) -> _Answer:
        if head.method not in ("GET", "HEAD"):
            return _not_allowed(head, "GET, HEAD")
        if head.path == "/healthz":
            return _Answer(200, _TEXT, b"alive\n")
        if head.path == "/metrics":
            return _Answer(
                200,
                "text/plain; version=0.0.4; charset=utf-8",
                metrics_text(self._home, self._intake, self._readiness).encode(),
            )
        reason = self._readiness.reason()
        return _Answer(503 if reason else 200, _TEXT, f"{reason or 'ready'}\n".encode())


def _head(scope: Event) -> _Head:
    headers = {name: value.decode("latin-1") for name, value in cast("list[tuple[bytes, bytes]]", scope["headers"])}
    length = headers.get(b"content-length", "")
    return _Head(
        method=str(scope["method"]),
        path=str(scope["path"]),
        content_type=headers.get(b"content-type", "").partition(";")[0].strip().lower(),
        encoding=headers.get(b"content-encoding", "").strip().lower() or "identity",
        length=int(length) if length.isdecimal() else None,
        authorization=headers.get(b"authorization", ""),
        peer=str(scope["client"]),
    )


def _refused(refusal: RefusedError, head: _Head) -> _Answer:
    match refusal:
        case OverloadedError():
            wait = (b"retry-after", str(refusal.retry_after_s).encode("ascii"))
            return _status(head, 503, code_pb2.UNAVAILABLE, refusal.message, wait)
        case TooLargeError():
            return _status(head, 413, code_pb2.INVALID_ARGUMENT, refusal.message)
        case StrangerError():
            return _status(head, 401, code_pb2.UNAUTHENTICATED, refusal.message, (b"www-authenticate", b"Bearer"))
        case MalformedError():
            return _status(head, 400, code_pb2.INVALID_ARGUMENT, refusal.message)
        case _:
            raise refusal


def _not_allowed(head: _Head, allowed: str) -> _Answer:
    message = f"{head.path} takes {allowed}, not {head.method}"
    return _status(head, 405, code_pb2.INVALID_ARGUMENT, message, (b"allow", allowed.encode("ascii")))


def _status(head: _Head, status: int, code: int, message: str, *headers: tuple[bytes, bytes]) -> _Answer:
    return _encoded(status, status_pb2.Status(code=code, message=message), head.content_type, *headers)


def _encoded(status: int, message: Message, content_type: str, *headers: tuple[bytes, bytes]) -> _Answer:
    if content_type == PROTOBUF:
        return _Answer(status, PROTOBUF, message.SerializeToString(), headers)
    return _Answer(status, JSON, json_format.MessageToJson(message, indent=None).encode(), headers)
