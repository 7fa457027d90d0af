"""Two spans of one emitter for one call are one call, if one of them has nothing to charge."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from otlp_bodies import START_NS, Value, request, rows_of, span
from spanledger_collector.duplicates import mark_duplicates

ASKED: dict[str, Value] = {
    "gen_ai.operation.name": "chat",
    "gen_ai.request.model": "gpt-5.5",
    "request_data": '{"model":"gpt-5.5"}',
    "gen_ai.input.messages": "[hello]",
}
USED: dict[str, Value] = {"gen_ai.usage.input_tokens": 12, "gen_ai.usage.output_tokens": 5}
MS = 1_000_000


def asked(number: int, *, end_ms: int = 10, wire: Mapping[str, Value] = ASKED) -> Span:
    """Return Logfire's span of a request, from 0 to `end_ms`."""
    return span({**ASKED, **wire}, number=number, end_time_unix_nano=START_NS + end_ms * MS)


def told(number: int, *, at_ms: int = 500, seconds: float = 0.49, wire: Mapping[str, Value] = ASKED) -> Span:
    """Return Logfire's moment after a stream that lasted for `seconds`."""
    moment = START_NS + at_ms * MS
    said = {**ASKED, **USED, "duration": seconds, **wire}
    return span(said, number=number, name="streaming response", start_time_unix_nano=moment, end_time_unix_nano=moment)


def wins(*spans: Span, scope: str = "logfire.openai") -> list[int | None]:
    """Return the number of the span that is charged in place of each."""
    marks: list[str | None] = mark_duplicates(rows_of(request(*spans, scope=scope)))["duplicate_of"].to_pylist()
    return [None if mark is None else int(mark, 16) - 0xBB00 for mark in marks]


@pytest.mark.parametrize(
    ("request_span", "moment", "winner"),
    [
        (asked(1), told(2), 2),
        (asked(1), told(2, seconds=0.3), 2),
        (asked(1), told(2, wire={"gen_ai.input.messages": "[another]"}), None),
        (asked(1), told(2, wire={"gen_ai.request.model": "gpt-5"}), None),
        (asked(1, end_ms=200), told(2), None),
        (asked(1), told(2, at_ms=90_000), None),
        (asked(1, wire=USED), told(2), None),
    ],
)
def test_request_gives_way_to_the_moment_that_tells_of_its_stream(
    request_span: Span, moment: Span, winner: int | None
) -> None:
    assert wins(request_span, moment) == [winner, None]


def test_each_moment_stands_for_one_request_the_last_before_it() -> None:
    spans = [asked(1), asked(2, end_ms=20), asked(3, end_ms=30), told(4, seconds=0.479), told(5, at_ms=501)]
    assert wins(*spans) == [5, 4, None, None, None]


def child(number: int, parent: Span, attributes: dict[str, Value], **fields: Any) -> Span:
    """Return a span below another."""
    made = span({**ASKED, **attributes}, number=number, **fields)
    made.trace_id, made.parent_span_id = parent.trace_id, parent.span_id
    return made


def test_span_without_usage_around_calls_gives_way_to_the_first_of_them() -> None:
    outer = span(ASKED, number=1)
    assert wins(outer, child(2, outer, USED), child(3, outer, USED), scope="ai") == [2, None, None]


def test_span_with_usage_around_a_call_keeps_it() -> None:
    outer = span({**ASKED, **USED}, number=1)
    assert wins(outer, child(2, outer, USED), scope="ai") == [None, None]


def test_span_without_usage_around_another_without_stays_a_call() -> None:
    outer = span(ASKED, number=1)
    assert wins(outer, child(2, outer, {}), scope="ai") == [None, None]


def test_span_around_a_call_of_another_instrumentation_stays_a_call() -> None:
    outer = span(ASKED, number=1)
    bodies = [request(outer, scope="ai"), request(child(2, outer, USED), scope="elsewhere")]
    assert mark_duplicates(rows_of(*bodies))["duplicate_of"].to_pylist() == [None, None]
