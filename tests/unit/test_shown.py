"""What the dashboard's benchmark sends to others is what lies in the lake."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from ledger_rows import call, make_lake, span
from shown.otlp import TRACES_A_REQUEST, requests

START = datetime(2026, 11, 3, 14, 0, tzinfo=UTC)
LATER = timedelta(days=2)


def said(one: Span) -> dict[str, str | int]:
    """Return a span's attributes."""
    return {
        each.key: each.value.int_value if each.value.HasField("int_value") else each.value.string_value
        for each in one.attributes
    }


def test_spans_keep_ids_tree_length_and_tokens_and_are_moved_in_time(tmp_path: Path) -> None:
    root = span(1, 1, START, name="answer", role="agent")
    child = call(1, 2, START, uncached=100, parent_span_id=root["span_id"]) | {"user_id": "ann", "status": "error"}
    lake = make_lake(tmp_path / "lake", [root, child])
    (body,) = requests(lake, LATER)
    (resource,) = ExportTraceServiceRequest.FromString(body).resource_spans
    above, below = resource.scope_spans[0].spans
    assert (above.span_id.hex(), above.parent_span_id, said(above)) == (
        root["span_id"],
        b"",
        {"openinference.span.kind": "AGENT"},
    )
    assert (below.trace_id.hex(), below.span_id.hex(), below.parent_span_id) == (
        child["trace_id"],
        child["span_id"],
        above.span_id,
    )
    assert (below.start_time_unix_nano, below.end_time_unix_nano - below.start_time_unix_nano) == (
        int((START + LATER).timestamp()) * 10**9,
        child["duration_us"] * 1000,
    )
    assert (below.kind, below.status.code) == (Span.SPAN_KIND_CLIENT, Status.STATUS_CODE_ERROR)
    assert said(below) == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "gpt-5",
        "gen_ai.response.model": "gpt-5",
        "gen_ai.usage.input_tokens": 100,
        "gen_ai.usage.output_tokens": 100,
        "gen_ai.usage.cache_read.input_tokens": 0,
        "openinference.span.kind": "LLM",
        "llm.model_name": "gpt-5",
        "llm.provider": "openai",
        "llm.token_count.prompt": 100,
        "llm.token_count.completion": 100,
        "llm.token_count.total": 200,
        "llm.token_count.prompt_details.cache_read": 0,
        "user.id": "ann",
    }


def test_traces_are_sent_whole_a_few_at_a_time(tmp_path: Path) -> None:
    traces = TRACES_A_REQUEST + 1
    rows = [
        row
        for trace in range(1, traces + 1)
        for row in (span(trace, 1, START, name="answer", role="agent"), call(trace, 2, START, uncached=1))
    ]
    bodies = requests(make_lake(tmp_path / "lake", rows), LATER)
    sent = [ExportTraceServiceRequest.FromString(body).resource_spans[0].scope_spans[0].spans for body in bodies]
    assert [len(spans) for spans in sent] == [2 * TRACES_A_REQUEST, 2]
    assert len({one.trace_id for spans in sent for one in spans}) == traces
