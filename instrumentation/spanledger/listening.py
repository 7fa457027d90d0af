"""Who is told about a stream or a body that the application reads, and what looks at its bytes.

A call is told about its own; what waits for an answer that is charged elsewhere is told without being a call.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, Protocol

from . import faults


class Listener(Protocol):
    """Is told how the reading goes."""

    stream: bool
    inside: bool
    """The application is waiting for the next event."""

    @property
    def answers_in(self) -> Literal["json", "text", "bytes"]:
        """What a body may be besides JSON."""
        ...

    @property
    def hides_usage(self) -> bool:
        """Whether an event may have to be held back."""
        ...

    def hear(self, event: object) -> bool:
        """Take one event; False if the application must not see it."""
        ...

    def read(self, body: object) -> None:
        """Take a whole body."""
        ...

    def finish(self) -> None:
        """Note the end."""
        ...

    def leave(self, error: BaseException) -> None:
        """End because of what came instead of the next event: its end, or an exception."""
        ...

    def fail(self, error: BaseException) -> None:
        """Note the exception that the application gets."""
        ...

    def closed(self) -> None:
        """Note that the application closed the stream."""
        ...

    def abandoned(self) -> None:
        """Note that nobody holds the stream any more."""
        ...

    def remember(self) -> None:
        """Note that a stream is being read."""
        ...


class Reader(Protocol):
    """Reads decoded bytes as they pass."""

    def feed(self, data: bytes) -> bytes:
        """Take bytes in; return what the application may have now."""
        ...

    def end(self) -> bytes:
        """Return what is still held back; the body is over."""
        ...


class Bystander:
    """Listens to a stream, or waits for a body, that is no call of its own."""

    answers_in: Literal["json", "text", "bytes"] = "json"
    hides_usage = False

    def __init__(self, take: Callable[[object], None], *, stream: bool) -> None:
        self._take = take
        self.stream = stream
        self.inside = False

    def hear(self, event: object) -> bool:
        """Take an event; the application may see all of them."""
        self.read(event)
        return True

    def read(self, body: object) -> None:
        """Take a whole body."""
        try:
            self._take(body)
        except Exception as error:
            faults.report("an answer made in the background is not recorded", error)

    def finish(self) -> None:
        """Do nothing: there is no span to end."""

    def fail(self, error: BaseException) -> None:
        """Do nothing."""

    leave = fail
    closed = abandoned = remember = finish
