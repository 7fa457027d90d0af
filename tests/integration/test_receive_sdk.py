"""OpenTelemetry's own exporters, against both doors."""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from opentelemetry._logs import LogRecord
from opentelemetry.exporter.otlp.proto.grpc._log_exporter import OTLPLogExporter as GrpcLogExporter
from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter as GrpcMetricExporter
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as GrpcExporter
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter as HttpLogExporter
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter as HttpMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as HttpExporter
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import LogRecordExporter, SimpleLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import MetricExporter, PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter, SpanExportResult

from receiving import Receiver, receiving
from spanledger_collector.wal_writer import Limits
from waiting import wait_until

PATIENCE_S = 60
HTTP = [Compression.NoCompression, Compression.Gzip, Compression.Deflate]
GRPC = [grpc.Compression.NoCompression, grpc.Compression.Gzip]


@pytest.fixture
def receiver(tmp_path: Path) -> Iterator[Receiver]:
    with receiving(tmp_path / "wal") as open_receiver:
        yield open_receiver


def emitted_through(exporter: SpanExporter) -> tuple[str, str, dict[str, int]]:
    """Emit one span; return its trace id, span id and attributes."""
    provider = TracerProvider(resource=Resource({"service.name": "shop"}))
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    with provider.get_tracer("test").start_as_current_span("chat", attributes={"claude_code.token.usage": 42}) as span:
        context = span.get_span_context()
    provider.shutdown()
    return f"{context.trace_id:032x}", f"{context.span_id:016x}", {"claude_code.token.usage": 42}


def logged(receiver: Receiver) -> list[tuple[str, str, dict[str, int]]]:
    return [
        (span.trace_id.hex(), span.span_id.hex(), {item.key: item.value.int_value for item in span.attributes})
        for payload in receiver.payloads()
        for resource in ExportTraceServiceRequest.FromString(payload).resource_spans
        for scope in resource.scope_spans
        for span in scope.spans
    ]


@pytest.mark.parametrize("compression", HTTP)
def test_the_http_exporter(receiver: Receiver, compression: Compression) -> None:
    address = f"http://127.0.0.1:{receiver.http_port}/v1/traces"
    assert [emitted_through(HttpExporter(address, timeout=PATIENCE_S, compression=compression))] == logged(receiver)


@pytest.mark.parametrize("compression", GRPC)
def test_the_grpc_exporter(receiver: Receiver, compression: grpc.Compression) -> None:
    address = f"127.0.0.1:{receiver.grpc_port}"
    exporter = GrpcExporter(address, insecure=True, timeout=PATIENCE_S, compression=compression)
    assert [emitted_through(exporter)] == logged(receiver)


def logged_texts(receiver: Receiver) -> list[str]:
    return [
        record.body.string_value
        for signal, payload in receiver.records()
        if signal == "logs"
        for resource in ExportLogsServiceRequest.FromString(payload).resource_logs
        for scope in resource.scope_logs
        for record in scope.log_records
    ]


def emit_text(exporter: LogRecordExporter) -> None:
    provider = LoggerProvider()
    provider.add_log_record_processor(SimpleLogRecordProcessor(exporter))
    event = LogRecord(timestamp=1_700_000_000_000_000_000, body="a text", event_name="gen_ai.evaluation.result")
    provider.get_logger("test").emit(event)
    provider.shutdown()


@pytest.mark.parametrize("compression", HTTP)
def test_the_http_exporter_of_logs(receiver: Receiver, compression: Compression) -> None:
    address = f"http://127.0.0.1:{receiver.http_port}/v1/logs"
    emit_text(HttpLogExporter(address, timeout=PATIENCE_S, compression=compression))
    assert logged_texts(receiver) == ["a text"]


@pytest.mark.parametrize("compression", GRPC)
def test_the_grpc_exporter_of_logs(receiver: Receiver, compression: grpc.Compression) -> None:
    address = f"127.0.0.1:{receiver.grpc_port}"
    emit_text(GrpcLogExporter(address, insecure=True, timeout=PATIENCE_S, compression=compression))
    assert logged_texts(receiver) == ["a text"]


def measured(receiver: Receiver) -> dict[str, int]:
    return {
        metric.name: metric.sum.data_points[0].as_int
        for signal, payload in receiver.records()
        if signal == "metrics"
        for resource in ExportMetricsServiceRequest.FromString(payload).resource_metrics
        for scope in resource.scope_metrics
        for metric in scope.metrics
    }


def measure(exporter: MetricExporter) -> None:
    provider = MeterProvider([PeriodicExportingMetricReader(exporter, math.inf)])
    provider.get_meter("test").create_counter("claude_code.token.usage").add(42)
    provider.force_flush(PATIENCE_S * 1000)
    provider.shutdown()


@pytest.mark.parametrize("compression", HTTP)
def test_the_http_exporter_of_metrics(receiver: Receiver, compression: Compression) -> None:
    address = f"http://127.0.0.1:{receiver.http_port}/v1/metrics"
    measure(HttpMetricExporter(address, timeout=PATIENCE_S, compression=compression))
    assert measured(receiver) == {"claude_code.token.usage": 42}


@pytest.mark.parametrize("compression", GRPC)
def test_the_grpc_exporter_of_metrics(receiver: Receiver, compression: grpc.Compression) -> None:
    address = f"127.0.0.1:{receiver.grpc_port}"
    measure(GrpcMetricExporter(address, insecure=True, timeout=PATIENCE_S, compression=compression))
    assert measured(receiver) == {"claude_code.token.usage": 42}


@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_exporters_try_again_when_there_is_no_room(tmp_path: Path, protocol: str) -> None:
    """Both come a second time, which shows that they took the refusal for a passing one; then they are shut down."""
    with receiving(tmp_path, limits=Limits(backlog_bytes=1)) as receiver:
        exporter: SpanExporter
        if protocol == "http":
            exporter = HttpExporter(f"http://127.0.0.1:{receiver.http_port}/v1/traces", timeout=PATIENCE_S)
        else:
            exporter = GrpcExporter(f"127.0.0.1:{receiver.grpc_port}", insecure=True, timeout=PATIENCE_S)
        span = TracerProvider().get_tracer("test").start_span("chat")
        span.end()
        ended: list[SpanExportResult] = []
        exporting = threading.Thread(target=lambda: ended.append(exporter.export([span])))  # type: ignore[list-item]
        exporting.start()
        code = ("http", 503) if protocol == "http" else ("grpc", 14)
        wait_until(lambda: receiver.intake.requests[code] > 1, timeout_s=PATIENCE_S, what="a second attempt")
        exporter.shutdown()
        exporting.join()
    assert ended == [SpanExportResult.FAILURE]
