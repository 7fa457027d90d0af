"""Where a prompt and its parts stand in the body of a request, whatever SDK makes it, and what they read as.

A body is described by the names of its parts only; all SDKs' messages are alike enough to be read by one reader.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from .canonical import ABSENT_TYPES, CACHE_MARKERS, PLAIN, SYSTEM_HEAD, Message, Reader, fields_of, is_absent

_IGNORED: Final = frozenset(
    {
        *("model", "modelId", "stream", "stream_options", "timeout", "type", "event_id"),
        *("user", "metadata", "requestMetadata", "labels", "safety_identifier", "store", "background"),
        *("service_tier", "serviceTier", "speed", "inference_geo", "performanceConfig"),
        *("cache_control", "prompt_cache_key", "prompt_cache_retention", "prompt_cache_options"),
    }
)
"""Parameters that don't decide what is answered, but who asks, where, how fast, and what is kept of it."""


_LISTS: Final = (list, tuple)
_FLAT: Final = frozenset({bool, float, int, str, type(None)})
_not_given: Final[set[type]] = {type(None)}
"""The SDKs' types for a parameter that is absent, as far as they have been met."""


@dataclass(frozen=True, slots=True)
class Layout:
    """The names that the parts of a prompt have in the body of a request."""

    messages: str | None = None
    """None: a body that has no parts."""
    system: str | None = None
    tools: str | None = None
    elsewhere: tuple[str, ...] = ()
    """Parameters by which a request continues a conversation that the provider has kept."""
    not_settings: frozenset[str] = field(init=False)

    def __post_init__(self) -> None:
        parts = {name for name in (self.messages, self.system, self.tools) if name}
        object.__setattr__(self, "not_settings", _IGNORED | parts)


WHOLE: Final = Layout()


class Prompt(NamedTuple):
    """The parts of a request, read; what it does not have is empty."""

    tools_data: bytes
    """Definitions, without cache markers."""
    system_data: bytes
    """The system prompt, and messages of the system that come before all others."""
    system_size: int
    messages: list[Message]
    """Without those."""
    message_count: int
    """With them, as sent."""
    settings: bytes
    """Parameters that decide what is answered."""
    continues: bytes
    """The conversation that the provider has kept, and this request continues."""
    length: int
    """Characters that were read."""
    user_text: str
    """Of the last message by the user, where it was asked for."""


def read_prompt(layout: Layout, body: Mapping[str, Any], *, with_user_text: bool = False) -> Prompt | bytes:
    """Return the parts of a body, or all of it in canonical form where it is no conversation."""
    reader = Reader()
    messages: Any = None if layout.messages is None else body.get(layout.messages)
    if type(messages) is str:
        messages = ({"role": "user", "content": messages},)
    elif not _is_conversation(messages):
        return reader.plain(_settings(WHOLE, body))[0]
    # Most requests have neither, and each step that they need not go is felt: this runs for every call.
    tools = None if layout.tools is None else body.get(layout.tools)
    tools = None if tools is None else _tools(tools)
    system = None if layout.system is None else body.get(layout.system)
    data, size = (b"", 0) if system is None or is_absent(system) else reader.content(system)[:2]
    read = [reader.message(message) for message in messages]
    count = len(read)
    while read and read[0].role == "system":
        first = read.pop(0)
        data += first.data.removeprefix(SYSTEM_HEAD)
        size += first.size
    settings = _settings(layout, body)
    return Prompt(
        reader.definition(tools) if tools else b"",
        data,
        size,
        read,
        count,
        reader.definition(settings) if settings else b"",
        _continues(reader, layout, body) if layout.elsewhere else b"",
        reader.length,
        user_text(layout, body) if with_user_text else "",
    )


def copy_flat(layout: Layout, body: Mapping[str, Any], most: int) -> dict[str, Any] | None:
    """Copy a body of plain values and messages of text, as most are, so that it can be read later.

    None where there is more in it, that the application could change meanwhile, or more than `most` characters.
    """
    copy = dict(body)
    messages = copy.get(layout.messages) if layout.messages is not None else None
    if type(messages) is not list:
        return None
    kept: list[dict[str, Any]] = []
    copy[layout.messages or ""] = None
    length = _flat_length(copy)
    for message in messages:
        if length is None or length > most or type(message) is not dict:
            return None
        kept.append(message.copy())
        added = _flat_length(message)
        length = None if added is None else length + added
    copy[layout.messages or ""] = kept
    return None if length is None or length > most else copy


def _flat_length(fields: dict[str, Any]) -> int | None:
    length = 0
    for value in fields.values():
        kind = type(value)
        if kind is str:
            length += len(value)
        elif kind not in _FLAT and kind not in _not_given:
            if kind.__name__ not in ABSENT_TYPES:
                return None
            _not_given.add(kind)
    return length


def count_tools(tools: object) -> int:
    """Count definitions: Gemini has several in one tool, Bedrock has its list in a field, and cache markers in that."""
    fields = fields_of(tools)
    listed = tools if fields is None else fields.get("tools")
    count = 0
    for tool in listed if isinstance(listed, list | tuple) else ():
        inside = fields_of(tool) or {}
        declared = inside.get("functionDeclarations")
        count += len(declared) if isinstance(declared, list | tuple) else "cachePoint" not in inside
    return count


def user_text(layout: Layout, body: Mapping[str, Any]) -> str:
    """Return the text of the last message by the user; empty where there is none."""
    messages = body.get(layout.messages) if layout.messages is not None else None
    if isinstance(messages, str):
        return messages
    for message in reversed(messages) if isinstance(messages, list | tuple) else ():
        fields = fields_of(message)
        if fields is None or fields.get("role", "user") == "user":
            text = _text(message if fields is None else fields.get("content") or fields.get("parts"))
            if text:
                return text
    return ""


def _text(content: object) -> str:
    if isinstance(content, str):
        return content
    blocks = content if isinstance(content, list | tuple) else ()
    found = (block if isinstance(block, str) else (fields_of(block) or {}).get("text") for block in blocks)
    return "\n".join(text for text in found if isinstance(text, str))


def _is_conversation(messages: Any) -> bool:
    """Whether this is a list of messages: no list of texts or tokens, and nothing that can be read only once."""
    if type(messages) is not list and not isinstance(messages, _LISTS):
        return False
    return bool(messages) and (type(messages[0]) is dict or fields_of(messages[0]) is not None)


def _settings(layout: Layout, body: Mapping[str, Any]) -> dict[str, Any]:
    apart = layout.not_settings
    # Of all that they could say, the SDKs themselves fill in most with "not given".
    names = [name for name, value in body.items() if name not in apart and type(value) not in _not_given]
    if len(names) > 1:
        names.sort()
    return {name: value for name in names if type(value := body[name]) in PLAIN or not is_absent(value)}


def _continues(reader: Reader, layout: Layout, body: Mapping[str, Any]) -> bytes:
    kept = {name: body[name] for name in layout.elsewhere if body.get(name)}
    return reader.definition(kept) if kept else b""


def _tools(tools: object) -> object:
    """Return definitions without cache markers; None where there are none."""
    if is_absent(tools):
        return None
    if not isinstance(tools, list | tuple):
        return tools
    plain = [fields_of(tool) or tool for tool in tools]
    return [
        {key: value for key, value in tool.items() if key not in CACHE_MARKERS}
        if type(tool) is dict and not CACHE_MARKERS.isdisjoint(tool)
        else tool
        for tool in plain
    ]
