"""OTLP over gRPC: the bytes are taken as they come, without generated service classes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final, NoReturn

import grpc
import grpc.aio
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.duration_pb2 import Duration
from google.rpc import error_details_pb2, status_pb2
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from .errors import MalformedError, OverloadedError, RefusedError, TooLargeError
from .intake import DEFAULT_LIMIT_BYTES, TRACES_ONLY, Intake
from .otlp_requests import read_protobuf

_PACKAGE: Final = "opentelemetry.proto.collector"
_TRACES: Final = f"{_PACKAGE}.trace.v1.TraceService"
_OTHER_SIGNALS: Final = (f"{_PACKAGE}.logs.v1.LogsService", f"{_PACKAGE}.metrics.v1.MetricsService")

Context = grpc.aio.ServicerContext[bytes, bytes]
Handler = Callable[[bytes, Context], Awaitable[bytes]]


def make_server(intake: Intake, limit_bytes: int = DEFAULT_LIMIT_BYTES) -> grpc.aio.Server:
    """Return the server, not started and without a port; grpcio itself refuses what is over the limit."""
    server = grpc.aio.server(
        options=[
            ("grpc.max_receive_message_length", limit_bytes),
            ("grpc.so_reuseport", 0),  # else a second collector would quietly share the port
        ]
    )
    services = {_TRACES: _export(intake), **{name: _unimplemented(intake) for name in _OTHER_SIGNALS}}
    server.add_generic_rpc_handlers(
        [
            grpc.method_handlers_generic_handler(name, {"Export": grpc.unary_unary_rpc_method_handler(handler)})
            for name, handler in services.items()
        ]
    )
    return server


def _export(intake: Intake) -> Handler:
    async def export(payload: bytes, context: Context) -> bytes:
        try:
            response = await intake.take(read_protobuf(payload, ExportTraceServiceRequest), payload)
        except RefusedError as refusal:
            await _refuse(intake, context, refusal)
        _count(intake, grpc.StatusCode.OK)
        return response.SerializeToString()

    return export


def _unimplemented(intake: Intake) -> Handler:
    async def refuse(payload: bytes, context: Context) -> bytes:
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
        case MalformedError():
            return grpc.StatusCode.INVALID_ARGUMENT, []
        case _:
            raise refusal


def _count(intake: Intake, code: grpc.StatusCode) -> None:
    intake.requests["grpc", _number(code)] += 1


def _number(code: grpc.StatusCode) -> int:
    number: int = code.value[0]
    return number
