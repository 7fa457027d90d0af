"""The load of the benchmark and the crash tests: made anew, a body is a sound request with other ids and times."""

from __future__ import annotations

import numpy as np
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from agent_traces import Body, make_bodies
from otlp_bodies import START_NS
from spanledger import names


def _spans(body: Body) -> list[Span]:
    request = ExportTraceServiceRequest.FromString(body.renewed(np.random.default_rng(), START_NS))
    return list(request.resource_spans[0].scope_spans[0].spans)


def _response_ids(spans: list[Span]) -> list[str]:
    return [pair.value.string_value for span in spans for pair in span.attributes if pair.key == names.RESPONSE_ID]


def test_a_renewed_body_has_new_ids_and_new_times_and_is_otherwise_the_same() -> None:
    body = make_bodies(1, traces=3)[0]
    first, second = _spans(body), _spans(body)
    ids = {span.span_id for span in first + second}
    response_ids = _response_ids(first) + _response_ids(second)
    assert (len(first), len(ids), len(set(response_ids))) == (24, 48, 24)
    assert len({span.trace_id for span in first + second}) == 6
    assert all(span.parent_span_id == first[place // 8 * 8].span_id for place, span in enumerate(first) if place % 8)
    assert [span.name for span in first] == [span.name for span in second]
    assert min(span.start_time_unix_nano for span in first) >= START_NS
    assert all(span.start_time_unix_nano <= span.end_time_unix_nano for span in first)


def test_a_chat_has_25_attributes_and_12_more_with_fingerprints() -> None:
    plain = [len(span.attributes) for span in _spans(make_bodies(1, traces=1)[0])]
    more = [len(span.attributes) for span in _spans(make_bodies(1, traces=1, fingerprints=True)[0])]
    assert plain == [6, 25, 8, 25, 8, 25, 8, 25]
    assert more == [6, 37, 8, 37, 8, 37, 8, 37]
