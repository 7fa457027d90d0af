"""An HTTP server that keeps every byte it gets, so that a test can say what did not leave."""

from __future__ import annotations

import json
import socketserver
import threading

BODY = json.dumps(
    {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1_790_000_000,
        "model": "gpt-4o",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "Yes."}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 12, "completion_tokens": 4, "total_tokens": 16},
    }
).encode()


class RawServer:
    """Answers every request with a chat completion, or with a redirect where the path is /away?ADDRESS."""

    def __init__(self) -> None:
        self.received = bytearray()
        outer = self

        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                while head := self._head():
                    outer.received += head
                    length = next(
                        (int(line[15:]) for line in head.splitlines() if line.lower().startswith(b"content-length:")), 0
                    )
                    outer.received += self.rfile.read(length)
                    self.wfile.write(_answer(head))

            def _head(self) -> bytes:
                lines: list[bytes] = []
                while (line := self.rfile.readline()).strip():
                    lines.append(line)
                return b"".join([*lines, b"\r\n"]) if lines else b""

        class Server(socketserver.ThreadingTCPServer):
            daemon_threads = True
            block_on_close = False

        self._server = Server(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})

    @property
    def port(self) -> int:
        return self._server.server_address[1]

    def __enter__(self) -> RawServer:
        self._thread.start()
        return self

    def __exit__(self, *_exception: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def baggage(self) -> list[str]:
        """Every baggage header so far."""
        lines = bytes(self.received).decode("latin-1").splitlines()
        return [line.partition(":")[2].strip() for line in lines if line.lower().startswith("baggage:")]


def _answer(head: bytes) -> bytes:
    path = head.split(b" ", 2)[1]
    if path.startswith(b"/away?"):
        return b"HTTP/1.1 307 Away\r\nlocation: " + path[6:] + b"\r\ncontent-length: 0\r\n\r\n"
    return b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (len(BODY), BODY)
