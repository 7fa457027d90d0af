"""What a wire protocol is, for the local provider: how to read a request and write the answer.

Bodies are built as plain JSON objects and checked by the real SDKs' models in the tests, so that the provider
needs no SDK to run.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from .answers import Answer, Asked, Names, Tool
from .tokens import Segment, make_segment

JsonObject = dict[str, object]
PIECES = 6
"""A stream sends its text in so many pieces."""


@dataclass(frozen=True, slots=True)
class Event:
    """One server-sent event; `name` is empty where the protocol names none."""

    data: JsonObject | str
    name: str = ""

    def encode(self) -> bytes:
        """Return it as bytes on the wire."""
        head = f"event: {self.name}\n" if self.name else ""
        data = self.data if isinstance(self.data, str) else json.dumps(self.data)
        return f"{head}data: {data}\n\n".encode()


class Encoded(Protocol):
    """One event of a stream, in whichever framing."""

    def encode(self) -> bytes:
        """Return it as bytes on the wire."""
        ...


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One path of a protocol that answers POST."""

    path: str
    read: Callable[[Mapping[str, object]], Asked]
    make_id: Callable[[Names], str]
    body: Callable[[Answer], JsonObject]
    events: Callable[[Answer], Iterator[Encoded]]
    error: Callable[[int, str, str], JsonObject]
    """(status, message, request id) -> body."""
    request_id_header: str
    stream_type: str = "text/event-stream; charset=utf-8"
    headers: Callable[[Answer], Mapping[str, str]] | None = None
    """What the answer's headers say besides."""
    count: Callable[[int], JsonObject] | None = None
    """The body of an answer that only counts the prompt, which is free."""
    fault: Callable[[], Encoded] | None = None
    """The event by which a stream says that it failed."""


def objects(value: object) -> list[Mapping[str, object]]:
    """Return the objects of a JSON array; anything else gives none."""
    if not isinstance(value, Sequence) or isinstance(value, str):
        return []
    return [item for item in value if isinstance(item, Mapping)]


def child(value: Mapping[str, object], key: str) -> Mapping[str, object]:
    """Return the object under `key`, or an empty one."""
    inner = value.get(key)
    return inner if isinstance(inner, Mapping) else {}


def whole(value: object) -> int | None:
    """Return a whole number, or None for anything else."""
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def read_tools(body: Mapping[str, object], schema_key: str) -> tuple[Tool, ...]:
    """Read tool declarations, nested under `function` or not."""
    tools = [child(tool, "function") or tool for tool in objects(body.get("tools"))]
    return tuple(Tool(str(tool["name"]), child(tool, schema_key)) for tool in tools if "name" in tool)


def segments_of(*values: object, lasting: bool = False) -> tuple[Segment, ...]:
    """Make a segment of each value that is there; `lasting` puts a cache breakpoint behind each."""
    return tuple(make_segment(value, "1h" if lasting else None) for value in values if value)


def cut(text: str) -> list[str]:
    """Cut a text into the pieces of a stream."""
    size = max(1, -(-len(text) // PIECES))
    return [text[start : start + size] for start in range(0, len(text), size)]
