"""OTLP's JSON and protobuf say the same, both ways, as protobuf's own mapping has it."""

from __future__ import annotations

import base64
import json
import math
from typing import Any

import pytest
from google.protobuf import json_format
from google.protobuf.message import Message
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue

from otlp_bodies import Value, any_value, recorded_bodies
from spanledger_collector.errors import MalformedError
from spanledger_collector.json_messages import document_of, message_of

RECORDED = recorded_bodies()
NESTED: Value = [1, [2], {"a": "b"}]
VALUES: tuple[Value, ...] = (
    *(None, True, 0, -(2**63), 2**63 - 1, 1.5, math.inf, -math.inf),
    *("", "ü\0", b"", b"\xff\0"),
    [],
    {},
    NESTED,
)


def protobufs_own(message: Message) -> dict[str, Any]:
    """Return what protobuf's mapping gives, with the ids in hex as OTLP wants them."""
    document: dict[str, Any] = json_format.MessageToDict(message, use_integers_for_enums=True)
    for resource in document.get("resourceSpans", []):
        for scope in resource["scopeSpans"]:
            for span in scope["spans"]:
                for item in (span, *span.get("links", [])):
                    for key in ("traceId", "spanId", "parentSpanId"):
                        if key in item:
                            item[key] = base64.b64decode(item[key]).hex()
    return document


@pytest.mark.parametrize("name", RECORDED)
def test_a_recorded_body_is_the_same_in_json(name: str) -> None:
    message = ExportTraceServiceRequest.FromString(RECORDED[name])
    document = json.loads(json.dumps(document_of(message)))
    assert document == json.loads(json.dumps(protobufs_own(message)))
    assert message_of(ExportTraceServiceRequest, document) == message


@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_every_kind_of_value_goes_there_and_back(value: Value) -> None:
    made = any_value(value)
    document = json.loads(json.dumps(document_of(made)))
    assert document == json_format.MessageToDict(made)
    assert message_of(AnyValue, document) == made == json_format.ParseDict(document, AnyValue())


def test_logs_and_metrics_are_read_too() -> None:
    logs = message_of(
        ExportLogsServiceRequest,
        {"resourceLogs": [{"scopeLogs": [{"logRecords": [{"traceId": "ab" * 16, "timeUnixNano": "7", "later": 1}]}]}]},
    )
    record = logs.resource_logs[0].scope_logs[0].log_records[0]
    assert (record.trace_id, record.time_unix_nano) == (b"\xab" * 16, 7)
    metrics = message_of(
        ExportMetricsServiceRequest,
        {"resourceMetrics": [{"scopeMetrics": [{"metrics": [{"sum": {"aggregationTemporality": 2}}]}]}]},
    )
    assert metrics.resource_metrics[0].scope_metrics[0].metrics[0].sum.aggregation_temporality == 2


def test_an_unreadable_id_becomes_one_that_no_span_can_have() -> None:
    span = {"traceId": "xyz", "spanId": None}
    read = message_of(ExportTraceServiceRequest, {"resourceSpans": [{"scopeSpans": [{"spans": [span]}]}]})
    assert (read.resource_spans[0].scope_spans[0].spans[0].trace_id) == b"\0"


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ([], "a ExportTraceServiceRequest has to be an object"),
        ({"resourceSpans": {}}, "`resourceSpans` of a ExportTraceServiceRequest can't be read: an array is wanted"),
        ({"resourceSpans": [{"schemaUrl": 1}]}, "int where str is wanted"),
        ({"resourceSpans": [{"scopeSpans": [{"spans": [{"startTimeUnixNano": "soon"}]}]}]}, "`startTimeUnixNano`"),
        ({"resourceSpans": [{"scopeSpans": [{"spans": [{"startTimeUnixNano": 2**64}]}]}]}, "not an ExportTrace"),
        ({"resourceSpans": [{"scopeSpans": [{"spans": [{"kind": True}]}]}]}, "`kind` of a Span"),
        ({"resourceSpans": [{"scopeSpans": [{"spans": [{"kind": "\ud800"}]}]}]}, "`kind` of a Span"),
    ],
)
def test_what_is_of_the_wrong_type_is_named(document: object, words: str) -> None:
    with pytest.raises(MalformedError) as caught:
        message_of(ExportTraceServiceRequest, document)
    assert words in caught.value.message
