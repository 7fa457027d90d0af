"""Clients that take their time, or more connections than there are: each wait has an end, and others are served."""

from __future__ import annotations

import contextlib
import http.client
import queue
import socket
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest

from certificates import authority, signed
from receiving import PROTOBUF, Receiver, receiving, spans_request
from spanledger_collector.auth import Access
from spanledger_collector.terms import Terms
from waiting import wait_until

BODY = spans_request(1).SerializeToString()
EXPORT = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"


def head(length: int, *more: bytes) -> bytes:
    lines = [b"POST /v1/traces HTTP/1.1", b"Host: x", b"Content-Type: application/x-protobuf"]
    return b"\r\n".join([*lines, b"Content-Length: %d" % length, *more, b"", b""])


@contextlib.contextmanager
def connected(port: int) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", port), timeout=60) as client:
        yield client


def all_from(client: socket.socket) -> bytes:
    """Return everything until the server hangs up."""
    received = bytearray()
    with contextlib.suppress(ConnectionResetError):
        while part := client.recv(65536):
            received += part
    return bytes(received)


def drip(client: socket.socket, data: bytes) -> None:
    """Send the same again and again, a bit at a time, until the server hangs up."""
    client.settimeout(0.02)
    for _ in range(1000):
        try:
            client.sendall(data)
            if client.recv(65536) == b"":
                return
        except TimeoutError:
            continue
        except (ConnectionResetError, BrokenPipeError):
            return
    raise AssertionError("the server still listens")


def others_are_served(receiver: Receiver) -> None:
    """See that a request is taken; here too, the server hangs up on who stops for longer than it waits."""

    def taken() -> bool:
        with contextlib.suppress(ConnectionError, http.client.HTTPException):
            return receiver.post(BODY, PROTOBUF).status == 200
        return False

    wait_until(taken, timeout_s=60, what="a request to be taken")


@pytest.fixture
def terms() -> Terms:
    """What the doors ask; tests shorten the one wait that they are about."""
    return Terms()


@pytest.fixture
def receiver(tmp_path: Path, terms: Terms) -> Iterator[Receiver]:
    with receiving(tmp_path / "wal", terms=terms) as open_receiver:
        yield open_receiver


def waiting(terms: Terms) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("terms", [terms], ids=["hurried"])


@waiting(Terms(head_s=0.3))
@pytest.mark.parametrize("said", [b"", b"POST /v1/traces HTTP/1.1\r\nHost"])
def test_a_head_that_does_not_come_ends_the_connection(receiver: Receiver, said: bytes) -> None:
    with connected(receiver.http_port) as client:
        client.sendall(said)
        assert all_from(client) == b""
    others_are_served(receiver)


@waiting(Terms(head_s=0.3))
@pytest.mark.parametrize(
    ("said", "more"), [(b"", b"\r\n"), (b"POST /v1/traces HTTP/1.1\r\n", b"a: b\r\n"), (b"POST /", b"x")]
)
def test_a_head_that_comes_bit_by_bit_ends_the_connection(receiver: Receiver, said: bytes, more: bytes) -> None:
    with connected(receiver.http_port) as client:
        client.sendall(said)
        drip(client, more)
    others_are_served(receiver)


@pytest.mark.parametrize("more", [b"a: b\r\n", b"x"])
def test_a_head_without_end_is_refused(tmp_path: Path, more: bytes) -> None:
    with receiving(tmp_path / "wal") as receiver, connected(receiver.http_port) as client:
        client.sendall(b"POST /v1/traces HTTP/1.1\r\nlong: ")
        with contextlib.suppress(ConnectionResetError, BrokenPipeError):
            for _ in range(2000):
                client.sendall(more * 200)
        assert all_from(client).startswith((b"HTTP/1.1 400", b""))


@waiting(Terms(body_s=0.3))
def test_a_body_that_does_not_come_is_a_passing_refusal(receiver: Receiver) -> None:
    with connected(receiver.http_port) as client:
        client.sendall(head(1000) + BODY)
        answer = http.client.HTTPResponse(client)
        answer.begin()
        said = answer.read()
    assert (answer.status, answer.headers["retry-after"]) == (503, "1")
    assert b"the request did not arrive within 0.3 seconds" in said


@waiting(Terms(answer_s=0.3))
def test_the_rest_of_a_refused_body_goes_by_for_a_while_only(receiver: Receiver) -> None:
    with connected(receiver.http_port) as client:
        client.sendall(head(1 << 30))
        assert client.recv(65536).startswith(b"HTTP/1.1 413")
        drip(client, b"x" * 100)


@waiting(Terms(idle_s=0.3))
def test_a_connection_at_rest_is_closed(receiver: Receiver) -> None:
    with connected(receiver.http_port) as client:
        client.sendall(head(len(BODY)) + BODY)
        assert all_from(client).startswith(b"HTTP/1.1 200")


def test_a_client_that_has_said_all_and_hung_up_half_way_gets_its_answer(receiver: Receiver) -> None:
    with connected(receiver.http_port) as client:
        client.sendall(head(len(BODY)) + BODY)
        client.shutdown(socket.SHUT_WR)
        assert all_from(client).startswith(b"HTTP/1.1 200")
    assert receiver.payloads() == [BODY]


def test_a_client_that_hung_up_half_way_through_a_body_is_let_go(tmp_path: Path) -> None:
    with receiving(tmp_path / "wal") as receiver, connected(receiver.http_port) as client:
        client.sendall(head(1000) + BODY)
        client.shutdown(socket.SHUT_WR)
        assert (all_from(client), receiver.payloads()) == (b"", [])


@waiting(Terms(body_s=0.3, answer_s=0.3))  # together for both, as who answers doesn't know what takes so long
@pytest.mark.parametrize("at_once", [10, 10_000])
def test_a_client_that_asks_and_never_listens_is_let_go(receiver: Receiver, at_once: int) -> None:
    with connected(receiver.http_port) as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)

        def let_go() -> bool:
            try:
                client.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n" * at_once)
            except (ConnectionResetError, BrokenPipeError):
                return True
            return False

        wait_until(let_go, timeout_s=60, what="the end of its patience")
    others_are_served(receiver)


@waiting(Terms(idle_s=0.3))
def test_requests_one_behind_the_other_without_waiting_are_all_answered(receiver: Receiver) -> None:
    with connected(receiver.http_port) as client:
        client.sendall((head(len(BODY)) + BODY) * 20)
        assert all_from(client).count(b"HTTP/1.1 200") == 20
    assert receiver.payloads() == [BODY] * 20


def test_idle_connections_make_room_for_those_who_send(tmp_path: Path) -> None:
    with contextlib.ExitStack() as stack:
        receiver = stack.enter_context(receiving(tmp_path / "wal", terms=Terms(connections=50)))
        idle = [stack.enter_context(connected(receiver.http_port)) for _ in range(500)]
        assert receiver.post(BODY, PROTOBUF).status == 200
        assert all_from(idle[0]) == b""


def test_when_every_connection_is_busy_a_new_one_is_told_to_come_again(tmp_path: Path) -> None:
    with contextlib.ExitStack() as stack:
        receiver = stack.enter_context(receiving(tmp_path / "wal", terms=Terms(connections=5)))
        for _ in range(5):
            busy = stack.enter_context(connected(receiver.http_port))
            busy.sendall(head(1000, b"Expect: 100-continue"))
            assert busy.recv(65536) == b"HTTP/1.1 100 Continue\r\n\r\n"
        one_more = stack.enter_context(connected(receiver.http_port))
        assert all_from(one_more).startswith(b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\n")


def test_a_handshake_of_tls_that_does_not_come_ends_the_connection(tmp_path: Path) -> None:
    ca = authority(tmp_path, "ca")
    server = signed(tmp_path, "server", ca)
    terms = Terms(head_s=0.3, access=Access(tls_cert=server.cert, tls_key=server.key))
    with receiving(tmp_path / "wal", terms=terms) as receiver:
        for port in (receiver.http_port, receiver.grpc_port):
            with connected(port) as client:
                assert all_from(client) == b""


@waiting(Terms(head_s=0.3))
def test_grpc_ends_a_connection_that_says_nothing(receiver: Receiver) -> None:
    with connected(receiver.grpc_port) as client:
        all_from(client)  # its own settings
    assert call(receiver, BODY) == b""


@waiting(Terms(idle_s=0.3))
def test_grpc_ends_a_connection_at_rest(receiver: Receiver) -> None:
    with grpc.insecure_channel(f"127.0.0.1:{receiver.grpc_port}") as channel:
        states: queue.Queue[grpc.ChannelConnectivity] = queue.Queue()
        export: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(EXPORT)
        export(BODY, timeout=60, wait_for_ready=True)
        channel.subscribe(states.put)
        while states.get(timeout=60) is not grpc.ChannelConnectivity.IDLE:
            pass


@waiting(Terms(body_s=0.3))
def test_a_grpc_request_that_does_not_come_is_a_passing_refusal(receiver: Receiver) -> None:
    ended: queue.Queue[bytes] = queue.Queue()
    with grpc.insecure_channel(f"127.0.0.1:{receiver.grpc_port}") as channel:
        export: grpc.StreamUnaryMultiCallable[bytes, bytes] = channel.stream_unary(EXPORT)
        with pytest.raises(grpc.RpcError) as caught:
            export(iter(ended.get, b""), timeout=60)
        ended.put(b"")
    assert isinstance(caught.value, grpc.Call)
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
    assert caught.value.details() == "the request did not arrive within 0.3 seconds"


def test_grpc_connections_have_a_bound_and_come_again(tmp_path: Path) -> None:
    with contextlib.ExitStack() as stack:
        terms = Terms(connections=5, head_s=0.3)
        receiver = stack.enter_context(receiving(tmp_path / "wal", terms=terms))
        for _ in range(50):
            stack.enter_context(connected(receiver.grpc_port))
        assert call(receiver, BODY) == b""


def call(receiver: Receiver, body: bytes) -> bytes:
    """Send one request, waiting until there is room for the connection."""
    with grpc.insecure_channel(f"127.0.0.1:{receiver.grpc_port}") as channel:
        export: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(EXPORT)
        return export(body, timeout=60, wait_for_ready=True)
