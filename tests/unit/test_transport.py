"""Bringing bodies to a collector over a connection that is kept, whatever becomes of it in between."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from spanledger import transport
from spanledger.transport import AwayError, RefusedError, Target, Transport, connect


class Keeping:
    """A collector that keeps connections open; `closes` has it drop them after an answer without a word."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        self.connections: set[object] = set()
        self.closes = False
        self.status = 200
        told = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                told.connections.add(self.client_address)
                body = self.rfile.read(int(self.headers["content-length"]))
                if told.status == 200:
                    told.bodies.append(body)
                self.send_response(told.status)
                self.send_header("content-length", "0")
                self.end_headers()
                self.close_connection = told.closes

            def log_message(self, format: str, *_words: object) -> None:
                """Stay silent."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})
        self.target = Target(f"http://127.0.0.1:{self._server.server_address[1]}/v1/traces", "http/protobuf")

    def __enter__(self) -> Keeping:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.fixture
def collector() -> Iterator[Keeping]:
    with Keeping() as collector:
        yield collector


@pytest.fixture
def way(collector: Keeping) -> Iterator[Transport]:
    way = connect(collector.target)
    yield way
    way.close()


def test_batches_that_follow_each_other_share_a_connection(collector: Keeping, way: Transport) -> None:
    for body in (b"first", b"second", b"third"):
        way.send(body, 5)
    assert (collector.bodies, len(collector.connections)) == ([b"first", b"second", b"third"], 1)


def test_a_connection_that_the_collector_closed_costs_no_batch(collector: Keeping, way: Transport) -> None:
    collector.closes = True
    for body in (b"first", b"second", b"third"):
        way.send(body, 5)
    assert (collector.bodies, len(collector.connections)) == ([b"first", b"second", b"third"], 3)


def test_an_idle_connection_is_made_anew(collector: Keeping, way: Transport, monkeypatch: pytest.MonkeyPatch) -> None:
    way.send(b"first", 5)
    monkeypatch.setattr(transport, "_KEPT_S", -1.0)
    way.send(b"second", 5)
    assert (collector.bodies, len(collector.connections)) == ([b"first", b"second"], 2)


@pytest.mark.parametrize(
    ("status", "kind"), [(503, AwayError), (401, AwayError), (302, AwayError), (400, RefusedError)]
)
def test_what_is_not_taken_is_told_and_the_connection_goes_on(
    collector: Keeping, way: Transport, status: int, kind: type[Exception]
) -> None:
    collector.status = status
    with pytest.raises(kind, match=f"answers {status}"):
        way.send(b"first", 5)
    collector.status = 200
    way.send(b"second", 5)
    assert (collector.bodies, len(collector.connections)) == ([b"second"], 1)


def test_a_collector_that_is_gone_is_away() -> None:
    with Keeping() as collector:
        way = connect(collector.target)
        way.send(b"first", 5)
        collector.closes = True
        way.send(b"second", 5)
    with pytest.raises(AwayError):
        way.send(b"third", 5)
    way.close()


def test_without_the_library_for_grpc_the_collector_is_away_and_the_message_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "grpc", None)
    to_collector = connect(Target("http://127.0.0.1:4317", "grpc"))

    with pytest.raises(AwayError, match=r"pip install 'spanledger\[grpc\]'"):
        to_collector.send(b"", 1.0)


@pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])
def test_a_certificate_that_is_not_there_keeps_the_spans_rather_than_losing_them(tmp_path: Path, protocol: str) -> None:
    missing = tmp_path / "ca.pem"
    to_collector = connect(Target("https://127.0.0.1:4318/v1/traces", protocol, certificate=str(missing)))

    with pytest.raises(AwayError, match=r"ca\.pem"):
        to_collector.send(b"", 1.0)
