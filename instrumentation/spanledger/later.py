"""What is charged after the call that asked for it: results of a batch, answers made in the background.

The charge is recorded where the result is read, and a result can be read again: in another process, on another day. So
the ids of its span and the moment it starts at come from what the provider says of it, never from here and now, and the
collector drops what it has already. It stands in a trace of its own for the same reason.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final, Generic, NamedTuple, TypeVar

from . import ledger, names, spans, tagging
from .attributes import Facts, response_attributes, server_attributes, usage_attributes
from .record import Attributes, Metered, Place, Record, place_below, place_of
from .sdk import Endpoint, Sdk
from .usage import Usage

_MOST_KNOWN: Final = 10_000
_SHORTEST_ID: Final = 16
"""Shorter ids are counted up by small servers, and come again."""
_EARLIEST_S: Final = 1_577_836_800
_OF_THE_SUBMISSION: Final = frozenset(
    {
        names.OPERATION,
        names.RESPONSE_ID,
        names.RESPONSE_MODEL,
        names.FINISH_REASONS,
        names.FIRST_CHUNK_S,
        names.SERVICE_TIER,
        names.ATTEMPTS,
        names.ERROR_TYPE,
        names.HTTP_STATUS,
        names.PARENT_SAMPLED,
    }
)
Value = TypeVar("Value")


class Recent(Generic[Value]):
    """The latest values by key, without a lock: a finaliser may put into it at any moment."""

    def __init__(self) -> None:
        self._values: dict[str, Value] = {}

    def put(self, key: str, value: Value) -> None:
        """Keep a value, and forget the oldest where there are too many."""
        self._values[key] = value
        if len(self._values) > _MOST_KNOWN:
            with suppress(RuntimeError, StopIteration):
                self._values.pop(next(iter(self._values)), None)

    def get(self, key: str | None) -> Value | None:
        """Return the value, if it is still known."""
        return None if key is None else self._values.get(key)


@dataclass(frozen=True, slots=True)
class Batch:
    """A batch that results belong to."""

    id: str | None = None
    created_ns: int | None = None


class Result(NamedTuple):
    """One answer in a batch's results."""

    endpoint: Endpoint
    body: object
    id: str | None
    """The provider's id of the answer."""
    place: str
    """Where it stands, which tells it from another with the same id: some servers give one to all their answers."""


batches: Final[Recent[Batch]] = Recent()
"""By the name of their results: what the application's own look at the batch has told."""
_asked: Final[Recent[Attributes]] = Recent()
"""Who asked for it and what for, by the provider's id of the batch or the answer."""
_recorded: Final[Recent[bool]] = Recent()
"""Background answers that are on their way already, or False of one that was dropped; applications poll."""


@dataclass(frozen=True, slots=True)
class Reading:
    """One reading of results: what holds for all of them."""

    sdk: Sdk
    common: Attributes
    batch: Batch | None = None
    now_ns: int = field(default_factory=time.time_ns)

    def record(self, result: Result) -> Record | None:
        """Return the charge for an answer; None where nothing of it is metered."""
        facts = Facts()
        result.endpoint.read(facts, result.body)
        usage = result.endpoint.total(facts)
        if usage.state == "missing":
            return None
        attributes: Attributes = {
            **self.common,
            names.OPERATION: result.endpoint.operation,
            **response_attributes(facts),
            **usage_attributes(usage),
        }
        if self.batch is not None:
            attributes[names.IS_BATCH] = True
            if self.batch.id is not None:
                attributes[names.BATCH_ID] = self.batch.id
        start_ns, end_ns = self._times(result.body)
        asked = str(attributes.get(names.REQUEST_MODEL, ""))
        metered = self._metered(facts, usage, asked)
        place, gate = self._place(result), ledger.gate()
        return Record(
            name=f"{result.endpoint.operation} {facts.response_model or asked}".rstrip(),
            kind="client",
            place=place,
            start_ns=start_ns,
            end_ns=end_ns,
            attributes=attributes,
            error=facts.error_type,
            metered=metered,
            admission=gate.paid_later(attributes, metered, place, start_ns) if gate and metered else None,
        )

    def _place(self, result: Result) -> Place:
        identity = [part for part in (result.id, result.place) if part is not None and len(part) >= _SHORTEST_ID]
        return place_of(self.sdk.provider, *identity) if identity else place_below(None)

    def _times(self, body: object) -> tuple[int, int]:
        """Return start and end: when the answer was made, else when the batch was, else now."""
        made = [_field(body, name) for name in ("created", "created_at")]
        start_ns = next(filter(None, map(_instant_ns, made)), None)
        if start_ns is None and self.batch is not None:
            start_ns = self.batch.created_ns
        if start_ns is None or start_ns > self.now_ns + 86_400 * 10**9:
            return self.now_ns, self.now_ns
        return start_ns, max(start_ns, _instant_ns(_field(body, "completed_at")) or 0)

    def _metered(self, facts: Facts, usage: Usage, asked: str) -> Metered | None:
        stated = self.sdk.stated(str(self.common[names.PROVIDER]), facts.usage)
        if usage.state == "inconsistent" and stated is None:
            return None
        return Metered(
            provider=str(self.common[names.PROVIDER]),
            model=facts.response_model or asked,
            request_model=asked,
            usage=usage,
            service_tier=facts.service_tier,
            speed=facts.speed,
            region=facts.region,
            processing="batch" if self.batch is not None else None,
            stated_pico=stated,
        )


def reading(sdk: Sdk, client: Any, *, batch: Batch | None = None, answer_id: str | None = None) -> Reading:
    """Return a reading by this client, with the tags in force; who asked fills in what they leave open."""
    server = server_attributes(client)
    common: Attributes = {
        names.PROVIDER: sdk.provider_at(
            server.get(names.SERVER_ADDRESS), server.get(names.SERVER_PORT), type(client).__name__
        ),
        **server,
        **_who_asked(batch, answer_id),
        **tagging.current.get(),
    }
    return Reading(sdk, common, batch)


def _who_asked(batch: Batch | None, answer_id: str | None) -> Attributes:
    """Return what is known of the request: by this process, or of a batch by whichever shares its budgets."""
    known = _asked.get(batch.id if batch is not None else answer_id)
    gate = ledger.gate() if known is None and batch is not None and batch.id is not None and ledger.start() else None
    if gate is not None and batch is not None and batch.id is not None:
        return dict(gate.tags_of_batch(batch.id))
    return known or {}


def add_answer(of: Reading, result: Result) -> None:
    """Hand over an answer that was made in the background, unless this process has done so before."""
    if result.id is None or _recorded.get(result.id) or not ledger.start():
        return
    record = of.record(result)
    if record is not None:
        _recorded.put(result.id, True)  # before another thread reads it
        if not ledger.add(record):
            _recorded.put(result.id, False)
        settle()


def submitted(sdk: Sdk, endpoint: Endpoint, attributes: Attributes, facts: Facts) -> None:
    """Note who asked for what is paid later; if the answer is there already, hand that over."""
    if facts.response_id is None:
        return
    asked = {name: value for name, value in attributes.items() if name not in _OF_THE_SUBMISSION}
    _asked.put(facts.response_id, asked)
    if endpoint.answer is None and (gate := ledger.gate()) is not None:
        gate.remember_batch(facts.response_id, tagging.current.get())
    if facts.answer is not None and endpoint.answer is not None:
        add_answer(Reading(sdk, asked), Result(endpoint.answer, facts.answer, facts.response_id, ""))


def settle() -> None:
    """Have what was handed over sent, where the process may be frozen next."""
    if ledger.flushes_calls and spans.current.get() is None:
        ledger.settle()


def note_batch(body: object, results: str) -> None:
    """Remember a batch that the application looked at, by the field that names its results."""
    name, batch_id = _field(body, results), _field(body, "id")
    if isinstance(name, str) and isinstance(batch_id, str):
        batches.put(name, Batch(batch_id, _instant_ns(_field(body, "created_at"))))


def _field(body: object, name: str) -> Any:
    return body.get(name) if isinstance(body, Mapping) else getattr(body, name, None)


def _instant_ns(value: object) -> int | None:
    """Read seconds since 1970 or a datetime; None where it is neither, or from before there was any of this."""
    timestamp = getattr(value, "timestamp", None)
    seconds = timestamp() if callable(timestamp) else value
    if not isinstance(seconds, int | float) or isinstance(seconds, bool) or seconds < _EARLIEST_S:
        return None
    # Whole seconds are enough for a day and a price, and every reader gets the same from a float.
    return int(seconds) * 10**9
