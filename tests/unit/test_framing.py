"""The frames of a trace request: counted without reading a span, refused where they are torn."""

from __future__ import annotations

import pytest

from agent_traces import make_bodies
from otlp_bodies import recorded_bodies, request, span
from spanledger_collector.errors import MalformedError
from spanledger_collector.framing import count_frames
from spanledger_collector.loop import read_bodies


@pytest.mark.parametrize("name", recorded_bodies())
def test_the_frames_of_recorded_bodies_hold_their_spans(name: str) -> None:
    body = recorded_bodies()[name]
    assert count_frames(body) == read_bodies([body]).num_rows


def test_frames_that_are_torn_are_refused() -> None:
    body = request(span({"own": "text"}), span())
    for end in range(1, len(body)):
        with pytest.raises(MalformedError, match="not the frames"):
            count_frames(body[:end])


def test_what_is_in_a_span_is_not_looked_at() -> None:
    made = make_bodies(1, traces=2)[0]
    assert count_frames(made.data.tobytes()) == 16
    assert count_frames(request(span({"own": "text"})).replace(b"text", b"te\xff\xfe")) == 1
