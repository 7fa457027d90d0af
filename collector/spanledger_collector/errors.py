"""Errors of the collector.

spanledger.errors.SpanledgerError
├── LakeError           the lake can't be used
└── PortTakenError      a door's port is in use
"""

from __future__ import annotations

from pathlib import Path

from spanledger.errors import SpanledgerError


class LakeError(SpanledgerError):
    """The lake can't be used; nothing was written."""

    def __init__(self, lake: Path, advice: str) -> None:
        self.lake = lake
        self.advice = advice
        super().__init__(f"the lake {lake} {advice}")


class PortTakenError(SpanledgerError):
    """Another program listens where a door should open."""

    def __init__(self, host: str, port: int, flag: str) -> None:
        self.host = host
        self.port = port
        self.flag = flag
        super().__init__(f"port {port} on {host} is taken; stop the other program or choose another with {flag}")
