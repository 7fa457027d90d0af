"""A body in a file says by itself what it is."""

from __future__ import annotations

import json

import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from otlp_bodies import recorded_bodies, request, span
from spanledger_collector.bodies import Body, count_items, cut, first_items, read_body, signal_of
from spanledger_collector.errors import MalformedError
from spanledger_collector.json_messages import document_of
from spanledger_collector.otlp_requests import Request
from spanledger_collector.wal import Signal


def logs(**fields: object) -> ExportLogsServiceRequest:
    made = ExportLogsServiceRequest()
    made.resource_logs.add().scope_logs.add().log_records.add(**fields)
    return made


def metrics(name: str, description: str = "") -> ExportMetricsServiceRequest:
    made = ExportMetricsServiceRequest()
    metric = made.resource_metrics.add().scope_metrics.add().metrics.add(name=name, description=description)
    metric.sum.data_points.add(as_int=7, time_unix_nano=1)
    return made


def traces() -> ExportTraceServiceRequest:
    return ExportTraceServiceRequest.FromString(request(span()))


def nameless() -> ExportTraceServiceRequest:
    made = traces()
    only = made.resource_spans[0].scope_spans[0].spans[0]
    only.ClearField("start_time_unix_nano")
    only.ClearField("end_time_unix_nano")
    return made


BODIES: dict[str, tuple[Signal, Request]] = {
    "spans": ("traces", traces()),
    "spans without times": ("traces", nameless()),
    "log records": ("logs", logs(time_unix_nano=7)),
    "log records with only an observed time": ("logs", logs(observed_time_unix_nano=7, severity_text="INFO")),
    "metrics": ("metrics", metrics("gen_ai.client.token.usage")),
    "metrics with names as long as ids": ("metrics", metrics("x" * 16, "y" * 9)),
}


@pytest.mark.parametrize("name", BODIES)
def test_the_signal_is_recognised_in_protobuf_and_in_json(name: str) -> None:
    signal, message = BODIES[name]
    data = message.SerializeToString()
    assert signal_of(data) == signal
    assert list(read_body(data)) == [Body(signal, data, message)]
    assert list(read_body(json.dumps(document_of(message)).encode())) == [Body(signal, data, message)]


@pytest.mark.parametrize("name", recorded_bodies())
def test_recorded_bodies_are_traces(name: str) -> None:
    assert signal_of(recorded_bodies()[name]) == "traces"


@pytest.mark.parametrize(
    "data", [b"", b"garbage", b"\0" * 40, b"[]", b'{"spans": []}', b'{"resourceSpans": [', b"\xff{"]
)
def test_what_is_no_otlp_is_refused(data: bytes) -> None:
    with pytest.raises(MalformedError):
        list(read_body(data))


def test_a_length_that_looks_like_a_brace_does_not_make_protobuf_json() -> None:
    sizes = {size: request(span(name="x" * size)) for size in range(200)}
    [body] = [body for body in sizes.values() if body[:2] == b"\n{"]
    assert [one.signal for one in read_body(body)] == ["traces"]
    assert [one.signal for one in read_body(b'\n {"resourceSpans": []}')] == ["traces"]


def test_a_body_is_cut_under_its_own_resources_and_scopes() -> None:
    made = ExportTraceServiceRequest.FromString(
        request(*(span({"text": "x" * 500}, number=number) for number in range(1, 40)), resource={"service.name": "a"})
    )
    made.MergeFrom(ExportTraceServiceRequest.FromString(request(span(number=99), scope="other", resource={"b": 1})))
    body = Body("traces", made.SerializeToString(), made)
    parts = [ExportTraceServiceRequest.FromString(part) for part in cut(body, 3000)]
    assert len(parts) > 5
    assert max(part.ByteSize() for part in parts) < 3600

    def flat(requests: list[ExportTraceServiceRequest]) -> list[tuple[object, ...]]:
        return [
            (resource.resource.SerializeToString(), scope.scope.name, one.span_id)
            for message in requests
            for resource in message.resource_spans
            for scope in resource.scope_spans
            for one in scope.spans
        ]

    assert flat(parts) == flat([made])
    assert list(cut(body, 10**6)) == [body.data]
    assert count_items(body) == 40


def test_the_first_items_are_picked_across_scopes() -> None:
    made = ExportTraceServiceRequest()
    for number in range(5):
        made.MergeFrom(
            ExportTraceServiceRequest.FromString(request(span(number=2 * number), span(number=2 * number + 1)))
        )
    few = first_items(Body("traces", made.SerializeToString(), made), 3)
    assert count_items(Body("traces", b"", few)) == 3
