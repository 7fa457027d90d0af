"""Ports that refuse connections until somebody listens on them, and that no other program is given meanwhile."""

from __future__ import annotations

import contextlib
import random
import socket
from collections.abc import Iterator


@contextlib.contextmanager
def held_port() -> Iterator[int]:
    """Hold a port without listening on it; a server that sets SO_REUSEADDR, as most do, can listen on it meanwhile."""
    with socket.socket() as holder:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        holder.bind(("127.0.0.1", 0))
        yield int(holder.getsockname()[1])


def own_port(also: int = 0) -> int:
    """Return a free port, of which that one is free too which is `also` further.

    None of those that the system gives out, which begin at 32,768: anybody may be given one before it is used.
    """
    for port in random.sample(range(11_000, 21_000), 10_000):
        with (
            contextlib.suppress(OSError),
            socket.create_server(("127.0.0.1", port)),
            socket.create_server(("127.0.0.1", port + also)) if also else contextlib.nullcontext(),
        ):
            return port
    raise AssertionError("no port is free")
