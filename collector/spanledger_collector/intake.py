"""What both doors do with a request: check every span's ids, put it in the log, then answer.

What is logged is the bytes as they came, unknown fields included.
"""

from __future__ import annotations

from collections import Counter
from typing import Final

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTracePartialSuccess,
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from .framing import count_frames
from .wal_writer import WalState, WalWriter

TRACES_ONLY: Final = "spanledger takes traces only, at /v1/traces or TraceService/Export; switch this exporter off"

_NO_TRACE: Final = bytes(16)
_NO_SPAN: Final = bytes(8)


class Intake:
    """Takes requests into the log, and counts."""

    def __init__(self, wal: WalWriter) -> None:
        self._wal = wal
        self.accepted_spans = 0
        """Acknowledged, so on disk."""
        self.rejected_spans = 0
        """Left out of a request because their ids can't be used."""
        self.adopted_bodies = 0
        """Taken over from the spool of programs on this machine; their spans are among the accepted ones."""
        self.requests: Counter[tuple[str, int]] = Counter()
        """Requests by door (`http`, `grpc`) and code of the answer."""

    async def take(self, request: ExportTraceServiceRequest, payload: bytes) -> ExportTraceServiceResponse:
        """Log a request and return the answer; `payload` is the request's bytes.

        Raises:
            OverloadedError: nothing of it was kept, and it can be sent again.
        """
        total, rejected = _count(request)
        if rejected:
            _drop_unusable(request)
            payload = request.SerializeToString()  # unknown fields survive this too
        if total > rejected:
            await self._wal.append(payload)
        self.accepted_spans += total - rejected
        self.rejected_spans += rejected
        if not rejected:
            return ExportTraceServiceResponse()
        message = f"{rejected} of {total} spans have no valid trace id (16 bytes), span id or parent id (8 bytes)"
        partial = ExportTracePartialSuccess(rejected_spans=rejected, error_message=message)
        return ExportTraceServiceResponse(partial_success=partial)

    async def take_frames(self, payload: bytes) -> ExportTraceServiceResponse:
        """Log a trace request without a look into its spans.

        Raises:
            MalformedError: its frames aren't sound.
            OverloadedError: nothing of it was kept, and it can be sent again.
        """
        spans = count_frames(payload)
        if spans:
            await self._wal.append(payload)
        self.accepted_spans += spans
        return ExportTraceServiceResponse()

    def wal_state(self) -> WalState:
        """Return the log's figures."""
        return self._wal.state()


def _count(request: ExportTraceServiceRequest) -> tuple[int, int]:
    total = rejected = 0
    for resource in request.resource_spans:
        for scope in resource.scope_spans:
            for span in scope.spans:
                total += 1
                rejected += _unusable(span)
    return total, rejected


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
