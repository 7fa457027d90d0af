"""What both doors do with a request: check every span's ids, put it in the log, then answer in the signal's words.

What is logged is the bytes as they came, unknown fields included.
"""

from __future__ import annotations

import time
from collections import Counter
from typing import Final, TypeAlias

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest, ExportLogsServiceResponse
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTracePartialSuccess,
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.metrics.v1.metrics_pb2 import Metric
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from .errors import OverloadedError
from .figures import Figures
from .framing import count_frames
from .otlp_requests import Request
from .wal import Signal
from .wal_writer import WalState, WalWriter
from .wanted import wanted_logs, wanted_metrics

Response: TypeAlias = ExportTraceServiceResponse | ExportLogsServiceResponse | ExportMetricsServiceResponse

_NO_TRACE: Final = bytes(16)
_NO_SPAN: Final = bytes(8)


class Intake:
    """Takes requests into the log, and counts."""

    def __init__(self, wal: WalWriter) -> None:
        self._wal = wal
        self.figures = Figures()
        """What is counted by signal, and how long an acknowledgement takes."""
        self.adopted_bodies = 0
        """Taken over from the spool of programs on this machine; their spans are among the accepted ones."""
        self.requests: Counter[tuple[str, int]] = Counter()
        """Requests by door (`http`, `grpc`) and code of the answer."""

    async def take(self, request: Request, payload: bytes) -> Response:
        """Log a request and return the answer; `payload` is the request's bytes.

        Raises:
            OverloadedError: nothing of it was kept, and it can be sent again.
        """
        match request:
            case ExportTraceServiceRequest():
                return await self._take_spans(request, payload)
            case ExportLogsServiceRequest():
                wanted = sum(1 for _ in wanted_logs(request))
                await self._take_some(payload, "logs", wanted, _count_log_records(request))
                return ExportLogsServiceResponse()
            case _:
                wanted = sum(_points_in(metric) for _, metric in wanted_metrics(request))
                await self._take_some(payload, "metrics", wanted, _count_points(request))
                return ExportMetricsServiceResponse()

    async def take_frames(self, payload: bytes) -> ExportTraceServiceResponse:
        """Log a trace request without a look into its spans.

        Raises:
            MalformedError: its frames aren't sound.
            OverloadedError: nothing of it was kept, and it can be sent again.
        """
        await self._log(payload, "traces", count_frames(payload))
        return ExportTraceServiceResponse()

    def wal_state(self) -> WalState:
        """Return the log's figures."""
        return self._wal.state()

    async def _take_spans(self, request: ExportTraceServiceRequest, payload: bytes) -> ExportTraceServiceResponse:
        total, rejected = _count_spans(request)
        if rejected:
            _drop_unusable(request)
            payload = request.SerializeToString()  # unknown fields survive this too
        await self._log(payload, "traces", total - rejected)
        self.figures.add("rejected_total", rejected, "traces")
        if not rejected:
            return ExportTraceServiceResponse()
        message = f"{rejected} of {total} spans have no valid trace id (16 bytes), span id or parent id (8 bytes)"
        partial = ExportTracePartialSuccess(rejected_spans=rejected, error_message=message)
        return ExportTraceServiceResponse(partial_success=partial)

    async def _take_some(self, payload: bytes, signal: Signal, wanted: int, total: int) -> None:
        """Log a request in which some is wanted; what isn't is left out when it becomes rows."""
        await self._log(payload, signal, wanted)
        self.figures.add("dropped_total", total - wanted, signal)

    async def _log(self, payload: bytes, signal: Signal, items: int) -> None:
        if not items:
            return
        began_at = time.perf_counter()
        try:
            await self._wal.append(payload, signal)
        except OverloadedError:
            self.figures.add("refused_total", items, signal)
            raise
        self.figures.observe("ack_seconds", time.perf_counter() - began_at)
        self.figures.add("accepted_total", items, signal)
        self.figures.add("accepted_bytes_total", len(payload), signal)


def _count_spans(request: ExportTraceServiceRequest) -> tuple[int, int]:
    total = rejected = 0
    for resource in request.resource_spans:
        for scope in resource.scope_spans:
            for span in scope.spans:
                total += 1
                rejected += _unusable(span)
    return total, rejected


def _count_log_records(request: ExportLogsServiceRequest) -> int:
    return sum(len(scope.log_records) for resource in request.resource_logs for scope in resource.scope_logs)


def _count_points(request: ExportMetricsServiceRequest) -> int:
    return sum(
        _points_in(metric)
        for resource in request.resource_metrics
        for scope in resource.scope_metrics
        for metric in scope.metrics
    )


def _points_in(metric: Metric) -> int:
    kind = metric.WhichOneof("data")
    return len(getattr(metric, kind).data_points) if kind else 0


def _unusable(span: Span) -> bool:
    # Each access makes a bytes object, and this runs for every span before the acknowledgement.
    trace_id, span_id = span.trace_id, span.span_id
    return (
        len(trace_id) != 16
        or len(span_id) != 8
        or trace_id == _NO_TRACE
        or span_id == _NO_SPAN
        or len(span.parent_span_id) not in (0, 8)
    )


def _drop_unusable(request: ExportTraceServiceRequest) -> None:
    for resource in request.resource_spans:
        for scope in resource.scope_spans:
            for place in reversed(range(len(scope.spans))):
                if _unusable(scope.spans[place]):
                    del scope.spans[place]
