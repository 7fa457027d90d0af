"""The gRPC door: the same promises as HTTP's, in gRPC's codes."""

from __future__ import annotations

import asyncio
import resource
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTracePartialSuccess,
    ExportTraceServiceResponse,
)

from receiving import Receiver, logs_request, metrics_request, receiving, spans_request
from spanledger_collector.terms import Terms
from spanledger_collector.wal import Signal
from spanledger_collector.wal_writer import Limits

LIMIT = 100_000
BODY = spans_request(1, 2).SerializeToString()
PACKAGE = "/opentelemetry.proto.collector"
EXPORT = f"{PACKAGE}.trace.v1.TraceService/Export"
COMPRESSIONS = [grpc.Compression.NoCompression, grpc.Compression.Gzip, grpc.Compression.Deflate]


@pytest.fixture
def receiver(tmp_path: Path) -> Iterator[Receiver]:
    with receiving(tmp_path / "wal", terms=Terms(body_bytes=LIMIT)) as open_receiver:
        yield open_receiver


def call(
    receiver: Receiver,
    body: bytes,
    method: str = EXPORT,
    compression: grpc.Compression = grpc.Compression.NoCompression,
) -> bytes:
    with grpc.insecure_channel(f"127.0.0.1:{receiver.grpc_port}") as channel:
        export: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(method)
        return export(body, timeout=60, compression=compression)


def refusal(receiver: Receiver, body: bytes, method: str = EXPORT) -> tuple[grpc.StatusCode, str, Status | None]:
    with pytest.raises(grpc.RpcError) as caught:
        call(receiver, body, method)
    error = caught.value
    assert isinstance(error, grpc.Call)
    trailers = {item.key: item.value for item in error.trailing_metadata() or ()}
    details = trailers.get("grpc-status-details-bin")
    return error.code(), error.details() or "", Status.FromString(details) if isinstance(details, bytes) else None


@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_a_request_is_logged_as_it_came(receiver: Receiver, compression: grpc.Compression) -> None:
    assert call(receiver, BODY, compression=compression) == b""
    assert receiver.payloads() == [BODY]


def test_an_empty_request_succeeds_and_leaves_nothing(receiver: Receiver) -> None:
    assert (call(receiver, b""), receiver.payloads()) == (b"", [])


def test_bad_data_is_invalid_argument(receiver: Receiver) -> None:
    code, details, status = refusal(receiver, BODY[:-3])
    assert (code, status) == (grpc.StatusCode.INVALID_ARGUMENT, Status(code=3, message=details))
    assert receiver.payloads() == []


@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_a_request_over_the_limit_is_resource_exhausted_also_after_decompression(
    receiver: Receiver, compression: grpc.Compression
) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        call(receiver, bytes(LIMIT + 1), compression=compression)
    assert isinstance(caught.value, grpc.Call)
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert call(receiver, BODY) == b""


BOMB = """
import sys, grpc
with grpc.insecure_channel(sys.argv[1], [("grpc.max_send_message_length", -1)]) as channel:
    try:
        channel.unary_unary(sys.argv[2])(bytes(256 << 20), timeout=300, compression=grpc.Compression.Gzip)
    except grpc.RpcError as error:
        print(error.code().name)
"""


def test_a_bomb_takes_no_memory(receiver: Receiver) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    argv = [sys.executable, "-c", BOMB, f"127.0.0.1:{receiver.grpc_port}", EXPORT]
    said = subprocess.run(argv, capture_output=True, text=True, check=True).stdout
    grown_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert (said, grown_kib < 100 << 10) == ("RESOURCE_EXHAUSTED\n", True)


def test_no_room_is_unavailable_with_the_time_to_wait(tmp_path: Path) -> None:
    with receiving(tmp_path, limits=Limits(backlog_bytes=10)) as receiver:
        code, details, status = refusal(receiver, BODY)
    assert (code, details) == (grpc.StatusCode.UNAVAILABLE, "0 bytes wait to become rows, more than the limit of 10")
    assert status is not None
    retry = RetryInfo()
    assert status.details[0].Unpack(retry)
    assert (status.code, retry) == (14, RetryInfo(retry_delay=Duration(seconds=1)))


def test_spans_with_bad_ids_are_left_out(receiver: Receiver) -> None:
    answer = ExportTraceServiceResponse.FromString(call(receiver, spans_request(0, 7).SerializeToString()))
    message = "1 of 2 spans have no valid trace id (16 bytes), span id or parent id (8 bytes)"
    partial = ExportTracePartialSuccess(rejected_spans=1, error_message=message)
    assert answer == ExportTraceServiceResponse(partial_success=partial)
    assert receiver.payloads() == [spans_request(7).SerializeToString()]


OTHERS: list[tuple[Signal, bytes]] = [
    ("logs", logs_request("one").SerializeToString()),
    ("metrics", metrics_request(1).SerializeToString()),
]


@pytest.mark.parametrize(("signal", "body"), OTHERS)
@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_logs_and_metrics_are_taken(
    receiver: Receiver, signal: Signal, body: bytes, compression: grpc.Compression
) -> None:
    method = f"{PACKAGE}.{signal}.v1.{signal.title()}Service/Export"
    assert call(receiver, body, method, compression) == b""
    assert receiver.records() == [(signal, body)]
    assert refusal(receiver, body[:-1], method)[0] is grpc.StatusCode.INVALID_ARGUMENT


def test_a_call_without_a_message_is_bad_data(receiver: Receiver) -> None:
    with grpc.insecure_channel(f"127.0.0.1:{receiver.grpc_port}") as channel:
        export: grpc.StreamUnaryMultiCallable[bytes, bytes] = channel.stream_unary(EXPORT)
        with pytest.raises(grpc.RpcError) as caught:
            export(iter(()), timeout=60)
    assert isinstance(caught.value, grpc.Call)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT


def test_an_unknown_method_is_unimplemented(receiver: Receiver) -> None:
    assert refusal(receiver, BODY, "/some.Service/Method")[0] is grpc.StatusCode.UNIMPLEMENTED


def test_requests_at_once_on_one_connection_are_all_logged(receiver: Receiver) -> None:
    bodies = [spans_request(number).SerializeToString() for number in range(1, 201)]

    async def send_all() -> None:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{receiver.grpc_port}") as channel:
            export: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(EXPORT)
            await asyncio.gather(*(export(body, timeout=60) for body in bodies))

    asyncio.run(send_all())
    assert sorted(receiver.payloads()) == sorted(bodies)
