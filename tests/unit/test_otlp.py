"""The bytes of our own OTLP encoder, against OpenTelemetry's."""

from __future__ import annotations

from collections.abc import Mapping

from hypothesis import given, settings, strategies as st
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event as SdkEvent, ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode

from spanledger.otlp import encode_request, encode_span
from spanledger.record import Attributes, AttributeValue, Event, Place, Record

TEXT = st.text(st.characters(codec="utf-8"), max_size=300)
WHOLE = st.integers(-(2**63), 2**63 - 1)
BYTES = st.binary(max_size=300)
VALUES = st.one_of(TEXT, WHOLE, st.booleans(), st.floats(allow_nan=False), BYTES, st.lists(TEXT, max_size=3))
ATTRIBUTES = st.dictionaries(TEXT.filter(bool), VALUES, max_size=8)
TIMES = st.integers(0, 2**63 - 1)
IDS = st.integers(1, 2**64 - 1)
RECORDS = st.builds(
    Record,
    name=TEXT,
    kind=st.sampled_from(["client", "internal"]),
    place=st.builds(Place, st.integers(1, 2**128 - 1), IDS, st.none() | IDS),
    start_ns=TIMES,
    end_ns=TIMES,
    attributes=ATTRIBUTES,
    error=st.none() | TEXT,
    events=st.lists(st.builds(Event, TEXT, TIMES, ATTRIBUTES), max_size=2).map(tuple),
)


@given(record=RECORDS, more=ATTRIBUTES)
@settings(max_examples=150, deadline=None)
def test_the_bytes_say_what_opentelemetrys_encoder_says(record: Record, more: Mapping[str, AttributeValue]) -> None:
    more = {name: value for name, value in more.items() if name not in record.attributes}

    ours = ExportTraceServiceRequest.FromString(
        encode_request({"service.name": "hotel"}, ("scope", "1"), [encode_span(record, more)])
    )

    theirs = encode_spans([_as_opentelemetry_has_it(record, {**record.attributes, **more})])
    assert ours == ExportTraceServiceRequest.FromString(theirs.SerializeToString())


def _as_opentelemetry_has_it(record: Record, attributes: Mapping[str, AttributeValue]) -> ReadableSpan:
    place = record.place
    parent = None
    if place.parent_id is not None:
        parent = SpanContext(place.trace_id, place.parent_id, is_remote=False)
    return ReadableSpan(
        name=record.name,
        context=SpanContext(place.trace_id, place.span_id, is_remote=False),
        parent=parent,
        resource=Resource({"service.name": "hotel"}),
        attributes=attributes,
        events=[SdkEvent(event.name, event.attributes, event.time_ns) for event in record.events],
        kind=SpanKind.CLIENT if record.kind == "client" else SpanKind.INTERNAL,
        instrumentation_scope=InstrumentationScope("scope", "1"),
        status=Status(StatusCode.UNSET) if record.error is None else Status(StatusCode.ERROR, record.error),
        start_time=record.start_ns,
        end_time=record.end_ns,
    )


def test_a_call_counts_whatever_its_server_writes() -> None:
    """Half a pair of surrogates is a legal escape in JSON; a number there has no limit."""
    odd: Attributes = {
        "half\ud800": "a\udc00",
        "list": ["\ud800"],
        "long": "\ud800" * 100,
        "count": 2**70,
        "less": -(2**70),
    }
    record = Record("chat \ud800", "client", Place(1, 1), 0, 0, odd, error="\ud800", events=(Event("\ud800", 0, odd),))

    (span,) = (
        ExportTraceServiceRequest.FromString(encode_request({}, ("scope", "1"), [encode_span(record, {})]))
        .resource_spans[0]
        .scope_spans[0]
        .spans
    )

    values = [pair.value for pair in span.attributes]
    assert (span.name, span.status.message, span.events[0].name) == ("chat ?", "?", "?")
    assert (span.attributes[0].key, values[0].string_value) == ("half?", "a?")
    assert (values[3].int_value, values[4].int_value) == (2**63 - 1, -(2**63))
