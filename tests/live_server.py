"""A websocket server that plays OpenAI's live connections: fixed events in answer to each event of the client."""

from __future__ import annotations

import json
import threading
from typing import Any

from websockets.exceptions import ConnectionClosed
from websockets.sync.server import ServerConnection, serve

CLOSE = object()
"""In a script: close the connection with an error."""


class LiveServer:
    """The server, while it is entered."""

    def __init__(self, *, greeting: list[Any], script: dict[str, list[Any]]) -> None:
        """Prepare the server.

        Args:
            greeting: events that every connection starts with.
            script: type of a client's event to the events that answer it.
        """
        self.paths: list[str] = []
        self.received: list[dict[str, Any]] = []
        self._greeting = greeting
        self._script = script
        self._server = serve(self._talk, "127.0.0.1", 0)
        self._thread = threading.Thread(target=self._server.serve_forever)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.socket.getsockname()[1]}/v1"

    def _talk(self, connection: ServerConnection) -> None:
        self.paths.append(connection.request.path if connection.request else "")
        try:
            self._send(connection, self._greeting)
            for message in connection:
                event = json.loads(message)
                self.received.append(event)
                self._send(connection, self._script.get(event["type"], []))
        except ConnectionClosed:
            return

    @staticmethod
    def _send(connection: ServerConnection, events: list[Any]) -> None:
        for event in events:
            if event is CLOSE:
                connection.close(1011, "told to")
                return
            connection.send(json.dumps(event))

    def __enter__(self) -> LiveServer:
        self._thread.start()
        return self

    def __exit__(self, *_exception: object) -> None:
        self._server.shutdown()
        self._thread.join()
