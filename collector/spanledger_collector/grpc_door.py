"""OTLP over gRPC: the bytes are taken as they come, without generated service classes.

A request is read as a stream of one message, which is the same on the wire: so the token is looked at, and the clock
starts, before any of it is taken into memory.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Final, NoReturn

import grpc
import grpc.aio
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.duration_pb2 import Duration
from google.rpc import error_details_pb2, status_pb2

from .doorkeeper import Doorkeeper
from .errors import MalformedError, OverloadedError, RefusedError, StrangerError, TooLargeError
from .grpc_health import Health
from .intake import Intake, Response
from .otlp_requests import REQUESTS, read_protobuf
from .terms import Terms
from .wal import Signal

_PACKAGE: Final = "opentelemetry.proto.collector"
SERVICES: Final[Mapping[str, Signal]] = {
    f"{_PACKAGE}.trace.v1.TraceService": "traces",
    f"{_PACKAGE}.logs.v1.LogsService": "logs",
    f"{_PACKAGE}.metrics.v1.MetricsService": "metrics",
}

Context = grpc.aio.ServicerContext[bytes, bytes]
Handler = Callable[[AsyncIterator[bytes], Context], Awaitable[bytes]]

_STREAMS: Final = 256
_PING_S: Final = 60.0
_PINGS_ALLOWED_S: Final = 10.0


class GrpcDoor:
    """The services of OTLP."""

    def __init__(self, intake: Intake, terms: Terms, doorkeeper: Doorkeeper) -> None:
        self._intake = intake
        self._doorkeeper = doorkeeper
        self._held = 0
        self.terms = terms

    def handler(self, signal: Signal) -> Handler:
        """Return what answers the requests of one signal."""

        async def export(messages: AsyncIterator[bytes], context: Context) -> bytes:
            return await self._export(signal, messages, context)

        return export

    async def _export(self, signal: Signal, messages: AsyncIterator[bytes], context: Context) -> bytes:
        size = 0
        try:
            self._doorkeeper.check(_authorization(context), context.peer())
            payload = await _only(messages, self.terms.body_s)
            size = len(payload)
            self._held += size
            if self._held > self.terms.held_bytes:
                raise OverloadedError("too many requests are being received at once")
            if self.terms.framing and signal == "traces":
                response: Response = await self._intake.take_frames(payload)
            else:
                response = await self._intake.take(read_protobuf(payload, REQUESTS[signal]), payload)
        except RefusedError as refusal:
            await _refuse(self._intake, context, refusal)
        finally:
            self._held -= size
        _count(self._intake, grpc.StatusCode.OK)
        return response.SerializeToString()


def make_server(door: GrpcDoor, health: Health) -> grpc.aio.Server:
    """Return the server, not started and without a port; grpcio itself refuses what is over the limit."""
    server = grpc.aio.server(options=_options(door.terms))
    services = [_service(name, door.handler(signal)) for name, signal in SERVICES.items()]
    server.add_generic_rpc_handlers([health.handler(), *services])
    return server


def _service(name: str, handler: Handler) -> grpc.GenericRpcHandler:
    export: grpc.RpcMethodHandler[bytes, bytes] = grpc.stream_unary_rpc_method_handler(handler)
    return grpc.method_handlers_generic_handler(name, {"Export": export})


def _options(terms: Terms) -> list[tuple[str, int]]:
    return [
        ("grpc.max_receive_message_length", terms.body_bytes),
        ("grpc.so_reuseport", 0),  # else a second collector would quietly share the port
        ("grpc.max_concurrent_streams", _STREAMS),
        ("grpc.max_allowed_incoming_connections", terms.connections),
        ("grpc.server_handshake_timeout_ms", _ms(terms.head_s)),
        # Quiet connections are asked whether anyone is there, and ended politely after a while.
        ("grpc.keepalive_time_ms", _ms(_PING_S)),
        ("grpc.keepalive_timeout_ms", _ms(terms.answer_s)),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.max_connection_idle_ms", _ms(terms.idle_s)),
        # Clients may ask as well; grpcio's own limit, a ping in five minutes, cuts off some exporters.
        ("grpc.http2.min_recv_ping_interval_without_data_ms", _ms(_PINGS_ALLOWED_S)),
    ]


def _ms(seconds: float) -> int:
    return round(seconds * 1000)


async def _only(messages: AsyncIterator[bytes], patience_s: float) -> bytes:
    try:
        async with asyncio.timeout(patience_s):
            async for payload in messages:
                return payload
    except TimeoutError as error:
        raise OverloadedError(f"the request did not arrive within {patience_s:g} seconds") from error
    raise MalformedError("the call has no message")


def _authorization(context: Context) -> str:
    for key, value in context.invocation_metadata() or ():
        if key == "authorization" and isinstance(value, str):
            return value
    return ""


async def _refuse(intake: Intake, context: Context, refusal: RefusedError) -> NoReturn:
    code, details = _code(refusal)
    _count(intake, code)
    status = status_pb2.Status(code=_number(code), message=refusal.message, details=details)
    await context.abort(code, refusal.message, (("grpc-status-details-bin", status.SerializeToString()),))


def _code(refusal: RefusedError) -> tuple[grpc.StatusCode, list[AnyMessage]]:
    match refusal:
        case OverloadedError():
            retry = AnyMessage()
            retry.Pack(error_details_pb2.RetryInfo(retry_delay=Duration(seconds=refusal.retry_after_s)))
            return grpc.StatusCode.UNAVAILABLE, [retry]
        case TooLargeError():
            return grpc.StatusCode.RESOURCE_EXHAUSTED, []
        case StrangerError():
            return grpc.StatusCode.UNAUTHENTICATED, []
        case MalformedError():
            return grpc.StatusCode.INVALID_ARGUMENT, []
        case _:
            raise refusal


def _count(intake: Intake, code: grpc.StatusCode) -> None:
    intake.requests["grpc", _number(code)] += 1


def _number(code: grpc.StatusCode) -> int:
    number: int = code.value[0]
    return number
