"""What may leave of captured messages: redacted by the user's function, bounded, as JSON text.

Redaction comes first, because half of a secret at the end of a cut text would not be recognised. Where the function
fails, nothing of the content leaves. All of it runs on the ledger's thread.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Any, Final, TypeAlias

from . import faults, names
from .content import Content, Message, Part
from .record import Attributes

Redact: TypeAlias = Callable[[str], str | None]
"""Returns what may leave of a text; None for nothing of it."""

MAX_TEXT_CHARACTERS: Final = 64 * 1024
MAX_SPAN_CHARACTERS: Final = 256 * 1024
MAX_MESSAGES: Final = 1000
MAX_NAME_CHARACTERS: Final = 256
_TEXTS: Final = frozenset({"content", "uri", "arguments", "response", "description", "parameters"})
"""Fields of a part that hold text; any other is a short word."""
_STRUCTURED: Final = frozenset({"arguments", "response", "parameters"})

redact: Redact | None = None
"""The user's function, set by `spanledger.configure`."""


def content_attributes(content: Content) -> Attributes:
    """Return a call's messages as attributes; the answer goes first, then the end of the prompt."""
    room = _Room()
    try:
        outputs = room.messages(content.outputs)
        system = room.parts(content.system)
        inputs = room.messages(content.inputs)
        tools = room.parts(content.tools)
    except Exception as error:
        # Its words may be those of the prompt.
        faults.report("content not captured, the redacting function failed", type(error).__name__, expected=True)
        return {}
    found = {
        names.INPUT_MESSAGES: inputs,
        names.OUTPUT_MESSAGES: outputs,
        names.SYSTEM_INSTRUCTIONS: system,
        names.TOOL_DEFINITIONS: tools,
    }
    return {name: _json(value) for name, value in found.items() if value}


class _Room:
    """What is left of the characters that a span may have."""

    def __init__(self) -> None:
        self._left = MAX_SPAN_CHARACTERS

    def messages(self, messages: list[Message]) -> list[Message]:
        """Return messages in their order; the latest have the first claim on the room."""
        kept = messages[-MAX_MESSAGES:]
        done = [{**message, "parts": self.parts(message["parts"])} for message in reversed(kept)]
        done.reverse()
        beyond = len(messages) - len(kept)
        if beyond:
            note = {"type": "text", "content": f"({beyond} earlier messages left out)"}
            done.insert(0, {"role": "system", "parts": [note]})
        return done

    def parts(self, parts: Iterable[Part]) -> list[Part]:
        """Return parts with their texts redacted and cut."""
        return [{name: self._value(name, value) for name, value in part.items()} for part in parts]

    def _value(self, name: str, value: Any) -> Any:
        if isinstance(value, list):
            value = "".join(value)
        if not isinstance(value, str):
            return value
        if name not in _TEXTS:
            return value[:MAX_NAME_CHARACTERS]
        text = _redacted(value)
        return self._cut(text, name in _STRUCTURED) if text is not None else None

    def _cut(self, text: str, structured: bool) -> Any:
        most = min(MAX_TEXT_CHARACTERS, self._left)
        self._left -= min(len(text), most)
        if len(text) > most:
            return f"{text[:most]}… ({len(text) - most} more characters)"
        if structured and text[:1] in ("{", "["):
            try:
                return json.loads(text)
            except ValueError:
                return text
        return text


def _redacted(text: str) -> str | None:
    if redact is None or not text:
        return text
    left = redact(text)
    if left is not None and not isinstance(left, str):
        raise TypeError(f"expected text or None, not {type(left).__name__}")
    return left


def _json(value: object) -> str:
    # Half a surrogate pair, as bad input has it, cannot go on the wire.
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace").decode("utf-8")
