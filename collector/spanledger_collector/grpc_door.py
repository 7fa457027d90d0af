"""OTLP over gRPC: the bytes are taken as they come, without generated service classes.

A request is read as a stream of one message, which is the same on the wire: so the token is looked at, and the clock
starts, before any of it is taken into memory.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Final, NoReturn

import grpc
import grpc.aio
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.duration_pb2 import Duration
from google.rpc import error_details_pb2, status_pb2
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from .doorkeeper import Doorkeeper
from .errors import MalformedError, OverloadedError, RefusedError, StrangerError, TooLargeError
from .intake import TRACES_ONLY, Intake
from .otlp_requests import read_protobuf
from .terms import Terms

_PACKAGE: Final = "opentelemetry.proto.collector"
_TRACES: Final = f"{_PACKAGE}.trace.v1.TraceService"
_OTHER_SIGNALS: Final = (f"{_PACKAGE}.logs.v1.LogsService", f"{_PACKAGE}.metrics.v1.MetricsService")

Context = grpc.aio.ServicerContext[bytes, bytes]
Handler = Callable[[AsyncIterator[bytes], Context], Awaitable[bytes]]


def make_server(intake: Intake, terms: Terms, doorkeeper: Doorkeeper) -> grpc.aio.Server:
    """Return the server, not started and without a port; grpcio itself refuses what is over the limit."""
    server = grpc.aio.server(
        options=[
            ("grpc.max_receive_message_length", terms.body_bytes),
            ("grpc.so_reuseport", 0),  # else a second collector would quietly share the port
        ]
    )
    services = {
        _TRACES: _export(intake, terms, doorkeeper),
        **{name: _unimplemented(intake) for name in _OTHER_SIGNALS},
    }
    server.add_generic_rpc_handlers(
        [
            grpc.method_handlers_generic_handler(name, {"Export": grpc.stream_unary_rpc_method_handler(handler)})
            for name, handler in services.items()
        ]
    )
    return server


def _export(intake: Intake, terms: Terms, doorkeeper: Doorkeeper) -> Handler:
    async def export(messages: AsyncIterator[bytes], context: Context) -> bytes:
        try:
            doorkeeper.check(_authorization(context), context.peer())
            payload = await _only(messages, terms.body_s)
            response = await intake.take(read_protobuf(payload, ExportTraceServiceRequest), payload)
        except RefusedError as refusal:
            await _refuse(intake, context, refusal)
        _count(intake, grpc.StatusCode.OK)
        return response.SerializeToString()

    return export


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


def _unimplemented(intake: Intake) -> Handler:
    async def refuse(messages: AsyncIterator[bytes], context: Context) -> bytes:
        _count(intake, grpc.StatusCode.UNIMPLEMENTED)
        await context.abort(grpc.StatusCode.UNIMPLEMENTED, TRACES_ONLY)

    return refuse


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
