"""The HTTP door: what is acknowledged is on disk, and every refusal says what kind it is."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import json
import socket
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from google.protobuf import json_format
from google.protobuf.message import Message
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest, ExportLogsServiceResponse
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTracePartialSuccess,
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, Span

from agent_bodies import logs, metric
from receiving import JSON, PROTOBUF, Receiver, logs_request, metrics_request, receiving, request, spans_request
from spanledger_collector.address import Address
from spanledger_collector.disk import Disk
from spanledger_collector.doors import open_doors
from spanledger_collector.errors import PortTakenError
from spanledger_collector.terms import Terms
from spanledger_collector.wal import Signal
from spanledger_collector.wal_writer import Limits
from waiting import wait_until

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

LIMIT = 100_000
BODY = spans_request(1, 2).SerializeToString()


@pytest.fixture
def receiver(tmp_path: Path) -> Iterator[Receiver]:
    with receiving(tmp_path / "wal", terms=Terms(body_bytes=LIMIT)) as open_receiver:
        yield open_receiver


@pytest.mark.parametrize(
    ("encoding", "encoded"),
    [
        ("", BODY),
        ("identity", BODY),
        ("gzip", gzip.compress(BODY)),
        ("deflate", zlib.compress(BODY)),
        ("zstd", zstd.compress(BODY)),
    ],
    ids=["no header", "identity", "gzip", "deflate", "zstd"],
)
def test_protobuf_is_logged_as_it_came(receiver: Receiver, encoding: str, encoded: bytes) -> None:
    headers = PROTOBUF | ({"Content-Encoding": encoding} if encoding else {})
    reply = receiver.post(encoded, headers)
    assert (reply.status, reply.headers["content-type"], reply.body) == (200, "application/x-protobuf", b"")
    assert receiver.payloads() == [BODY]


def test_unknown_fields_are_taken_and_kept(receiver: Receiver) -> None:
    unknown = BODY + b"\xfa\x01\x03new"  # field 31, three bytes
    assert receiver.post(unknown, PROTOBUF).status == 200
    assert receiver.payloads() == [unknown]


@pytest.mark.parametrize("body", [b"", ExportTraceServiceRequest(resource_spans=[ResourceSpans()]).SerializeToString()])
def test_a_request_without_spans_succeeds_and_leaves_nothing(receiver: Receiver, body: bytes) -> None:
    reply = receiver.post(body, PROTOBUF)
    assert (reply.status, reply.body, receiver.payloads()) == (200, b"", [])


def test_json_is_answered_in_json_and_logged_as_protobuf(receiver: Receiver) -> None:
    span = {"traceId": "74" * 16, "spanId": "00" * 7 + "01", "name": "chat", "kind": 3, "somethingNew": [1]}
    span |= {"startTimeUnixNano": "1700000000000000000", "endTimeUnixNano": 1700000001000000000}
    body = json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": [span]}]}]}).encode()
    reply = receiver.post(gzip.compress(body), {"Content-Type": "application/json; charset=utf-8"} | GZIP)
    assert (reply.status, reply.headers["content-type"], reply.body) == (200, "application/json", b"{}")
    expected = spans_request(1)
    expected.resource_spans[0].scope_spans[0].spans[0].kind = Span.SPAN_KIND_CLIENT
    assert [ExportTraceServiceRequest.FromString(payload) for payload in receiver.payloads()] == [expected]


GZIP = {"Content-Encoding": "gzip"}
ZSTD = {"Content-Encoding": "zstd"}
REFUSALS = {
    "not protobuf": (b"\xff\xff\xff", PROTOBUF, 400, 3),
    "truncated protobuf": (BODY[:-3], PROTOBUF, 400, 3),
    "text that is not UTF-8": (BODY.replace(b"chat", b"\xffhat"), PROTOBUF, 400, 3),
    "not JSON": (b"{", JSON, 400, 3),
    "JSON of another shape": (b'{"resourceSpans": 7}', JSON, 400, 3),
    "JSON that is not UTF-8": (b'"\xff"', JSON, 400, 3),
    "not gzip": (BODY, PROTOBUF | GZIP, 400, 3),
    "truncated gzip": (gzip.compress(BODY)[:-9], PROTOBUF | GZIP, 400, 3),
    "gzip with a tail": (gzip.compress(BODY) + b"tail", PROTOBUF | GZIP, 400, 3),
    "not zstd": (BODY, PROTOBUF | ZSTD, 400, 3),
    "truncated zstd": (zstd.compress(BODY)[:-3], PROTOBUF | ZSTD, 400, 3),
    "zstd with a tail": (zstd.compress(BODY) + b"tail", PROTOBUF | ZSTD, 400, 3),
    "zstd with a window of 2 GiB": (bytes.fromhex("28b52ffd00a8010000"), PROTOBUF | ZSTD, 400, 3),
    "unknown type": (BODY, {"Content-Type": "text/plain"}, 415, 3),
    "no type": (BODY, {}, 415, 3),
    "unknown encoding": (BODY, PROTOBUF | {"Content-Encoding": "br"}, 415, 3),
    "too large": (b"x" * (LIMIT + 1), PROTOBUF, 413, 3),
    "too large in JSON": (b" " * (LIMIT + 1), JSON, 413, 3),
    "bomb": (gzip.compress(bytes(100 * LIMIT)), PROTOBUF | GZIP, 413, 3),
    "bomb in zstd": (zstd.compress(bytes(100 * LIMIT)), PROTOBUF | ZSTD, 413, 3),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_refusals_are_a_status_in_the_requests_type(receiver: Receiver, name: str) -> None:
    body, headers, code, status = REFUSALS[name]
    reply = receiver.post(body, headers)
    in_protobuf = headers.get("Content-Type") == "application/x-protobuf"
    shown = Status.FromString(reply.body).code if in_protobuf else json.loads(reply.body)["code"]
    expected_type = "application/x-protobuf" if in_protobuf else "application/json"
    assert (reply.status, reply.headers["content-type"], shown) == (code, expected_type, status)
    assert receiver.payloads() == []


def test_the_limit_itself_is_still_taken(receiver: Receiver) -> None:
    padded = spans_request(1)
    padded.resource_spans[0].scope_spans[0].spans[0].trace_state = "x" * (LIMIT - 100)
    body = padded.SerializeToString()
    body += b"\xfa\x01" + (LIMIT - len(body) - 3).to_bytes(1, "big") + bytes(LIMIT - len(body) - 3)
    assert len(body) == LIMIT
    assert receiver.post(gzip.compress(body), PROTOBUF | GZIP).status == 200
    assert receiver.payloads() == [body]


def test_a_body_without_length_is_cut_at_the_limit_and_the_answer_arrives(receiver: Receiver) -> None:
    with contextlib.closing(receiver.connect()) as connection:
        connection.request("POST", "/v1/traces", (b"x" * 10_000 for _ in range(500)), PROTOBUF, encode_chunked=True)
        assert connection.getresponse().status == 413


def test_a_connection_goes_on_after_a_refusal(receiver: Receiver) -> None:
    with contextlib.closing(receiver.connect()) as connection:
        statuses = [request(connection, body, PROTOBUF).status for body in (b"\xff", b"x" * 500_000, BODY)]
    assert (statuses, receiver.payloads()) == ([400, 413, 200], [BODY])


@pytest.mark.parametrize(
    ("method", "path", "expected"),
    [
        ("GET", "/v1/traces", (405, "POST")),
        ("PUT", "/v1/traces", (405, "POST")),
        ("POST", "/healthz", (405, "GET, HEAD")),
        ("POST", "/v2/traces", (404, None)),
        ("GET", "/", (404, None)),
    ],
)
def test_wrong_paths_and_methods(receiver: Receiver, method: str, path: str, expected: tuple[int, str | None]) -> None:
    reply = receiver.post(BODY if method in ("POST", "PUT") else b"", PROTOBUF, path, method)
    assert (reply.status, reply.headers.get("allow")) == expected


OTHERS: dict[str, tuple[Signal, ExportLogsServiceRequest | ExportMetricsServiceRequest, type[Message], int]] = {
    "/v1/logs": ("logs", logs_request("one", "two"), ExportLogsServiceResponse, 2),
    "/v1/metrics": ("metrics", metrics_request(1, 2, 3), ExportMetricsServiceResponse, 3),
}


@pytest.mark.parametrize("path", OTHERS)
def test_logs_and_metrics_are_taken_in_protobuf_and_json(receiver: Receiver, path: str) -> None:
    signal, message, answer, items = OTHERS[path]
    body = message.SerializeToString()
    replies = [
        receiver.post(gzip.compress(body), PROTOBUF | GZIP, path),
        receiver.post(json_format.MessageToJson(message).encode(), JSON, path),
    ]
    assert [(reply.status, reply.body) for reply in replies] == [(200, answer().SerializeToString()), (200, b"{}")]
    assert receiver.records() == [(signal, body)] * 2
    assert receiver.intake.figures.values["accepted_total"] == {(signal,): 2 * items}


@pytest.mark.parametrize("path", OTHERS)
def test_logs_and_metrics_that_cannot_be_read_are_bad_data(receiver: Receiver, path: str) -> None:
    signal, message, _, _ = OTHERS[path]
    reply = receiver.post(message.SerializeToString()[:-3], PROTOBUF, path)
    assert (reply.status, Status.FromString(reply.body).code, receiver.records()) == (400, 3, [])
    assert f"Export{signal.title()}ServiceRequest" in Status.FromString(reply.body).message


@pytest.mark.parametrize("path", OTHERS)
def test_logs_and_metrics_without_anything_in_them_leave_nothing(receiver: Receiver, path: str) -> None:
    assert (receiver.post(b"", PROTOBUF, path).status, receiver.records()) == (200, [])


def test_profiles_are_refused_with_what_is_taken(receiver: Receiver) -> None:
    reply = receiver.post(BODY, PROTOBUF, "/v1development/profiles")
    said = "there is nothing at /v1development/profiles; what is taken goes to /v1/traces, /v1/logs, /v1/metrics"
    assert (reply.status, Status.FromString(reply.body)) == (404, Status(code=5, message=said))


def test_spans_with_bad_ids_are_left_out_after_the_good_ones_are_logged(receiver: Receiver) -> None:
    mixed = spans_request(0, 1, 2, 3, 4, 5)
    spans = mixed.resource_spans[0].scope_spans[0].spans
    spans[1].trace_id = bytes(16)
    spans[2].trace_id = b"short"
    spans[3].span_id = b"long" * 4
    spans[4].parent_span_id = b"odd"
    reply = receiver.post(mixed.SerializeToString(), PROTOBUF)
    message = "5 of 6 spans have no valid trace id (16 bytes), span id or parent id (8 bytes)"
    partial = ExportTracePartialSuccess(rejected_spans=5, error_message=message)
    assert reply.status == 200
    assert ExportTraceServiceResponse.FromString(reply.body) == ExportTraceServiceResponse(partial_success=partial)
    assert receiver.payloads() == [spans_request(5).SerializeToString()]


def test_ids_that_are_not_hex_are_left_out(receiver: Receiver) -> None:
    span = {"traceId": "zz" * 16, "spanId": "01" * 8, "name": "chat"}
    reply = receiver.post(json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": [span]}]}]}).encode(), JSON)
    message = "1 of 1 spans have no valid trace id (16 bytes), span id or parent id (8 bytes)"
    expected = {"partialSuccess": {"rejectedSpans": "1", "errorMessage": message}}
    assert (reply.status, json.loads(reply.body), receiver.payloads()) == (200, expected, [])


class NearlyFullDisk(Disk):
    """A disk whose free room is set by the test."""

    free = 0

    def free_bytes(self, folder: Path) -> int:
        return self.free


def test_no_room_is_503_until_there_is_some(tmp_path: Path) -> None:
    disk = NearlyFullDisk()
    with receiving(tmp_path, limits=Limits(segment_age_s=3600, free_bytes=1000), disk=disk) as receiver:
        refused = receiver.post(BODY, PROTOBUF)
        not_ready = receiver.post(b"", {}, "/readyz", "GET")
        disk.free = 1 << 40
        wait_until(lambda: receiver.post(b"", {}, "/readyz", "GET").status == 200, what="ready")
        taken = receiver.post(BODY, PROTOBUF)
    message = "0 bytes are free on the disk; 1000 are kept in reserve"
    assert (refused.status, refused.headers["retry-after"]) == (503, "1")
    assert Status.FromString(refused.body) == Status(code=14, message=message)
    assert (not_ready.status, not_ready.body) == (503, message.encode() + b"\n")
    assert taken.status == 200


@pytest.mark.parametrize(
    ("signal", "ordinary"),
    [("logs", logs("shop", "shop.web", {"http.route": "/"})), ("metrics", metric("http.requests", [(1.0, {})]))],
)
def test_what_the_ledger_has_no_use_for_is_taken_and_not_kept(
    receiver: Receiver, signal: Signal, ordinary: Message
) -> None:
    reply = receiver.post(ordinary.SerializeToString(), PROTOBUF, f"/v1/{signal}")
    assert (reply.status, receiver.records()) == (200, [])
    assert receiver.intake.figures.values == {"dropped_total": {(signal,): 1}}


def test_health(receiver: Receiver) -> None:
    health = receiver.post(b"", {}, "/healthz", "GET")
    head = receiver.post(b"", {}, "/healthz", "HEAD")
    assert (health.status, health.body, head.status, head.body) == (200, b"alive\n", 200, b"")


def test_a_client_that_leaves_half_way_leaves_nothing(receiver: Receiver) -> None:
    with socket.create_connection(("127.0.0.1", receiver.http_port)) as client:
        client.sendall(
            b"POST /v1/traces HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-protobuf\r\n"
            b"Content-Length: 9999\r\n\r\nhalf"
        )
    assert receiver.post(BODY, PROTOBUF).status == 200
    assert receiver.payloads() == [BODY]


def test_what_is_not_http_is_answered_and_closed(receiver: Receiver) -> None:
    with socket.create_connection(("127.0.0.1", receiver.http_port)) as client:
        client.sendall(b"\x16\x03\x01 this is TLS\r\n\r\n")
        assert client.recv(1000).startswith(b"HTTP/1.1 400")
    assert receiver.post(BODY, PROTOBUF).status == 200


async def _open(receiver: Receiver, flag: str) -> None:
    address = Address(
        grpc_port=receiver.grpc_port if flag == "--grpc-port" else 0,
        http_port=receiver.http_port if flag == "--http-port" else 0,
    )
    await open_doors(receiver.intake, address, receiver.folder.parent)


@pytest.mark.parametrize("flag", ["--grpc-port", "--http-port"])
def test_a_taken_port_names_the_flag(receiver: Receiver, flag: str) -> None:

    with pytest.raises(PortTakenError, match=f"is taken; stop the other program or choose another with {flag}"):
        asyncio.run(_open(receiver, flag))
