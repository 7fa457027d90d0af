"""A server of fixed answers, for what the local provider does not play: files, polls, endpoints of other clouds."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple


class Status(NamedTuple):
    """An error in place of a body."""

    code: int


class CannedServer:
    """The server, while it is entered; what a path has several answers for is given in turn, the last one for good."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, str, Any]] = []
        """Method, path with query, and JSON body of each request."""
        self._answers: dict[tuple[str, str], list[tuple[int, tuple[bytes, str]]]] = {}
        self._encodings: dict[tuple[str, str], str] = {}
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self._serve("GET")

            def do_POST(self) -> None:
                self._serve("POST")

            def _serve(self, method: str) -> None:
                raw = self.rfile.read(int(self.headers.get("content-length", "0")))
                is_json = "json" in self.headers.get("content-type", "")
                server.seen.append((method, self.path, json.loads(raw) if is_json and raw else None))
                status, (body, kind) = server._answer(method, self.path.partition("?")[0])
                self.send_response(status)
                self.send_header("content-type", kind)
                if encoding := server._encodings.get((method, self.path.partition("?")[0])):
                    self.send_header("content-encoding", encoding)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *_words: object) -> None:
                """Stay silent."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def on(self, method: str, path: str, *bodies: object, kind: str = "application/json", encoding: str = "") -> None:
        """Answer with JSON, with text, or with bytes as they are, which may be encoded."""
        self._answers[method, path] = [
            (body.code, (_REFUSED, "application/json")) if isinstance(body, Status) else (200, (_encoded(body), kind))
            for body in bodies
        ]
        self._encodings[method, path] = encoding

    def _answer(self, method: str, path: str) -> tuple[int, tuple[bytes, str]]:
        answers = self._answers.get((method, path))
        if answers is None:
            return 404, (json.dumps({"error": {"message": f"nothing at {path}"}}).encode(), "application/json")
        return answers.pop(0) if len(answers) > 1 else answers[0]

    def __enter__(self) -> CannedServer:
        self._thread.start()
        return self

    def __exit__(self, *_exception: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


_REFUSED = b'{"error": {"message": "refused"}}'


def _encoded(body: object) -> bytes:
    return body if isinstance(body, bytes) else (body if isinstance(body, str) else json.dumps(body)).encode()


def events(*events: dict[str, Any]) -> str:
    """Write server-sent events."""
    return "".join(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n" for event in events)


def lines(*records: dict[str, Any]) -> str:
    """Write JSON lines."""
    return "".join(f"{json.dumps(record)}\n" for record in records)
