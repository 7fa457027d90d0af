"""What both doors ask of whoever sends: size, access and time.

Every wait for a client has an end, because a client that waits for ever, by accident or not, costs a connection.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from .auth import Access

FLAGS: Final = (
    "token_file",
    "tls_cert",
    "tls_key",
    "tls_client_ca",
    "max_body_bytes",
    "backlog_bytes",
    "reserve_bytes",
    "check",
)
"""Settings that are flags of a collector, too."""


@dataclass(frozen=True, slots=True)
class Terms:
    """The same for both doors."""

    body_bytes: int = 20 << 20
    """Largest request, as sent and after decompression; what OTLP recommends."""
    held_bytes: int = 256 << 20
    """Most bytes of requests that are still being received, at each door."""
    framing: bool = False
    """Acknowledge spans by their frames, without a look into them."""
    access: Access = field(default_factory=Access)
    connections: int = 2048
    """Most connections, at each door."""
    head_s: float = 10.0
    """How long TLS may take to be agreed on, and the head of a request to arrive."""
    body_s: float = 30.0
    """How long the rest of a request may take."""
    answer_s: float = 30.0
    """How long the answer may take to be read, and the rest of a request that was refused to go by."""
    idle_s: float = 90.0
    """How long a connection may do nothing between two requests."""
