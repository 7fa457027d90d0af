"""What the application's thread hands over when a piece of work is done.

A record is plain data. Everything dear (OpenTelemetry, the price book, the network) happens to it later, on the
ledger's own thread; the ids are drawn when the work starts, so that what happens inside can name its parent.
"""

from __future__ import annotations

import hashlib
import os
import random
import re
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal, NamedTuple, Protocol, TypeAlias

from .evidence import Evidence
from .usage import Usage

if TYPE_CHECKING:
    from .content import Content
    from .guard.admission import Admission
    from .guard.cache.tally import Tally
    from .guard.paid_later import PaidLater

AttributeValue: TypeAlias = str | bool | int | float | bytes | Sequence[str]
Attributes: TypeAlias = dict[str, AttributeValue]
_CODE: Final = re.compile(r"[\w.-]{1,64}")

_random = random.Random()  # noqa: S311 - ids, not secrets
"""Our own, and seeded anew in a forked child: an application that seeds `random` must not make us repeat ids."""
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_random.seed)


_SPAN_ID_MASK: Final = 2**64 - 1


class Place(NamedTuple):
    """Where a span stands in its trace; ids as OpenTelemetry has them."""

    trace_id: int
    span_id: int
    parent_id: int | None = None
    parent_sampled: bool = True


class Metered(NamedTuple):
    """What the price of a call depends on."""

    provider: str
    model: str
    """The model that answered, where it said so."""
    request_model: str
    usage: Usage
    service_tier: str | None = None
    speed: str | None = None
    region: str | None = None
    processing: str | None = None
    """`batch`."""
    stated_pico: int | None = None
    """What the provider says that it charges, pico-dollars."""
    evidence: Evidence | None = None
    """What to estimate from where the counts are not final, or to learn from where they are."""
    uncertain_attempts: int = 0
    """Failed attempts that may have been billed."""
    served: bool = False
    """Answered from our cache: its price is what was saved."""


class Event(NamedTuple):
    """Something that happened at one moment within a span."""

    name: str
    time_ns: int
    attributes: Mapping[str, AttributeValue]


class Record(NamedTuple):
    """One span that is over."""

    name: str
    kind: Literal["client", "internal", "server", "producer", "consumer"]
    place: Place
    start_ns: int
    end_ns: int
    attributes: Attributes
    error: str | None = None
    """Status description; None is a span that did not fail."""
    events: tuple[Event, ...] = ()
    metered: Metered | None = None
    content: Content | None = None
    """What was said and heard, where that is captured."""
    admission: Admission | PaidLater | None = None
    """What it drew on, where it was held against a policy."""
    tally: Tally | None = None
    """Is told its cost, where it is part of a step whose result is kept."""

    def record(self) -> Record:
        """Return itself: `Finished` already."""
        return self


class Finished(Protocol):
    """Work that is over; what it was is put together on the ledger's thread."""

    def record(self) -> Record:
        """Say what happened."""
        ...


def lose(work: object) -> None:
    """Have what a call holds run out: it never reached the ledger, so nobody will settle it. Safe in a finaliser."""
    admission: Admission | PaidLater | None = getattr(work, "admission", None)
    if admission is not None:
        admission.lost()


@dataclass(slots=True)
class Stopwatch:
    """Wall-clock start and a monotonic length, so that a clock set back cannot make a span end before it starts."""

    start_ns: int = field(default_factory=time.time_ns)
    _origin_ns: int = field(default_factory=time.perf_counter_ns)

    def elapsed_ns(self) -> int:
        """Nanoseconds since the start."""
        return time.perf_counter_ns() - self._origin_ns

    def since_start_ns(self, instant_ns: int) -> int:
        """Nanoseconds from the start to an instant of `time.perf_counter_ns`."""
        return instant_ns - self._origin_ns


parent_seen: Final[list[Callable[[int], None]]] = []
"""Told the id of each span of the application that a ledger span is put below; they never raise."""


def place_below(parent: Place | None) -> Place:
    """Return a new place below `parent`, else below the application's current OpenTelemetry span, else a root."""
    # Copies of a frozen machine, as of a function that is started from a snapshot, draw the same numbers, but later.
    now, bits = time.time_ns(), _random.getrandbits(192)
    span_id = bits & _SPAN_ID_MASK ^ now or 1
    if parent is not None:
        return Place(parent.trace_id, span_id, parent.span_id)
    # Not imported by us: an application that has not imported it has no current span either.
    # Nor has one where the ledger's thread, or another, is still in the middle of importing it.
    traced = sys.modules.get("opentelemetry.trace")
    current_span = getattr(traced, "get_current_span", None) if traced is not None else None
    if current_span is not None:
        context = current_span().get_span_context()
        if context.is_valid:
            if parent_seen:
                for seen in parent_seen:
                    seen(context.span_id)
            return Place(context.trace_id, span_id, context.span_id, context.trace_flags.sampled)
    return Place(bits >> 64 ^ now or 1, span_id)


def place_of(*identity: str) -> Place:
    """Return the place that these words have everywhere and at all times, in a trace of its own."""
    digest = hashlib.sha256("\0".join(identity).encode()).digest()
    return Place(int.from_bytes(digest[:16], "big") or 1, int.from_bytes(digest[16:24], "big") or 1)


def error_type(error: BaseException) -> str:
    """Name the class of an exception as OpenTelemetry does: module.qualname, builtins without module."""
    kind = type(error)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


class Failure(NamedTuple):
    """What an exception says about the response that it stands for."""

    status: int | None
    """Of HTTP."""
    code: str | None
    """The provider's own word, where it is one."""


def read_failure(error: BaseException) -> Failure:
    """Read an exception whose attributes are `status_code` and `code` or `type`."""
    codes = (getattr(error, name, None) for name in ("code", "type"))
    return make_failure(getattr(error, "status_code", None), *codes)


def make_failure(status: object, *codes: object) -> Failure:
    """Keep a status that is a number and the first code that is one word: anything longer may quote the prompt."""
    words = (code for code in codes if isinstance(code, str) and _CODE.fullmatch(code))
    return Failure(status if isinstance(status, int) else None, next(words, None))


def error_text(error: BaseException, failure: Failure) -> str:
    """Describe an exception by its class, HTTP status and the provider's code.

    Its message stays in the application: it may quote the prompt or what the model answered.
    """
    words = (type(error).__qualname__, failure.status, failure.code)
    return " ".join(str(word) for word in words if word is not None)
