"""OpenTelemetry's own exporters, against both doors."""

from __future__ import annotations

import math
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
    assert [emitted_through(HttpExporter(address, compression=compression))] == logged(receiver)


@pytest.mark.parametrize("compression", GRPC)
def test_the_grpc_exporter(receiver: Receiver, compression: grpc.Compression) -> None:
    exporter = GrpcExporter(f"127.0.0.1:{receiver.grpc_port}", insecure=True, compression=compression)
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
    emit_text(HttpLogExporter(f"http://127.0.0.1:{receiver.http_port}/v1/logs", compression=compression))
    assert logged_texts(receiver) == ["a text"]


@pytest.mark.parametrize("compression", GRPC)
def test_the_grpc_exporter_of_logs(receiver: Receiver, compression: grpc.Compression) -> None:
    emit_text(GrpcLogExporter(f"127.0.0.1:{receiver.grpc_port}", insecure=True, compression=compression))
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
    provider.force_flush()
    provider.shutdown()


@pytest.mark.parametrize("compression", HTTP)
def test_the_http_exporter_of_metrics(receiver: Receiver, compression: Compression) -> None:
    measure(HttpMetricExporter(f"http://127.0.0.1:{receiver.http_port}/v1/metrics", compression=compression))
    assert measured(receiver) == {"claude_code.token.usage": 42}


@pytest.mark.parametrize("compression", GRPC)
def test_the_grpc_exporter_of_metrics(receiver: Receiver, compression: grpc.Compression) -> None:
    measure(GrpcMetricExporter(f"127.0.0.1:{receiver.grpc_port}", insecure=True, compression=compression))
    assert measured(receiver) == {"claude_code.token.usage": 42}


@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_exporters_try_again_when_there_is_no_room(
    tmp_path: Path, protocol: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Both give up only after their own time-out, which shows that they took the refusal for a passing one."""
    with receiving(tmp_path, limits=Limits(backlog_bytes=1)) as receiver:
        exporter: SpanExporter
        if protocol == "http":
            exporter = HttpExporter(f"http://127.0.0.1:{receiver.http_port}/v1/traces", timeout=1.5)
        else:
            exporter = GrpcExporter(f"127.0.0.1:{receiver.grpc_port}", insecure=True, timeout=1.5)
        span = TracerProvider().get_tracer("test").start_span("chat")
        span.end()
        assert exporter.export([span]) is SpanExportResult.FAILURE  # type: ignore[list-item]
        exporter.shutdown()
        refused = sum(count for (_, code), count in receiver.intake.requests.items() if code in (503, 14))
    assert refused > 1
