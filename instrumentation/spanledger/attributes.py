"""What a call's span says, under its names on the wire."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Final

from . import names
from .record import Attributes
from .texts import MOST_HEARD
from .usage import INPUT_PARTS, OUTPUT_PARTS, Usage

_CACHE_WRITES: Final = ("cache_write_5m_tokens", "cache_write_1h_tokens", "cache_write_12h_tokens")
TOKEN_NAMES: Final[dict[str, tuple[str, ...]]] = {
    names.CACHE_READ_TOKENS: ("cache_read_tokens", "cache_read_audio_tokens"),
    names.CACHE_WRITE_TOKENS: _CACHE_WRITES,
    names.CACHE_WRITE_5M_TOKENS: ("cache_write_5m_tokens",),
    names.CACHE_WRITE_1H_TOKENS: ("cache_write_1h_tokens",),
    names.CACHE_WRITE_12H_TOKENS: ("cache_write_12h_tokens",),
    names.INPUT_AUDIO_TOKENS: ("input_audio_tokens", "cache_read_audio_tokens"),
    names.CACHE_READ_AUDIO_TOKENS: ("cache_read_audio_tokens",),
    names.INPUT_IMAGE_TOKENS: ("input_image_tokens",),
    names.REASONING_TOKENS: ("reasoning_tokens",),
    names.OUTPUT_AUDIO_TOKENS: ("output_audio_tokens",),
    names.OUTPUT_IMAGE_TOKENS: ("output_image_tokens",),
}
"""Parts that each name on the wire stands for; OpenTelemetry's names overlap where ours are disjoint."""
_MOST_SERVERS: Final = 256
_servers: dict[int, tuple[object, Attributes]] = {}
"""By the identity of a client's address, which is held so that no other takes it; clients do not change theirs."""
_COUNTED_AS: Final = [
    tuple(name for name, parts in TOKEN_NAMES.items() if part in parts) for part in INPUT_PARTS + OUTPUT_PARTS
]
"""The names on the wire that each part of a usage counts in."""


@dataclass(slots=True)
class Facts:
    """What the response has told so far."""

    response_id: str | None = None
    response_model: str | None = None
    finish_reasons: list[str] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)
    """Token counts and units under names of the SDK's own module; empty until the provider reports usage."""
    usage: Mapping[str, Any] | None = None
    """A usage object as it came, whose counting is left to the ledger's thread; see `Endpoint.tally`."""
    units: dict[str, Decimal] = field(default_factory=dict)
    """Whatever else is metered, by the name of its unit."""
    asked: Mapping[str, Any] = field(default_factory=dict)
    """The body of the request."""
    complete: bool = False
    """The counts are final, not a running total of a stream."""
    service_tier: str | None = None
    speed: str | None = None
    region: str | None = None
    error_type: str | None = None
    """A failure that the response tells of in its body."""
    answer: object = None
    """A whole answer that is charged in a place of its own."""
    heard: deque[str | bytes] | None = None
    """What the model was heard to say in a stream, to estimate from if the counts never come; None is nothing yet."""

    def say(self, piece: str | bytes) -> None:
        """Add to what was heard."""
        if self.heard is None:
            self.heard = deque(maxlen=MOST_HEARD)
        self.heard.append(piece)


def server_attributes(client: object) -> Attributes:
    """Name the host that a client of an SDK talks to; the port only where it is not the usual one."""
    # The newer of OpenAI's clients import a module each time that the public name is asked for.
    url = getattr(client, "_base_url", None) or getattr(client, "base_url", None)
    known = _servers.get(id(url))
    if known is not None and known[0] is url:
        return known[1]
    host, port = getattr(url, "host", None), getattr(url, "port", None)
    found: Attributes = {}
    if isinstance(host, str) and host:
        found[names.SERVER_ADDRESS] = host
        if isinstance(port, int) and port != 443:
            found[names.SERVER_PORT] = port
    if len(_servers) < _MOST_SERVERS:
        _servers[id(url)] = url, found
    return found


def response_attributes(facts: Facts) -> Attributes:
    """Name what the response told about itself."""
    found: Attributes = {}
    if facts.response_id is not None:
        found[names.RESPONSE_ID] = facts.response_id
    if facts.response_model is not None:
        found[names.RESPONSE_MODEL] = facts.response_model
    if facts.service_tier is not None:
        found[names.SERVICE_TIER] = facts.service_tier
    if facts.speed is not None:
        found[names.SPEED] = facts.speed
    if facts.region is not None:
        found[names.REGION] = facts.region
    if facts.finish_reasons:
        found[names.FINISH_REASONS] = facts.finish_reasons
    return found


def usage_attributes(usage: Usage) -> Attributes:
    """Write the token vector: inclusive totals, then the names under which anything was counted."""
    attributes: Attributes = {names.USAGE_STATE: usage.state}
    if usage.state == "missing":
        return attributes
    attributes[names.INPUT_TOKENS] = usage.input_tokens
    attributes[names.OUTPUT_TOKENS] = usage.output_tokens
    for count, counted_as in zip(usage, _COUNTED_AS, strict=False):
        if count:
            for name in counted_as:
                attributes[name] = attributes.get(name, 0) + count  # type: ignore[operator]
    for unit, amount in usage.units.items():
        attributes[names.UNIT_PREFIX + unit] = int(amount) if amount == int(amount) else float(amount)
    return attributes
