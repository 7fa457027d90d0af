"""Steps of an application around its calls: agents and tools.

These are ledger spans only. They are never made the current OpenTelemetry span, so an application that traces
itself elsewhere sees no change; inside one, our calls hang below it, in the same trace as the application's span.
"""

from __future__ import annotations

import os
import threading
from contextvars import ContextVar
from typing import TYPE_CHECKING, Final, Literal, Self

import _spanledger_boot as switch

from . import faults, ledger, names, tagging
from .record import (
    Attributes,
    Event,
    Place,
    Record,
    Stopwatch,
    error_text,
    error_type,
    place_below,
    read_failure,
)
from .scope import Scope

if TYPE_CHECKING:
    from .guard.cache.tally import Tally

SpanKind = Literal["agent", "tool", "step"]
_OPERATIONS: Final = {
    "agent": ("invoke_agent", names.AGENT_NAME),
    "tool": ("execute_tool", names.TOOL_NAME),
}


class OpenSpan:
    """A ledger span under way."""

    __slots__ = ("attributes", "ended", "events", "name", "place", "tally", "watch")

    def __init__(self, name: str, attributes: Attributes) -> None:
        outer = current.get()
        self.name = name
        self.place: Place = place_below(outer.place if outer is not None else None)
        self.tally: Tally | None = outer.tally if outer is not None else None
        """Sums up what is spent below it, where it is part of a step whose result is kept."""
        self.watch = Stopwatch()
        self.attributes = attributes
        self.events: list[Event] = []
        self.ended = False
        """Nothing more can be put on it, though a thread or a task may still hold it."""

    def add(self, event: Event) -> bool:
        """Put an event on the span; False where it has ended."""
        with changing:
            if not self.ended:
                self.events.append(event)
            return not self.ended

    def close(self, error: BaseException | None) -> None:
        """Hand the span to the ledger."""
        ledger.add(self.record(error))
        if ledger.flushes_calls and current.get() is None:
            ledger.settle()

    def record(self, error: BaseException | None) -> Record:
        """End the span."""
        with changing:
            self.ended = True
        if error is not None:
            self.attributes[names.ERROR_TYPE] = error_type(error)
        if not self.place.parent_sampled:
            self.attributes[names.PARENT_SAMPLED] = False
        return Record(
            name=self.name,
            kind="internal",
            place=self.place,
            start_ns=self.watch.start_ns,
            end_ns=self.watch.start_ns + self.watch.elapsed_ns(),
            attributes=self.attributes,
            error=error_text(error, read_failure(error)) if error is not None else None,
            events=tuple(self.events),
            tally=self.tally,
        )


changing = threading.RLock()
"""Held by who puts something on an open span, which threads and signal handlers may share, and by who ends it."""


def _change_anew() -> None:
    global changing
    changing = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_change_anew)

current: ContextVar[OpenSpan | None] = ContextVar("spanledger_span", default=None)
"""The innermost ledger span that is open."""


def current_place() -> Place | None:
    """Return the place of the innermost open ledger span."""
    open_span = current.get()
    return open_span.place if open_span is not None else None


class span(Scope[OpenSpan | None]):
    """Record a step, an agent's run or a tool's, as a context manager or as a decorator.

    What is called inside stands below it. The tags in force when it starts are put on it. An exception that
    leaves it marks it as failed and goes on. Does nothing while switched off.
    """

    __slots__ = ("_kind", "_name", "_open")

    def __init__(self, name: str, kind: SpanKind = "agent") -> None:
        super().__init__()
        if kind not in ("agent", "tool", "step"):
            raise ValueError(f"span kind {kind!r}: expected agent, tool or step")
        self._name = name
        self._kind: SpanKind = kind
        self._open: list[OpenSpan] = []

    @property
    def variable(self) -> ContextVar[OpenSpan | None]:
        """The innermost open ledger span."""
        return current

    def again(self) -> Self:
        """Return the same step, for another call."""
        return type(self)(self._name, self._kind)

    def value(self, outer: OpenSpan | None) -> OpenSpan | None:
        """Return the span that this step opened."""
        return self._open[-1] if self._open else outer

    def begin(self) -> None:
        """Open the span."""
        try:
            if switch.on and ledger.start():
                tagging.begin_use()
                self._begin(str(self._name))
        except Exception as error:
            faults.report("span not recorded", error)

    def _begin(self, name: str) -> None:
        attributes: Attributes = {**tagging.current.get()}
        title = name
        if self._kind in _OPERATIONS:
            operation, key = _OPERATIONS[self._kind]
            attributes.update({names.OPERATION: operation, key: name})
            title = f"{operation} {name}"
        self._open.append(OpenSpan(title, attributes))

    def end(self, error: BaseException | None) -> None:
        """Close the span."""
        try:
            if self._open:
                self._open.pop().close(error)
        except Exception as fault:
            faults.report("span not recorded", fault)
