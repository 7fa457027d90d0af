"""What the lifecycle of a call has to know about an SDK, its kinds of call, and one request.

An SDK's module fills these in; nothing in here runs for a call except the search for its provider.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal, NamedTuple

from . import ledger
from .attributes import Facts
from .errors import Refusal
from .prompts import Layout
from .record import Attributes, Failure, read_failure
from .usage import Usage, UsageState


def _no_tally(facts: Facts, usage: Mapping[str, Any]) -> None:
    """Where reading the response counts already."""


def _no_piece(event: object) -> str | None:
    return None


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One kind of call of one SDK."""

    operation: str
    read: Callable[[Facts, object], None]
    """Read a whole response, a model of the SDK or parsed JSON."""
    hear: Callable[[Facts, object], None]
    """Read one event of a stream."""
    usage: Callable[[Mapping[str, int], UsageState], Usage]
    """Turn the counts into the token vector."""
    tally: Callable[[Facts, Mapping[str, Any]], None] = _no_tally
    """Turn a usage object that was kept as it came into counts; on the ledger's thread."""
    piece: Callable[[Any], str | None] = _no_piece
    """The text of a stream's event that has nothing else; most are such, so this must be quick. None is any other."""
    free: bool = False
    """Nothing of it is charged: a span without usage."""
    answers_in: Literal["json", "text", "bytes"] = "json"
    """What a body may be besides JSON: text that is read as JSON if it is that, or bytes that are not kept."""
    background: Endpoint | None = None
    """What it is instead where the answer is made in the background."""
    paid_later: bool = False
    """What it asks for is charged where it is read, in a place of its own."""
    answer: Endpoint | None = None
    """What reads an answer that is there at once."""
    prompt: Layout | None = None
    """Where the request has its prompt; None where it has none that is charged."""

    def total(self, facts: Facts) -> Usage:
        """Turn what a response told into the token vector; on the ledger's thread."""
        if facts.usage is not None:
            self.tally(facts, facts.usage)
        state: UsageState = "reported" if facts.complete else "estimated"
        if facts.counts:
            usage = self.usage(facts.counts, state)
            return usage._replace(units={**usage.units, **facts.units}) if facts.units else usage
        return Usage(units=facts.units, state=state) if facts.units else Usage(state="missing")


_MOST_HOSTS: Final = 1000


def _never_asks(url: str, body: Mapping[str, Any], extra: object) -> dict[str, Any] | None:
    return None


def _never_usage_only(event: object) -> bool:
    return False


def _as_it_is(refusal: Refusal) -> BaseException:
    return refusal


def _states_nothing(provider: str, told: Mapping[str, Any] | None) -> int | None:
    return None


@dataclass(frozen=True, slots=True)
class Sdk:
    """What the lifecycle has to know about an SDK."""

    provider: str
    endpoints: Mapping[str, Endpoint]
    """By path of the request, or by the name that the SDK has for the operation."""
    request_attributes: Callable[[Mapping[str, Any]], Attributes]
    ask_for_usage: Callable[[str, Mapping[str, Any], Any], dict[str, Any] | None] = _never_asks
    """The request body changed so that a stream reports usage, or None where it does so anyway."""
    is_usage_only: Callable[[object], bool] = _never_usage_only
    """Whether a stream event exists only because we asked for usage."""
    hosts: Mapping[str, str] = field(default_factory=dict)
    """End of a host's name to the provider there, where that is another; any other host keeps the SDK's own."""
    clients: Mapping[str, str] = field(default_factory=dict)
    """Class of clients to the provider that it speaks to, wherever that is: a gateway in between, or a private host."""
    look_back: Callable[[Any, Any, Any, bool], None] | None = None
    """Find what is paid for now in what a client's options brought that are no call; True: asynchronously."""
    failure: Callable[[BaseException], Failure] = read_failure
    """What an exception of the SDK says about the response that it stands for."""
    stated: Callable[[str, Mapping[str, Any] | None], int | None] = _states_nothing
    """What a provider says, in its usage object, that it charges: pico-dollars."""
    refusal: Callable[[Refusal], BaseException] = _as_it_is
    """Make the SDK's own error of a call that a rule of the application's stopped."""

    def provider_at(self, host: object, port: object = None, client: str = "") -> str:
        """Name who serves, and charges for, calls to a host by a class of clients; what the user said wins."""
        known, key = ledger.known_hosts(), (self.provider, host, port, client)
        provider = known.get(key)
        if provider is None:
            addresses = (f"{host}:{port}", str(host))
            said = _by_end(ledger.providers(), addresses)
            provider = said or self.clients.get(client) or _by_end(self.hosts, addresses) or self.provider
            if len(known) < _MOST_HOSTS:
                known[key] = provider
        return provider


def _by_end(hosts: Mapping[str, str], addresses: tuple[str, str]) -> str | None:
    matching = (provider for address in addresses for end, provider in hosts.items() if _ends(address, end))
    return next(matching, None)


def _ends(address: str, end: str) -> bool:
    """Whether an address is this one, or ends with it at a border: `api.ollama.com` with `ollama.com`."""
    before = address.removesuffix(end)
    return before != address and (not before or end.startswith(".") or before[-1] in ".-")


class Request(NamedTuple):
    """One call as its SDK makes it, before it is sent."""

    endpoint: Endpoint
    model: str
    """As the application named it; empty where it named none."""
    body: Mapping[str, Any]
    server: Attributes
    stream: bool
    provider: str | None = None
    """Where the client decides who serves, not the host."""
    region: str | None = None
    client: str = ""
    """Class of the client."""
    api_key: object = None
    """What the client has as its API key; of use only if that is text."""
