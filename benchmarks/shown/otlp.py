"""The spans of a generated lake as OTLP requests, named both ways: by OpenTelemetry's and by OpenInference's words.

The peers read one or the other; both are on every span, so that each sees tokens, models and who it was for. Nothing
was said and heard on these spans, so no peer stores prompts either.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span, Status

from spanledger_analytics.connection import connect

TRACES_A_REQUEST: Final = 20
_KINDS: Final = {"internal": Span.SPAN_KIND_INTERNAL, "client": Span.SPAN_KIND_CLIENT}
_OPENINFERENCE: Final = {"inference": "LLM", "agent": "AGENT", "tool": "TOOL"}
_QUERY: Final = """
    select trace_id, span_id, parent_span_id, name, kind, start_time, duration_us, status, role, operation, provider,
        coalesce(response_model, request_model) as model, input_tokens, output_tokens, cache_read_tokens,
        user_id, session_id, feature, team_id
    from spans order by dt, trace_id, start_time, span_id
"""


def requests(lake: Path, later: timedelta) -> Iterator[bytes]:
    """Yield the bodies, whole traces together, all times moved by `later`."""
    with closing(connect(lake)) as connection:
        rows = connection.sql(_QUERY).pl()
    traces: list[list[dict[str, Any]]] = []
    for row in rows.iter_rows(named=True):
        if traces and traces[-1][0]["trace_id"] == row["trace_id"]:
            traces[-1].append(row)
            continue
        if len(traces) == TRACES_A_REQUEST:
            yield _request(traces, later)
            traces = []
        traces.append([row])
    yield _request(traces, later)


def _request(traces: list[list[dict[str, Any]]], later: timedelta) -> bytes:
    spans = [_span(row, later) for trace in traces for row in trace]
    resource = ResourceSpans(scope_spans=[ScopeSpans(spans=spans)])
    resource.resource.attributes.extend(_attributes({"service.name": "benchmark"}))
    return ExportTraceServiceRequest(resource_spans=[resource]).SerializeToString()


def _span(row: dict[str, Any], later: timedelta) -> Span:
    start = _ns(row["start_time"] + later)
    failed = row["status"] == "error"
    return Span(
        trace_id=bytes.fromhex(row["trace_id"]),
        span_id=bytes.fromhex(row["span_id"]),
        parent_span_id=bytes.fromhex(row["parent_span_id"] or ""),
        name=row["name"],
        kind=_KINDS[row["kind"]],
        start_time_unix_nano=start,
        end_time_unix_nano=start + row["duration_us"] * 1000,
        status=Status(code=Status.STATUS_CODE_ERROR if failed else Status.STATUS_CODE_UNSET),
        attributes=_attributes(_said(row)),
    )


def _ns(moment: datetime) -> int:
    return int(moment.timestamp()) * 1_000_000_000 + moment.microsecond * 1000


def _said(row: dict[str, Any]) -> dict[str, str | int | None]:
    is_call = row["role"] == "inference"
    tokens = [row["input_tokens"], row["output_tokens"]]
    return {
        "gen_ai.operation.name": row["operation"],
        "gen_ai.provider.name": row["provider"],
        "gen_ai.request.model": row["model"],
        "gen_ai.response.model": row["model"],
        "gen_ai.usage.input_tokens": row["input_tokens"],
        "gen_ai.usage.output_tokens": row["output_tokens"],
        "gen_ai.usage.cache_read.input_tokens": row["cache_read_tokens"],
        "openinference.span.kind": "EMBEDDING"
        if row["operation"] == "embeddings"
        else _OPENINFERENCE.get(row["role"], "CHAIN"),
        "llm.model_name": row["model"],
        "llm.provider": row["provider"],
        "llm.token_count.prompt": row["input_tokens"],
        "llm.token_count.completion": row["output_tokens"],
        "llm.token_count.total": sum(tokens) if is_call and None not in tokens else None,
        "llm.token_count.prompt_details.cache_read": row["cache_read_tokens"],
        "user.id": row["user_id"],
        "session.id": row["session_id"],
        "feature": row["feature"],
        "team": row["team_id"],
    }


def _attributes(said: dict[str, str | int | None]) -> list[KeyValue]:
    return [
        KeyValue(key=name, value=AnyValue(int_value=value) if isinstance(value, int) else AnyValue(string_value=value))
        for name, value in said.items()
        if value is not None
    ]
