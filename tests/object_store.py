"""A store that speaks S3, on loopback: moto's, in a process of its own, with the faults that a test asks for.

moto looks whether an object is there and then puts it, in as many threads as there are requests; a store does both at
once, so here requests wait for each other.
"""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any
from xmlrpc.client import ServerProxy
from xmlrpc.server import SimpleXMLRPCServer

import boto3

from ports import own_port

BUCKET = "lakes"
ADDRESS = "s3://lakes/one/lake"


class Served:
    """The store in its process; what tests may call is without an underscore."""

    def __init__(self) -> None:
        from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app

        self._moto = DomainDispatcherApplication(create_backend_app)
        self._one = threading.Lock()
        self._port = 0
        self._asked: list[list[str]] = []
        self._lost: list[str] = []
        self._server: Any = None

    def come(self, port: int = 0) -> bool:
        """Listen, on the same port as before where none is named."""
        from werkzeug.serving import WSGIRequestHandler, make_server

        class Quiet(WSGIRequestHandler):
            def log(self, type: str, message: str, *args: Any) -> None:
                pass

        self._port = port or self._port
        self._server = make_server("127.0.0.1", self._port, self._answer, threaded=True, request_handler=Quiet)
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return True

    def go(self) -> bool:
        """Refuse connections; what is kept stays."""
        self._server.shutdown()
        self._server.server_close()
        return True

    def lose(self, method: str, part: str) -> bool:
        """Lose the next answer to a request whose path has a part: it is done, and the connection is cut."""
        self._lost = [method, part]
        return True

    def waits_to_lose(self) -> bool:
        """Say whether that request is still to come."""
        return bool(self._lost)

    def asked(self) -> list[list[str]]:
        """Return method, path and range of the requests since the last time."""
        with self._one:
            asked, self._asked = self._asked, []
        return asked

    def _answer(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        method, path = environ["REQUEST_METHOD"], environ["PATH_INFO"]
        with self._one:
            self._asked.append([method, path, environ.get("HTTP_RANGE", "")])
            answered: Iterable[bytes] = self._moto(environ, start_response)
            if self._lost and method == self._lost[0] and self._lost[1] in path:
                self._lost = []
                environ["werkzeug.socket"].shutdown(socket.SHUT_RDWR)
            return list(answered)


class ObjectStore:
    """A running store, as tests see it."""

    def __init__(self, served: Any) -> None:
        self.served = served
        """A `Served`, by way of XML-RPC."""
        self.port = own_port()
        """No other program is given it while the store is away."""
        served.come(self.port)

    @property
    def environment(self) -> dict[str, str]:
        """What a process needs to reach it."""
        return {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{self.port}",
            "AWS_ACCESS_KEY_ID": "somebody",
            "AWS_SECRET_ACCESS_KEY": "on loopback",
            "AWS_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def client(self) -> Any:
        return boto3.client(
            "s3",
            endpoint_url=self.environment["AWS_ENDPOINT_URL"],
            region_name="us-east-1",
            aws_access_key_id="somebody",
            aws_secret_access_key="on loopback",
        )

    def kept(self, prefix: str = "") -> list[str]:
        """Return what is kept under a prefix, by name."""
        pages = self.client().get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=prefix)
        return [found["Key"] for page in pages for found in page.get("Contents", ())]


@contextlib.contextmanager
def running_store() -> Iterator[ObjectStore]:
    """Run a store with an empty bucket."""
    with subprocess.Popen([sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        try:
            port = int(process.stdout.readline())
            store = ObjectStore(ServerProxy(f"http://127.0.0.1:{port}"))
            store.client().create_bucket(Bucket=BUCKET)
            yield store
        finally:
            process.kill()


def main() -> None:
    """Be the store, until standard input ends."""
    with SimpleXMLRPCServer(("127.0.0.1", 0), logRequests=False) as server:
        server.register_instance(Served())
        print(server.server_address[1], flush=True)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        sys.stdin.read()


if __name__ == "__main__":
    main()
