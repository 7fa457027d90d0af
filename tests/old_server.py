"""A server that resembles OpenAI's, but is older than `stream_options` and refuses what it does not know."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

_CHUNK = {
    "id": "chatcmpl-old",
    "object": "chat.completion.chunk",
    "created": 1,
    "model": "old",
    "choices": [{"index": 0, "delta": {"content": "Bonjour"}, "finish_reason": "stop"}],
}
_REFUSAL = {"error": {"message": "Extra inputs are not permitted: stream_options", "type": "invalid_request_error"}}


class OldServer:
    """The server, while it is entered; `requests` are the bodies it saw."""

    def __init__(self) -> None:
        self.requests: list[dict[str, Any]] = []
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                server.requests.append(body)
                if "stream_options" in body:
                    self._answer(422, "application/json", json.dumps(_REFUSAL))
                else:
                    self._answer(200, "text/event-stream", f"data: {json.dumps(_CHUNK)}\n\ndata: [DONE]\n\n")

            def _answer(self, status: int, kind: str, text: str) -> None:
                self.send_response(status)
                self.send_header("content-type", kind)
                self.send_header("content-length", str(len(text)))
                self.end_headers()
                self.wfile.write(text.encode())

            def log_message(self, format: str, *_words: object) -> None:
                """Stay silent."""

        self._server = HTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> OldServer:
        self._thread.start()
        return self

    def __exit__(self, *_exception: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
