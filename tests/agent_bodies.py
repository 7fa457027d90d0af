"""OTLP log and metric bodies as coding agents send them, built from plain dictionaries.

The attributes are those that Claude Code 2.1.332, Codex CLI 0.171.0 and Gemini CLI 0.61.0 sent to a socket, with
other numbers; what an older version of them lacks is left out by the test.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue

SECOND_NS = 10**9
DAY_NS = 86_400 * SECOND_NS
AT_NS = (time.time_ns() // DAY_NS - 1) * DAY_NS + 54_620 * SECOND_NS
"""Yesterday at 15:10:20 UTC."""

CLAUDE_WHO: Mapping[str, Any] = {
    "user.id": "4b8f5fb49c9a994aa364d3f77225be115ba5457848aa0fcfb71ac02428f321c6",
    "session.id": "764e3eed-ee0b-4a7c-ab71-f1fe4fd13efa",
    "anthropic.provider": "firstParty",
    "vcs.repository.url.full": "https://github.com/acme/widgets",
    "vcs.repository.name": "widgets",
    "terminal.type": "iTerm.app",
    "prompt.id": "070c45f5-6dfb-490c-8036-afaa2dee7533",
}
CLAUDE_ACCOUNT: Mapping[str, Any] = {
    "organization.id": "8c1e2f3a-1111-4222-8333-944445555666",
    "user.email": "ada@acme.test",
    "user.account_uuid": "0d9f2f4e-aaaa-4bbb-8ccc-9ddddeeeefff",
    "user.account_id": "user_01BWBeN28Z",
}
CLAUDE_REQUEST: Mapping[str, Any] = {
    **CLAUDE_WHO,
    "event.name": "api_request",
    "event.timestamp": "2026-11-28T15:10:20.000Z",
    "event.sequence": 6,
    "model": "claude-sonnet-4-5-20250929",
    "input_tokens": 9,
    "output_tokens": 42,
    "cache_read_tokens": 30008,
    "cache_creation_tokens": 3755,
    "cache_creation_5m_tokens": 755,
    "cache_creation_1h_tokens": 3000,
    "cost_usd": 0.03087165,
    "cost_usd_micros": 30872,
    "duration_ms": 2500,
    "ttft_ms": 450,
    "request_id": "req_011CSHoEeqs5C35K2UUqR7Fy",
    "speed": "normal",
    "query_source": "repl_main_thread",
    "effort": "medium",
}
CODEX_WHO: Mapping[str, Any] = {
    "event.timestamp": "2026-11-28T15:10:20.000Z",
    "conversation.id": "01a222b5-064e-7381-b2e1-22bbe87b6599",
    "app.version": "0.171.0",
    "originator": "codex_cli_rs",
    "user.account_id": "acct-7",
    "user.email": "ada@acme.test",
    "terminal.type": "xterm",
    "model": "gpt-5.1",
    "slug": "gpt-5.1",
}
CODEX_COMPLETED: Mapping[str, Any] = {
    **CODEX_WHO,
    "event.name": "codex.sse_event",
    "event.kind": "response.completed",
    # tracing's `%` makes text of some of them
    "input_token_count": "2000",
    "output_token_count": "300",
    "cached_token_count": 1500,
    "cache_write_token_count": 0,
    "reasoning_token_count": 200,
    "tool_token_count": "2300",
}
GEMINI_WHO: Mapping[str, Any] = {
    "session.id": "5af4486a-5a8c-4e90-8d9a-64c200f85fcb",
    "installation.id": "ec83f83e-f29a-4a2a-8d08-ac61c7ff9fae",
    "interactive": True,
    "user.email": "ada@acme.test",
    "auth_type": "gemini-api-key",
    "event.timestamp": "2026-11-28T15:10:20.000Z",
    "prompt_id": "5af4486a-5a8c-4e90-8d9a-64c200f85fcb########3",
}
GEMINI_RESPONSE: Mapping[str, Any] = {
    **GEMINI_WHO,
    "event.name": "gemini_cli.api_response",
    "model": "gemini-2.5-flash",
    "duration_ms": 1500,
    "input_token_count": 20000,
    "output_token_count": 700,
    "cached_content_token_count": 16000,
    "thoughts_token_count": 200,
    "tool_token_count": 50,
    "total_token_count": 20950,
    "status_code": 200,
    "http.status_code": 200,
    "finish_reasons": ["stop"],
    "role": "main",
    "response_text": "[the answer]",
}


def any_value(value: Any) -> AnyValue:
    match value:
        case bool():
            return AnyValue(bool_value=value)
        case int():
            return AnyValue(int_value=value)
        case float():
            return AnyValue(double_value=value)
        case list():
            filled = AnyValue()
            filled.array_value.values.extend(any_value(item) for item in value)
            return filled
        case _:
            return AnyValue(string_value=value)


def pairs(attributes: Mapping[str, Any]) -> list[KeyValue]:
    return [KeyValue(key=key, value=any_value(value)) for key, value in attributes.items()]


def logs(
    service: str,
    scope: str,
    *events: Mapping[str, Any],
    resource: Mapping[str, Any] | None = None,
    at_ns: int = AT_NS,
    observed_only: bool = False,
    trace_id: bytes = b"",
    span_id: bytes = b"",
) -> ExportLogsServiceRequest:
    """A request with an event a record, all at one time; the body of each is its name, as Claude Code has it."""
    request = ExportLogsServiceRequest()
    home = request.resource_logs.add()
    home.resource.attributes.extend(pairs({"service.name": service, **(resource or {})}))
    inside = home.scope_logs.add()
    inside.scope.name, inside.scope.version = scope, "1.2.3"
    for event in events:
        record = inside.log_records.add(trace_id=trace_id, span_id=span_id, attributes=pairs(event))
        record.observed_time_unix_nano = at_ns
        record.time_unix_nano = 0 if observed_only else at_ns
    return request


def claude(*events: Mapping[str, Any], **how: Any) -> ExportLogsServiceRequest:
    return logs("claude-code", "com.anthropic.claude_code.events", *events, **how)


def codex(*events: Mapping[str, Any], **how: Any) -> ExportLogsServiceRequest:
    return logs("codex_cli_rs", "codex_otel.log_only", *events, observed_only=True, **how)


def gemini(*events: Mapping[str, Any], **how: Any) -> ExportLogsServiceRequest:
    return logs("gemini-cli", "gemini-cli", *events, **how)


def metric(
    name: str,
    points: Sequence[tuple[float, Mapping[str, Any]]],
    *,
    service: str = "claude-code",
    temporality: int = 1,
    since_ns: int = AT_NS,
    at_ns: int = AT_NS + SECOND_NS,
    histogram: bool = False,
) -> ExportMetricsServiceRequest:
    """A request with one metric; temporality 1 is delta, 2 is cumulative."""
    request = ExportMetricsServiceRequest()
    home = request.resource_metrics.add()
    home.resource.attributes.extend(pairs({"service.name": service}))
    added = home.scope_metrics.add().metrics.add(name=name)
    for value, attributes in points:
        known = {"start_time_unix_nano": since_ns, "time_unix_nano": at_ns, "attributes": pairs(attributes)}
        if histogram:
            added.histogram.data_points.add(sum=value, count=1, **known)
        else:
            added.sum.data_points.add(as_double=value, **known)
    (added.histogram if histogram else added.sum).aggregation_temporality = temporality  # type: ignore[assignment]
    return request
