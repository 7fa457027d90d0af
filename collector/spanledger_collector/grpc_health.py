"""The health service of gRPC, `grpc.health.v1.Health`, which probes and load balancers ask.

Its messages have one field each, so the well-known wrappers are the same on the wire and no generated code is needed:
a request is a StringValue (the service), an answer an Int32Value (the status).
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Collection
from typing import Final

import grpc
import grpc.aio
from google.protobuf.message import DecodeError
from google.protobuf.wrappers_pb2 import Int32Value, StringValue

from .readiness import Readiness

SERVICE: Final = "grpc.health.v1.Health"
SERVING: Final = 1
NOT_SERVING: Final = 2
SERVICE_UNKNOWN: Final = 3
_LOOK_EVERY_S: Final = 0.5
_MOST_WATCHING: Final = 100
"""It needs no token, so it must not cost much however many ask."""

Context = grpc.aio.ServicerContext[bytes, bytes]


class Health:
    """Answers for the whole server (the empty name) and each of its services alike."""

    def __init__(self, readiness: Readiness, services: Collection[str]) -> None:
        self._readiness = readiness
        self._known = {"", SERVICE, *services}
        self._closing = asyncio.Event()
        self._watching = 0

    def handler(self) -> grpc.GenericRpcHandler:
        """Return what a server needs to serve it."""
        methods: dict[str, grpc.RpcMethodHandler[bytes, bytes]] = {
            "Check": grpc.unary_unary_rpc_method_handler(self._check),
            "Watch": grpc.unary_stream_rpc_method_handler(self._watch),
        }
        return grpc.method_handlers_generic_handler(SERVICE, methods)

    def close(self) -> None:
        """Tell those who watch that it is over."""
        self._closing.set()

    async def _check(self, payload: bytes, context: Context) -> bytes:
        status = self._status(await _service(payload, context))
        if status == SERVICE_UNKNOWN:
            await context.abort(grpc.StatusCode.NOT_FOUND, "there is no such service here")
        return Int32Value(value=status).SerializeToString()

    async def _watch(self, payload: bytes, context: Context) -> AsyncIterator[bytes]:
        service = await _service(payload, context)
        if self._watching >= _MOST_WATCHING:
            await context.abort(grpc.StatusCode.UNAVAILABLE, "too many watch already; use Check")
        self._watching += 1
        try:
            async for status in self._changes(service):
                yield Int32Value(value=status).SerializeToString()
        finally:
            self._watching -= 1

    async def _changes(self, service: str) -> AsyncIterator[int]:
        said = 0
        while not self._closing.is_set():
            status = self._status(service)
            if status != said:
                yield status
                said = status
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._closing.wait(), _LOOK_EVERY_S)
        yield NOT_SERVING

    def _status(self, service: str) -> int:
        if service not in self._known:
            return SERVICE_UNKNOWN
        return NOT_SERVING if self._closing.is_set() or self._readiness.reason() else SERVING


async def _service(payload: bytes, context: Context) -> str:
    try:
        return StringValue.FromString(payload).value
    except DecodeError:
        await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "not a HealthCheckRequest")
