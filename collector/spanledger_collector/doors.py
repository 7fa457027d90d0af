"""Opening and closing both doors, HTTP and gRPC, in one event loop.

Ports are tried before anything is started, so that the message can name the flag that moves the door.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import math
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import grpc.aio
import uvicorn

from .address import Address, host_and_port
from .doorkeeper import Doorkeeper
from .errors import DoorError, PortTakenError
from .grpc_door import SERVICES, GrpcDoor, make_server
from .grpc_health import Health
from .http_connections import Connections
from .http_door import HttpDoor
from .intake import Intake
from .readiness import Readiness
from .terms import Terms
from .tls import Tls, open_tls

_FINISH_S: Final = 5
"""How long requests in flight may take once the doors close."""
_BACKLOG: Final = 2048


class Doors:
    """Both doors, open until `close`."""

    def __init__(
        self, address: Address, grpc_server: grpc.aio.Server, http_server: _HttpServer, health: Health
    ) -> None:
        self.address = address
        """With the real ports."""
        self._grpc_server = grpc_server
        self._health = health
        self._http_server = http_server
        self._serving = asyncio.create_task(http_server.serve([http_server.socket]))

    async def close(self) -> None:
        """Take no more requests, and return when those in flight are answered."""
        self._http_server.should_exit = True
        self._health.close()
        await asyncio.gather(self._grpc_server.stop(_FINISH_S), self._serving)


async def open_doors(
    intake: Intake, address: Address, home: Path, terms: Terms | None = None, readiness: Readiness | None = None
) -> Doors:
    """Listen on both ports; the doors take requests when this returns. `home` is where the children's figures are.

    Raises:
        PortTakenError: another program has a port.
        DoorError: the address can't be used.
        AccessError: a file of tokens or certificates can't be used.
    """
    terms = terms or Terms()
    readiness = readiness or Readiness(intake)
    tls, doorkeeper, health = open_tls(terms.access), Doorkeeper(terms.access), Health(readiness, SERVICES)
    with contextlib.ExitStack() as until_started:
        http_socket = until_started.enter_context(bind(address.host, address.http_port, "--http-port"))
        bind(address.host, address.grpc_port, "--grpc-port").close()
        grpc_server = make_server(GrpcDoor(intake, terms, doorkeeper), health)
        try:
            grpc_port = _add_port(grpc_server, host_and_port(address.host, address.grpc_port), tls)
        except RuntimeError as error:  # taken since it was tried
            raise PortTakenError(address.host, address.grpc_port, "--grpc-port") from error
        until_started.pop_all()
    await grpc_server.start()
    http_server = _HttpServer(HttpDoor(intake, terms, doorkeeper, readiness, home), http_socket, terms, tls)
    http_port: int = http_socket.getsockname()[1]
    doors = Doors(Address(address.host, grpc_port, http_port), grpc_server, http_server, health)
    while not http_server.started:
        await asyncio.sleep(0.005)
    return doors


def _add_port(server: grpc.aio.Server, address: str, tls: Tls | None) -> int:
    return server.add_secure_port(address, tls.credentials()) if tls else server.add_insecure_port(address)


def bind(host: str, port: int, flag: str) -> socket.socket:
    """Return a listening socket.

    Raises:
        PortTakenError: another program has the port; `flag` is what chooses another.
        DoorError: the address can't be used.
    """
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family, backlog=_BACKLOG)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise PortTakenError(host, port, flag) from error
        advice = f"{error.strerror}; choose another address with --host or {flag}"
        raise DoorError(host_and_port(host, port), advice) from error


class _HttpServer(uvicorn.Server):
    """Uvicorn on a socket of ours, leaving signals to whoever runs the collector."""

    def __init__(self, app: HttpDoor, listening: socket.socket, terms: Terms, tls: Tls | None) -> None:
        self.socket = listening
        self._terms = terms
        self._tls = tls
        self._connections = Connections(terms)
        super().__init__(
            uvicorn.Config(
                app,
                http="httptools",
                loop="asyncio",
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                proxy_headers=False,
                server_header=False,
                timeout_keep_alive=math.ceil(terms.idle_s),
                timeout_graceful_shutdown=_FINISH_S,
            )
        )

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen, with what uvicorn has no settings for: our connections, and an end to a handshake of TLS."""
        listening = asyncio.get_running_loop().create_server(
            lambda: self._connections.new(self.config, self.server_state),
            sock=self.socket,
            backlog=_BACKLOG,
            ssl=self._tls.context if self._tls else None,
            ssl_handshake_timeout=self._terms.head_s if self._tls else None,
        )
        self.servers = [await listening]
        self.started = True

    async def on_tick(self, counter: int) -> bool:
        """Close what is late, and look for a renewed certificate; uvicorn calls this ten times a second."""
        if counter % 5 == 0:
            self._connections.close_late()
        if self._tls and counter % 10 == 0:
            self._tls.look()
        return await super().on_tick(counter)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield
