"""The requests of OTLP's three signals.

The whole request is parsed before it is acknowledged, so that a client hears of bad data while it can still do
something about it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, TypeAlias, TypeVar

from google.protobuf.message import DecodeError, Message
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from .errors import MalformedError
from .wal import Signal

Request: TypeAlias = ExportTraceServiceRequest | ExportLogsServiceRequest | ExportMetricsServiceRequest

REQUESTS: Final[Mapping[Signal, type[Request]]] = {
    "traces": ExportTraceServiceRequest,
    "logs": ExportLogsServiceRequest,
    "metrics": ExportMetricsServiceRequest,
}

R = TypeVar("R", bound=Message)


def read_protobuf(body: bytes, kind: type[R]) -> R:
    """Parse a request.

    Raises:
        MalformedError: it isn't one.
    """
    try:
        return kind.FromString(body)
    except DecodeError as error:
        raise MalformedError(f"not an {kind.DESCRIPTOR.name} in protobuf: {error}") from error
