"""Coding agents against a running collector: their events are rows, once, and their metrics agree with them."""

from __future__ import annotations

import http.client
import time
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import json_format
from opentelemetry._logs import LogRecord
from opentelemetry.exporter.otlp.proto.grpc._log_exporter import OTLPLogExporter as GrpcLogs
from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter as GrpcMetrics
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter as HttpLogs
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter as HttpMetrics
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import LogRecordExporter, SimpleLogRecordProcessor
from opentelemetry.sdk.metrics import Counter, MeterProvider
from opentelemetry.sdk.metrics.export import AggregationTemporality, MetricExporter, PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource

from agent_bodies import CLAUDE_REQUEST, CLAUDE_WHO, CODEX_COMPLETED, claude, codex
from collector_process import Collector, collecting
from spanledger_analytics.connection import connect

RESOURCE = Resource({"service.name": "claude-code", "team.id": "platform"})
PROTOBUF, JSON = "application/x-protobuf", "application/json"
DELTA: dict[type, AggregationTemporality] = {Counter: AggregationTemporality.DELTA}
PATIENCE_S = 60


def post(collector: Collector, path: str, body: bytes, content_type: str = PROTOBUF) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", collector.http_port, timeout=PATIENCE_S)
    connection.request("POST", path, body, {"Content-Type": content_type})
    answer = connection.getresponse()
    answer.read()
    connection.close()
    return answer.status


def emit(exporter: LogRecordExporter, at_ns: int, *events: Mapping[str, Any]) -> None:
    provider = LoggerProvider(resource=RESOURCE, shutdown_on_exit=False)
    provider.add_log_record_processor(SimpleLogRecordProcessor(exporter))
    logger = provider.get_logger("com.anthropic.claude_code.events", "2.1.332")
    for event in events:
        logger.emit(LogRecord(timestamp=at_ns, body=f"claude_code.{event['event.name']}", attributes=event))
    provider.shutdown()


def count(exporter: MetricExporter, tokens: Mapping[str, int]) -> int:
    """Count tokens, and return when: events and metrics are compared by the hour."""
    provider = MeterProvider([PeriodicExportingMetricReader(exporter, 60_000)], RESOURCE, shutdown_on_exit=False)
    counter = provider.get_meter("com.anthropic.claude_code").create_counter("claude_code.token.usage")
    for kind, amount in tokens.items():
        counter.add(amount, {**CLAUDE_WHO, "model": CLAUDE_REQUEST["model"], "type": kind})
    at_ns = time.time_ns()
    provider.shutdown()
    return at_ns


@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_events_and_metrics_of_an_exporter_agree(tmp_path: Path, protocol: str) -> None:
    judged = {"event.name": "gen_ai.evaluation.result", "gen_ai.evaluation.name": "accepted", "session.id": "s"}
    with collecting(tmp_path) as collector:
        http_url, grpc_url = f"http://127.0.0.1:{collector.http_port}", f"127.0.0.1:{collector.grpc_port}"
        logs: LogRecordExporter
        metrics: MetricExporter
        if protocol == "http":
            logs = HttpLogs(f"{http_url}/v1/logs", timeout=PATIENCE_S)
            metrics = HttpMetrics(f"{http_url}/v1/metrics", timeout=PATIENCE_S, preferred_temporality=DELTA)
        else:
            logs = GrpcLogs(grpc_url, insecure=True, timeout=PATIENCE_S)
            metrics = GrpcMetrics(grpc_url, insecure=True, timeout=PATIENCE_S, preferred_temporality=DELTA)
        at_ns = count(metrics, {"input": 9, "cacheRead": 30_008, "cacheCreation": 3755, "output": 42})
        emit(logs, at_ns, {**CLAUDE_WHO, "event.name": "user_prompt"}, CLAUDE_REQUEST, judged)
        collector.wait_for_commit()
        lake = connect(collector.lake)

    calls = lake.execute("select dialect, team_id, input_tokens, cost_usd from llm_calls").fetchall()
    checks = lake.execute("select side, sum(difference) from cross_checks group by side order by side").fetchall()

    assert calls == [("claude_code", "platform", 33_772, Decimal("0.03049065"))]
    assert lake.execute("select name, session_id, source from outcomes").fetchall() == [
        ("accepted", "s", "com.anthropic.claude_code.events")
    ]
    assert checks == [("input", 0), ("output", 0)]


def test_a_retry_counts_once_in_whatever_form_and_segment(tmp_path: Path) -> None:
    request = codex({**CODEX_COMPLETED, "auth_mode": "Chatgpt"})
    with collecting(tmp_path) as collector:
        answers = [post(collector, "/v1/logs", request.SerializeToString())]
        collector.wait_for_commit()
        answers.append(post(collector, "/v1/logs", json_format.MessageToJson(request).encode(), JSON))
        answers.append(post(collector, "/v1/logs", request.SerializeToString()))
        collector.wait_for_commit()
        lake = connect(collector.lake)

    assert answers == [200, 200, 200]
    assert lake.execute("select billing_basis, cost_usd, equivalent_usd from llm_calls").fetchall() == [
        ("plan", None, Decimal("0.0038125"))
    ]


def test_logs_of_other_programs_are_taken_and_leave_nothing(tmp_path: Path) -> None:
    ordinary = claude({"event.name": "user_prompt"}, {"http.route": "/"})
    ordinary.resource_logs[0].scope_logs[0].scope.name = "shop"
    with collecting(tmp_path) as collector:
        assert post(collector, "/v1/logs", ordinary.SerializeToString()) == 200
        collector.wait_for_commit()
        figures = http.client.HTTPConnection("127.0.0.1", collector.http_port, timeout=PATIENCE_S)
        figures.request("GET", "/metrics")
        lines = figures.getresponse().read().decode().splitlines()
        figures.close()

    assert 'spanledger_collector_dropped_total{signal="logs"} 2' in lines
    assert list(tmp_path.rglob("dead/*")) == []
