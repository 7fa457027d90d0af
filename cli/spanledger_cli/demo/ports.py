"""The ports that the demo needs, looked at before anything is started."""

from __future__ import annotations

import socket
from dataclasses import dataclass

from spanledger_collector.errors import PortTakenError

HOST = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Ports:
    """Where the parts listen on 127.0.0.1; None for a part that isn't started."""

    grpc: int
    http: int
    dashboard: int | None


def claim(grpc: int, http: int, dashboard: int | None) -> Ports:
    """Check that every port is free; 0 becomes a free one.

    Raises:
        PortTakenError: naming the flag that chooses another.
    """
    return Ports(
        _claim(grpc, "--grpc-port"),
        _claim(http, "--http-port"),
        None if dashboard is None else _claim(dashboard, "--dashboard-port"),
    )


def _claim(port: int, flag: str) -> int:
    with socket.socket() as probe:
        # Without it a port that was used a minute ago would look taken.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            raise PortTakenError(HOST, port, flag) from None
        chosen: int = probe.getsockname()[1]
        return chosen
