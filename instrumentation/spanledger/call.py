"""One LLM call, from the request to the record: the lifecycle that every SDK and both colours share.

The application's thread does as little as it can: it reads the request, lets the SDK do its work, reads the
response and hands a record over. The SDK's own objects and exceptions go through untouched, and whatever goes wrong
in here costs the record, never the call.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from functools import partial
from typing import Any

from . import faults, ledger, names, spans, tagging
from .attributes import Facts, response_attributes, server_attributes, usage_attributes
from .record import (
    Attributes,
    Metered,
    Record,
    Stopwatch,
    error_text,
    error_type,
    place_below,
)
from .usage import Usage, UsageState


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


@dataclass(frozen=True, slots=True)
class Sdk:
    """What the lifecycle has to know about an SDK."""

    provider: str
    endpoints: Mapping[str, Endpoint]
    """By path of the request."""
    request_attributes: Callable[[Mapping[str, Any]], Attributes]
    ask_for_usage: Callable[[str, Mapping[str, Any], Any], dict[str, Any] | None]
    """The request body changed so that a stream reports usage, or None where it does so anyway."""
    is_usage_only: Callable[[object], bool]
    """Whether a stream event exists only because we asked for usage."""
    hosts: Mapping[str, str]
    """End of a host's name to the provider there, where that is another; any other host keeps the SDK's own."""

    def provider_at(self, host: object) -> str:
        """Name who serves, and charges for, calls to a host."""
        if isinstance(host, str):
            for end, provider in self.hosts.items():
                if host.endswith(end):
                    return provider
        return self.provider


in_flight: ContextVar[Call | None] = ContextVar("spanledger_call", default=None)
"""The call whose HTTP attempts are being made."""

_open: set[Call] = set()
"""Calls whose streams are being read."""


class Call:
    """A call under way; finished exactly once, by whichever end comes first."""

    __slots__ = (
        "_attributes",
        "_body_without_usage",
        "_done",
        "_endpoint",
        "_first_ns",
        "_last_ns",
        "_model",
        "_place",
        "_provider",
        "_sdk",
        "_watch",
        "attempts",
        "facts",
        "inside",
        "stream",
    )

    def __init__(self, sdk: Sdk, endpoint: Endpoint, client: Any, options: Any, stream: bool) -> None:
        body = options.json_data if isinstance(options.json_data, Mapping) else {}
        model = body.get("model")
        self._sdk = sdk
        self._endpoint = endpoint
        self._model = model if isinstance(model, str) else ""
        self._place = place_below(spans.current_place())
        server = server_attributes(client)
        self._provider = sdk.provider_at(server.get(names.SERVER_ADDRESS))
        self._attributes: Attributes = {
            names.OPERATION: endpoint.operation,
            names.PROVIDER: self._provider,
            **server,
            **sdk.request_attributes(body),
            **tagging.current.get(),
        }
        self._first_ns: int | None = None
        self._last_ns = 0
        self._done = False
        self._body_without_usage: object = None
        self.facts = Facts()
        self.attempts: int | None = None
        self.stream = stream
        self.inside = False
        """The application is waiting for the next event; its outcome, not a close, ends the call."""
        if self._model:
            self._attributes[names.REQUEST_MODEL] = self._model
        parser = getattr(options, "post_parser", None)
        if callable(parser) and not stream:
            # What does not parse into the application's own type was paid for all the same.
            options.post_parser = partial(self._note_then_parse, parser)
        if stream:
            self._attributes[names.STREAM] = True
            asking = sdk.ask_for_usage(options.url, body, getattr(options, "extra_json", None))
            if asking is not None:
                self._body_without_usage = options.json_data
                options.json_data = asking
        self._watch = Stopwatch()

    @property
    def hides_usage(self) -> bool:
        """Whether the application must not see the event that reports usage, because we asked for it."""
        return self._body_without_usage is not None

    def withdraw_usage(self, options: Any, error: BaseException) -> bool:
        """Take our addition out of a request that a server refused because of it; True if there was one.

        Servers that only resemble OpenAI's may not know `stream_options`; the application must not pay for that.
        """
        if self._body_without_usage is None or getattr(error, "status_code", None) not in (400, 422):
            return False
        try:
            if "stream_options" not in str(error) and "include_usage" not in str(error):
                return False
            options.json_data = self._body_without_usage
        except Exception as fault:
            faults.report("request not sent again without our addition", fault)
            return False
        self._body_without_usage = None
        return True

    def read(self, body: object) -> None:
        """Read a whole response and finish."""
        self._note(body)
        self.finish()

    def _note(self, body: object) -> None:
        try:
            if not self.facts.counts:
                self._endpoint.read(self.facts, body)
        except Exception as error:
            faults.report(f"{self._sdk.provider} response recorded without its usage", error)

    def _note_then_parse(self, parser: Callable[[object], object], body: object) -> object:
        self._note(body)
        return parser(body)

    def hear(self, event: object) -> bool:
        """Read one event of a stream; False if the application must not see it."""
        try:
            self._last_ns = self._watch.elapsed_ns()
            if self._first_ns is None:
                self._first_ns = self._last_ns
            self._endpoint.hear(self.facts, event)
            return not (self.hides_usage and self._sdk.is_usage_only(event))
        except Exception as error:
            faults.report(f"{self._sdk.provider} stream event not understood", error)
            return True

    def fail(self, error: BaseException) -> None:
        """Finish with the exception that the application gets."""
        self.finish(error)

    def closed(self) -> None:
        """Finish because the application closed the stream."""
        if not self.inside:
            self.finish()

    def remember(self) -> None:
        """Have the call finished at exit at the latest, should its stream still be held then."""
        if not self._done:
            _open.add(self)

    def abandoned(self) -> None:
        """Finish because nobody holds the stream any more; it ended with its last event, not now."""
        self.finish(end_ns=self._last_ns or None)

    def finish(self, error: BaseException | None = None, *, end_ns: int | None = None) -> None:
        """Hand the record over; later calls do nothing."""
        if self._done:
            return
        self._done = True
        _open.discard(self)
        try:
            length = self._watch.elapsed_ns() if end_ns is None else end_ns
            ledger.add(self._record(error, length))
        except Exception as fault:
            faults.report("call lost from the ledger", fault)

    def _record(self, error: BaseException | None, length_ns: int) -> Record:
        facts, attributes = self.facts, self._attributes
        usage = self._usage()
        attributes.update(response_attributes(facts))
        attributes.update(usage_attributes(usage))
        if self._first_ns is not None:
            attributes[names.FIRST_CHUNK_S] = self._first_ns / 1e9
        if self.attempts is not None:
            attributes[names.ATTEMPTS] = self.attempts
        if not self._place.parent_sampled:
            attributes[names.PARENT_SAMPLED] = False
        failure = facts.error_type
        if error is not None:
            attributes[names.ERROR_TYPE] = error_type(error)
            status = getattr(error, "status_code", None)
            if isinstance(status, int):
                attributes[names.HTTP_STATUS] = status
            failure = error_text(error)
        elif failure is not None:
            attributes[names.ERROR_TYPE] = failure
        return Record(
            name=f"{self._endpoint.operation} {self._model}".rstrip(),
            kind="client",
            place=self._place,
            start_ns=self._watch.start_ns,
            end_ns=self._watch.start_ns + length_ns,
            attributes=attributes,
            error=failure,
            metered=self._metered(usage),
        )

    def _usage(self) -> Usage:
        if not self.facts.counts:
            return Usage(state="missing")
        return self._endpoint.usage(self.facts.counts, "reported" if self.facts.complete else "estimated")

    def _metered(self, usage: Usage) -> Metered | None:
        if usage.state in ("missing", "inconsistent"):
            return None
        facts = self.facts
        return Metered(
            provider=self._provider,
            model=facts.response_model or self._model,
            request_model=self._model,
            usage=usage,
            service_tier=facts.service_tier,
            speed=facts.speed,
            region=facts.region,
        )


def begin(sdk: Sdk, client: Any, options: Any, stream: bool) -> Call | None:
    """Start a call, or return None where the request is none, or where we are at fault."""
    try:
        if options.method.lower() != "post":
            return None
        endpoint = sdk.endpoints.get(options.url.partition("?")[0])
        if endpoint is None:
            return None
        if not ledger.start():
            return None
        return Call(sdk, endpoint, client, options, stream)
    except Exception as error:
        faults.report(f"{sdk.provider} call not recorded", error)
        return None


def open_streams() -> int:
    """Return how many streams are being read."""
    return len(_open)


def _finish_open() -> None:
    for call in list(_open):
        call.abandoned()


def _disown_open() -> None:
    """Leave the streams that were open when this process forked to the parent, which reads them to their end."""
    for call in _open:
        call._done = True
    _open.clear()


ledger.before_exit(_finish_open)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_disown_open)
