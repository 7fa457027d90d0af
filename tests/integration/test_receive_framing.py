"""Doors that look at the frames of a request alone: quicker, and what is bad inside is found when rows are made."""

from __future__ import annotations

import contextlib
import http.client
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest

from collector_process import collecting, span_ids
from otlp_bodies import request, span
from receiving import JSON, PROTOBUF, Receiver, receiving, request as post
from spanledger_collector.dead import dead_dir, letters
from spanledger_collector.terms import Terms

SOUND = request(span({"own": "text"}))
UNREADABLE = SOUND.replace(b"text", b"te\xff\xfe")
EXPORT = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"


@pytest.fixture
def receiver(tmp_path: Path) -> Iterator[Receiver]:
    with receiving(tmp_path / "wal", terms=Terms(framing=True)) as open_receiver:
        yield open_receiver


def export(receiver: Receiver, body: bytes) -> bytes:
    with grpc.insecure_channel(f"127.0.0.1:{receiver.grpc_port}") as channel:
        send: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(EXPORT)
        return send(body, timeout=60)


def test_spans_are_taken_by_their_frames_through_both_doors(receiver: Receiver) -> None:
    reply = receiver.post(UNREADABLE, PROTOBUF)
    assert (reply.status, reply.body, export(receiver, SOUND)) == (200, b"", b"")
    assert receiver.payloads() == [UNREADABLE, SOUND]


def test_torn_frames_are_refused_through_both_doors(receiver: Receiver) -> None:
    assert receiver.post(SOUND[:-1], PROTOBUF).status == 400
    with pytest.raises(grpc.RpcError, match="not the frames of an ExportTraceServiceRequest"):
        export(receiver, SOUND[:-1])
    assert receiver.payloads() == []


def test_json_is_read_whole_in_any_case(receiver: Receiver) -> None:
    assert receiver.post(b'{"resourceSpans": [{"scopeSpans": 1}]}', JSON).status == 400


def test_what_is_bad_inside_goes_to_dead_and_holds_up_nothing(tmp_path: Path) -> None:
    with collecting(tmp_path, more=("--check", "framing")) as collector:
        for body in (UNREADABLE, request(span(number=1), span(span_id=b"short")), request(span(number=2))):
            with contextlib.closing(http.client.HTTPConnection("127.0.0.1", collector.http_port, timeout=60)) as door:
                assert post(door, body, PROTOBUF).status == 200
        collector.wait_for_commit()
        assert sorted(span_ids(collector.lake)) == [span(number=number).span_id.hex() for number in (1, 2)]
        reasons = sorted(letter.reason.partition(":")[0] for letter in letters(dead_dir(collector.home)))
    assert reasons == ["not an OTLP trace request", "trace or span id isn't 16 and 8 bytes with any bit set"]
