"""A log with both doors open in this process, and requests to send to them."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from spanledger_collector.address import Address
from spanledger_collector.disk import Disk
from spanledger_collector.doors import open_doors
from spanledger_collector.intake import Intake
from spanledger_collector.terms import Terms
from spanledger_collector.wal import Signal, read_segment
from spanledger_collector.wal_writer import Limits, WalWriter

PROTOBUF = {"Content-Type": "application/x-protobuf"}
JSON = {"Content-Type": "application/json"}


@dataclass(frozen=True, slots=True)
class Reply:
    """An HTTP answer; headers in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Receiver:
    """Open doors."""

    folder: Path
    http_port: int
    grpc_port: int
    intake: Intake

    def connect(self) -> http.client.HTTPConnection:
        """Return a connection to the HTTP door."""
        return http.client.HTTPConnection("127.0.0.1", self.http_port, timeout=60)

    def post(self, body: bytes, headers: Mapping[str, str], path: str = "/v1/traces", method: str = "POST") -> Reply:
        """Send one request on a connection of its own."""
        with contextlib.closing(self.connect()) as connection:
            return request(connection, body, headers, path, method)

    def payloads(self) -> list[bytes]:
        """Return what is on disk now, in order."""
        return [payload for _, payload in self.records()]

    def records(self) -> list[tuple[Signal, bytes]]:
        """Return what is on disk now, each with its signal, in order."""
        paths = sorted(self.folder.glob("*.wal*"))
        return [(record.signal, record.payload) for path in paths for record in read_segment(path).records]


def request(
    connection: http.client.HTTPConnection,
    body: bytes,
    headers: Mapping[str, str],
    path: str = "/v1/traces",
    method: str = "POST",
) -> Reply:
    """Send one request and read the answer; the connection stays open."""
    connection.request(method, path, body, dict(headers))
    response = connection.getresponse()
    return Reply(response.status, {name.lower(): value for name, value in response.getheaders()}, response.read())


@contextlib.contextmanager
def receiving(
    folder: Path,
    *,
    limits: Limits | None = None,
    disk: Disk | None = None,
    terms: Terms | None = None,
) -> Iterator[Receiver]:
    """Open both doors on free ports, in a thread with an event loop of its own."""
    wal = WalWriter(folder, limits or Limits(segment_age_s=3600), disk)
    intake = Intake(wal)
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    address = Address(grpc_port=0, http_port=0)
    try:
        doors = asyncio.run_coroutine_threadsafe(open_doors(intake, address, folder.parent, terms), loop).result(60)
        try:
            yield Receiver(folder, doors.address.http_port, doors.address.grpc_port, intake)
        finally:
            asyncio.run_coroutine_threadsafe(doors.close(), loop).result(60)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
        wal.close()


def spans_request(*span_ids: int, trace_id: bytes = b"t" * 16) -> ExportTraceServiceRequest:
    """Return a request with one small span for each id."""
    message = ExportTraceServiceRequest()
    scope = message.resource_spans.add().scope_spans.add()
    for span_id in span_ids:
        span = scope.spans.add(trace_id=trace_id, span_id=span_id.to_bytes(8, "big"), name="chat")
        span.start_time_unix_nano, span.end_time_unix_nano = 1_700_000_000_000_000_000, 1_700_000_001_000_000_000
    return message


def logs_request(*texts: str) -> ExportLogsServiceRequest:
    """Return a request with one evaluation for each text: of other log records the collector keeps none."""
    message = ExportLogsServiceRequest()
    scope = message.resource_logs.add().scope_logs.add()
    for text in texts:
        record = scope.log_records.add(time_unix_nano=1_700_000_000_000_000_000, event_name="gen_ai.evaluation.result")
        record.body.string_value = text
    return message


def metrics_request(*values: int) -> ExportMetricsServiceRequest:
    """Return a request with one metric, of those that are kept, that has a point for each value."""
    message = ExportMetricsServiceRequest()
    metric = message.resource_metrics.add().scope_metrics.add().metrics.add(name="gen_ai.client.token.usage")
    for value in values:
        metric.sum.data_points.add(time_unix_nano=1_700_000_000_000_000_000, as_int=value)
    return message
