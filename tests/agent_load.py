"""A client that sends traces of agents as fast as it is answered, or at a rate, and costs next to nothing itself.

It is a program of its own, so that what it takes is not the collector's. What it has to tell is a line of JSON:

    python tests/agent_load.py --port 4318 --seconds 10 [--rate 20000] [--connections 8] [--fingerprints]
"""

from __future__ import annotations

import argparse
import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Final

import numpy as np

from agent_traces import Body, make_bodies

_WAIT_S: Final = 0.02
"""Before a request that was refused is sent again."""


@dataclass(slots=True)
class Told:
    """What a client has to tell at its end."""

    spans: int = 0
    """Acknowledged."""
    requests: int = 0
    bytes: int = 0
    """Of the acknowledged bodies."""
    refused: dict[str, int] = field(default_factory=dict)
    """Answers other than success, by code; each was sent again."""
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    """Of the client itself, without making the bodies."""
    acknowledged_at: list[tuple[float, int]] = field(default_factory=list)
    """When each request was acknowledged, seconds since 1970, and its spans."""
    waited_ms: list[float] = field(default_factory=list)
    """How long each request waited for its acknowledgement."""


class Client:
    """Sends over several connections that are kept."""

    def __init__(self, port: int, bodies: Sequence[Body], headers: Mapping[str, str] | None = None) -> None:
        self._port = port
        self._bodies = bodies
        lines = {"Host": f"localhost:{port}", "Content-Type": "application/x-protobuf", **(headers or {})}
        self._head = "POST /v1/traces HTTP/1.1\r\n" + "".join(f"{name}: {value}\r\n" for name, value in lines.items())
        self._lock = threading.Lock()
        self._sent = 0
        self._start = 0.0
        self.told = Told()

    def send(self, connections: int, seconds: float, spans: int, rate: float) -> Told:
        """Send until one of the two is reached; a `rate` of 0 spans a second is as fast as it is answered."""
        threads = [
            threading.Thread(target=self._run, args=(number, seconds, spans, rate)) for number in range(connections)
        ]
        self._start, cpu = time.monotonic(), time.process_time()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.told.seconds = time.monotonic() - self._start
        self.told.cpu_seconds = time.process_time() - cpu
        return self.told

    def _run(self, number: int, seconds: float, spans: int, rate: float) -> None:
        chance = np.random.default_rng()  # ids are never those of another client
        connection = _Connection(self._port)
        while (turn := self._turn(seconds, spans, rate)) is not None:
            body = self._bodies[turn % len(self._bodies)]
            with self._lock:  # a body is one buffer, whose ids are overwritten
                data = body.renewed(chance, time.time_ns() - 10_000_000_000)
            head = f"{self._head}Content-Length: {len(data)}\r\n\r\n".encode()
            start = time.monotonic()
            while (status := connection.ask(head + data)) != 200:
                with self._lock:
                    self.told.refused[str(status)] = self.told.refused.get(str(status), 0) + 1
                time.sleep(_WAIT_S)
            with self._lock:
                self.told.spans += body.spans
                self.told.requests += 1
                self.told.bytes += len(data)
                self.told.acknowledged_at.append((time.time(), body.spans))
                self.told.waited_ms.append(round((time.monotonic() - start) * 1000, 3))
        connection.close()

    def _turn(self, seconds: float, spans: int, rate: float) -> int | None:
        """Return the number of the next request once it is due; None when no more are wanted."""
        per_request = self._bodies[0].spans
        with self._lock:
            turn = self._sent
            self._sent += 1
        if spans and turn * per_request >= spans:
            return None
        due = self._start + (turn * per_request / rate if rate else 0.0)
        if seconds and max(due, time.monotonic()) - self._start >= seconds:
            return None
        time.sleep(max(0.0, due - time.monotonic()))
        return turn


class _Connection:
    """One connection that is kept, and made anew when the other side is gone."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._socket: socket.socket | None = None

    def ask(self, request: bytes) -> int:
        """Send one request and return the status of the answer; 0 without one."""
        try:
            if self._socket is None:
                self._socket = socket.create_connection(("127.0.0.1", self._port), timeout=120)
                self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._socket.sendall(request)
            return self._answer(self._socket)
        except OSError:
            self.close()
            return 0

    def close(self) -> None:
        """Let the connection go."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _answer(self, connection: socket.socket) -> int:
        data = b""
        while b"\r\n\r\n" not in data:
            data += _received(connection)
        head, _, body = data.partition(b"\r\n\r\n")
        fields = dict(line.lower().split(b":", 1) for line in head.split(b"\r\n")[1:])
        missing = int(fields.get(b"content-length", b"0")) - len(body)
        while missing > 0:
            missing -= len(_received(connection))
        return int(head.split(b" ", 2)[1])


def _received(connection: socket.socket) -> bytes:
    data = connection.recv(65_536)
    if not data:
        raise ConnectionResetError
    return data


def start_client(port: int, *flags: str) -> subprocess.Popen[str]:
    """Start the program; `told_by` waits for its end."""
    argv = [sys.executable, str(Path(__file__)), "--port", str(port), *flags]
    return subprocess.Popen(argv, stdout=subprocess.PIPE, text=True)


def told_by(client: subprocess.Popen[str]) -> Told:
    """Return what the program tells at its end."""
    said, _ = client.communicate()
    if client.returncode:
        raise RuntimeError(f"the client ended with exit code {client.returncode}")
    return Told(**json.loads(said))


def main() -> None:
    """Send, and tell."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, required=True, help="of the HTTP door")
    parser.add_argument("--seconds", type=float, default=0, help="how long; 0 for as many as --spans")
    parser.add_argument("--spans", type=int, default=0, help="how many, rounded up to whole requests")
    parser.add_argument("--rate", type=float, default=0, help="spans a second; 0 as fast as they are acknowledged")
    parser.add_argument("--connections", type=int, default=8)
    parser.add_argument("--bodies", type=int, default=100, help="different requests")
    parser.add_argument("--traces", type=int, default=63, help="of 8 spans, in a request")
    parser.add_argument("--fingerprints", action="store_true", help="twelve attributes more on each chat")
    parser.add_argument("--header", action="append", default=[], metavar="NAME: VALUE")
    options = parser.parse_args()
    bodies = make_bodies(options.bodies, options.traces, fingerprints=options.fingerprints)
    headers = dict(header.split(": ", 1) for header in options.header)
    client = Client(options.port, bodies, headers)
    told = client.send(options.connections, options.seconds, options.spans, options.rate)
    print(json.dumps(asdict(told)))


if __name__ == "__main__":
    main()
