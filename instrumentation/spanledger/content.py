"""What a call said and heard, where OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT asks for it; off by default.

The application's thread only takes a picture: messages as parts in the shape of OpenTelemetry's GenAI conventions,
whose texts are the application's own strings, because it may change its lists before the span is sent. Redaction,
bounds and JSON come later, in `redaction`, on the ledger's thread. Media are never kept, only their type and size.
"""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final, Protocol, TypeAlias, cast

from . import faults
from .sdk import Endpoint, Request, Sdk
from .settings import Settings

Part: TypeAlias = dict[str, Any]
"""A part of a message; a text that is still growing is a list of its pieces."""
Message: TypeAlias = dict[str, Any]
"""Role and parts; of an answer, also why it ended."""
Listen: TypeAlias = Callable[[Sdk, Request], "tuple[Content | None, Endpoint]"]

MOST_IN_A_BATCH: Final = 16
"""Spans that are sent at once: those with content are long, and a collector takes bodies of some length only."""
MAX_HEARD_CHARACTERS: Final = 1024 * 1024
"""What a stream may add up to before it is cut."""
_OPERATIONS: Final = frozenset({"chat", "text_completion", "generate_content"})
_READERS: Final = {
    "anthropic": "anthropic_content",
    "aws.bedrock": "bedrock_content",
    "gcp.gemini": "google_content",
    "openai": "openai_content",
}
"""Provider of an SDK to the module of `sdks` that reads its messages."""
_OFF: Final = frozenset({"", "no_content", "event_only", "false", "0", "no", "off"})
_ON: Final = frozenset({"span_only", "span_and_event", "true", "1", "yes", "on"})


@dataclass(slots=True)
class Content:
    """The messages of one call."""

    system: list[Part] = field(default_factory=list)
    inputs: list[Message] = field(default_factory=list)
    outputs: list[Message] = field(default_factory=list)
    tools: list[Part] = field(default_factory=list)
    growing: dict[object, Any] = field(default_factory=dict)
    """Messages and parts of a stream by their place in it."""
    _room: int = MAX_HEARD_CHARACTERS

    def grow(self, pieces: list[str], piece: object) -> None:
        """Add a piece of a stream to a text."""
        if isinstance(piece, str) and self._room > 0:
            self._room -= len(piece)
            pieces.append(piece)


class _Reader(Protocol):
    """What a module that reads messages has."""

    def read_request(self, content: Content, body: Mapping[str, Any]) -> None:
        """Take what the application says."""

    def read_response(self, content: Content, body: object) -> None:
        """Take a whole answer."""

    def hear(self, content: Content, event: object) -> None:
        """Take an event of a stream."""


def is_wanted(word: str) -> bool:
    """Tell whether spans are to have content; what OpenTelemetry has as events only is nothing here."""
    word = word.strip().lower()
    if word == "event_only" or word not in _OFF | _ON:
        faults.report("content not captured", f"{word!r} is none of span_only, span_and_event, true", expected=True)
    return word in _ON


def prepare(settings: Settings) -> tuple[Listen | None, Settings]:
    """Return what takes the messages of a call, or None where none are wanted, and the settings to send them by."""
    if not is_wanted(settings.capture_content):
        return None, settings
    return listen, replace(settings, batch_size=min(settings.batch_size, MOST_IN_A_BATCH))


def listen(sdk: Sdk, request: Request) -> tuple[Content | None, Endpoint]:
    """Take the request's messages; return what will hold those of the answer, and an endpoint that takes them."""
    endpoint, home = request.endpoint, _READERS.get(sdk.provider)
    if home is None or endpoint.operation not in _OPERATIONS:
        return None, endpoint
    content = Content()
    try:
        reader = cast(_Reader, importlib.import_module(f".sdks.{home}", __package__))
        reader.read_request(content, request.body)
    except Exception as error:
        faults.report("content not captured", error)
        return None, endpoint
    return content, _listening(endpoint, content, reader)


def _listening(endpoint: Endpoint, content: Content, reader: _Reader) -> Endpoint:
    taken: object = None

    def read(facts: Any, body: object) -> None:
        _take(reader.read_response, content, body)
        endpoint.read(facts, body)

    def take(event: object) -> None:
        nonlocal taken
        if event is not taken:
            taken = event
            _take(reader.hear, content, event)

    def piece(event: object) -> str | None:
        # An event comes by here first, and by `hear` only if it is more than a piece of text.
        take(event)
        return endpoint.piece(event)

    def hear(facts: Any, event: object) -> None:
        take(event)
        endpoint.hear(facts, event)

    return replace(endpoint, read=read, piece=piece, hear=hear)


def _take(step: Any, content: Content, body: object) -> None:
    try:
        step(content, body)
    except Exception as error:
        faults.report("content of an answer not captured", error)


def text_part(text: object, kind: str = "text") -> Part:
    """Make a part of text."""
    return {"type": kind, "content": text if isinstance(text, str | list) else ""}


def media_part(modality: str, mime_type: object, data: object) -> Part:
    """Make a part that stands for media: its type and its size, never itself."""
    return {
        "type": "blob",
        "modality": modality,
        "mime_type": mime_type if isinstance(mime_type, str) else None,
        "size": _size(data),
    }


def url_part(modality: str, url: object) -> Part:
    """Make a part of media that a URL names, or holds."""
    if isinstance(url, str) and url.startswith("data:"):
        kind, _, data = url[5:].partition(",")
        return media_part(modality, kind.partition(";")[0] or None, data)
    return {"type": "uri", "modality": modality, "uri": url if isinstance(url, str) else ""}


def call_part(number: object, name: object, arguments: object) -> Part:
    """Make a part of a tool's call."""
    return {"type": "tool_call", "id": number, "name": name, "arguments": as_text(arguments)}


def result_part(number: object, response: object) -> Part:
    """Make a part of a tool's answer."""
    return {"type": "tool_call_response", "id": number, "response": as_text(response)}


def tool_part(name: object, description: object, parameters: object) -> Part:
    """Make the definition of a function."""
    return {
        "type": "function",
        "name": name,
        "description": description if isinstance(description, str) else "",
        "parameters": as_text(parameters),
    }


def as_text(value: object) -> str | list[str]:
    """Return a text as it is, and anything else as JSON, without the media in it."""
    if isinstance(value, str):
        return value
    return json.dumps(_plain(value), default=_named, ensure_ascii=False)


def _plain(value: object) -> object:
    """Return a value without what it has of media: bytes, and fields that hold such in base64."""
    if isinstance(value, Mapping):
        kept = {str(key): _plain(inner) for key, inner in value.items()}
        for key in ("data", "bytes", "file_data"):
            if isinstance(kept.get(key), str):
                kept[key] = f"({_size(value.get(key))} bytes)"
        return kept
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    if isinstance(value, bytes | bytearray | memoryview):
        return f"({len(value)} bytes)"
    if isinstance(value, str) and value.startswith("data:") and ";base64," in value[:200]:
        return f"({_size(value.partition(',')[2])} bytes)"
    return value


def _named(value: object) -> object:
    dump = getattr(value, "model_dump", None)
    return _plain(dump(mode="json")) if callable(dump) else f"({type(value).__name__})"


def _size(data: object) -> int | None:
    """Return the bytes of media, given as they are or in base64."""
    if isinstance(data, str):
        return len(data) * 3 // 4 - data[-2:].count("=")
    return len(data) if isinstance(data, bytes | bytearray | memoryview) else None
