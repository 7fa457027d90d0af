"""The parts of a prompt in canonical bytes: equal where an exact-match cache would find them equal.

What providers treat alike reads alike: text given as such or as the one block of a list, a plain dictionary or a model
of the SDK, a field that is absent or empty, a cache marker that is there or not. Nothing of the application's is
changed or consumed. The order of fields counts, as it does for the caches of providers. Of what is very long, samples
are read: its length, both ends, and characters in between. What is no text is written by `marshal`, in a version of its
format that never changes, because that takes a tenth of the time that JSON takes.
"""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import blake2b
from marshal import dumps
from typing import Any, Final, NamedTuple

TEXT_LIMIT: Final = 1 << 20
"""Characters of text that are read whole in one request: a millisecond's work, and a quarter of a million tokens."""
DATA_LIMIT: Final = 1 << 16
"""The same for one string that is no text, as pictures and sound in base64 are."""
_SAMPLE: Final = 8192
_SHORT: Final = 1024

_ROLES: Final = {
    "user": "user",
    "assistant": "assistant",
    "model": "assistant",
    "system": "system",
    "developer": "system",
    "tool": "tool",
    "function": "tool",
}
SYSTEM_HEAD: Final = b"m6:system"
"""What the data of a message of the system begins with."""
_HEADS: Final = {role: b"m%d:%bt" % (len(same), same.encode()) for role, same in _ROLES.items()}
_RESULTS: Final = frozenset({"toolResult", "functionResponse"})
CACHE_MARKERS: Final = frozenset({"cache_control", "cachePoint"})
_READ_APART: Final = frozenset({"role", "content", "parts", *CACHE_MARKERS})
ABSENT_TYPES: Final = frozenset({"NoneType", "Omit", "NotGiven"})
_LISTS: Final = (list, tuple)
PLAIN: Final = frozenset({str, int, float, bool})
_NUMBERS: Final = frozenset({int, float, bool})
_FORMAT: Final = 2
"""Of marshal: the last one that writes equal values as equal bytes."""


class Message(NamedTuple):
    """One message, read."""

    role: str
    """user, assistant, system, tool, or as the application has it."""
    data: bytes
    """All of it, in canonical form."""
    size: int
    """Bytes of its content; of what is no text, about those of its JSON."""
    results_size: int
    """How many of those are results of tools."""


class Reader:
    """Reads the parts of one request, and keeps account of how much of it was read."""

    __slots__ = ("_cut", "_left")

    def __init__(self) -> None:
        self._left = TEXT_LIMIT
        self._cut = 0
        """Bytes that were sampled instead of written."""

    @property
    def length(self) -> int:
        """Characters of text that were read."""
        return TEXT_LIMIT - self._left

    def message(self, message: object) -> Message:
        """Read one message of a conversation."""
        if type(message) is dict and len(message) == 2:
            content, role = message.get("content"), message.get("role")
            # Nearly every message is like this.
            if type(content) is str and type(role) is str and role in _HEADS:
                data, size = self._text(content)
                return Message(_ROLES[role], b"%b%d:%b" % (_HEADS[role], len(data), data), size, 0)
        return self._any_message(message)

    def content(self, content: object) -> tuple[bytes, int, int]:
        """Read text or a list of blocks: canonical bytes, size, and the size of results of tools in it."""
        if type(content) is str:
            data, size = self._text(content)
            return b"t%d:%b" % (len(data), data), size, 0
        fields = None if type(content) in _LISTS else fields_of(content)
        if fields is not None:
            content = fields.get("parts", (fields,))
        blocks: Any = content if isinstance(content, _LISTS) else (content,)
        frames, size, results = [], 0, 0
        for block in blocks:
            frame, length, is_result = self._block(block)
            frames.append(frame)
            size += length
            results += length if is_result else 0
        return b"".join(frames), size, results

    def definition(self, value: Any) -> bytes:
        """Write tools or parameters as they are: they hold no data, and all about them counts."""
        try:
            return dumps(value, _FORMAT)
        except ValueError:  # something besides dictionaries, lists, text and numbers
            return self.plain(value)[0]

    def plain(self, value: object) -> tuple[bytes, int]:
        """Write anything: canonical bytes, and their number had nothing been sampled."""
        self._cut = 0
        data = dumps(self._plain(value), _FORMAT)
        return data, len(data) + self._cut

    def _any_message(self, message: object) -> Message:
        fields = fields_of(message)
        if fields is None:
            data, size, results = self.content(message)
            return Message("user", b"m4:user" + data, size, results)
        role = _role(fields)
        data, size, results = self.content(fields.get("content") or fields.get("parts") or ())
        name = role.encode("utf-8", "surrogatepass")
        data = b"m%d:%b%b" % (len(name), name, data)
        more = {key: value for key, value in fields.items() if key not in _READ_APART and not is_absent(value)}
        if more.get("type") == "message":
            del more["type"]
        if more:
            rest, length = self.plain(more)
            data += b"x%d:%b" % (len(rest), rest)
            # An item that has no content is all in its other fields.
            size += length if "role" not in fields or "tool_calls" in more else 0
        return Message(role, data, size, size if role == "tool" else results)

    def _block(self, block: object) -> tuple[bytes, int, bool]:
        fields = None if type(block) is str else fields_of(block)
        text = block if fields is None else _only_text(fields)
        if type(text) is str:
            data, size = self._text(text)
            return b"t%d:%b" % (len(data), data), size, False
        if fields is not None and CACHE_MARKERS.issuperset(fields):
            return b"", 0, False
        data, size = self.plain(block if fields is None else fields)
        is_result = fields is not None and (fields.get("type") == "tool_result" or not _RESULTS.isdisjoint(fields))
        return b"j%d:%b" % (len(data), data), size, is_result

    def _text(self, text: str) -> tuple[bytes, int]:
        length = len(text)
        if length > self._left and length > _SHORT:
            return _sampled(text)
        self._left -= length
        data = text.encode("utf-8", "surrogatepass")
        return data, len(data)

    def _plain(self, value: Any) -> Any:
        kind = type(value)
        if kind is str:
            return self._plain_text(value)
        if kind is list or kind is tuple:
            return list(value) if value and type(value[0]) is int else [self._plain(item) for item in value]
        if kind in _NUMBERS or value is None:
            return value
        fields = fields_of(value)
        if fields is not None:
            return {
                key if type(key) is str else str(key): self._plain(item)
                for key, item in fields.items()
                if key not in CACHE_MARKERS and not is_absent(item)
            }
        return self._plain_oddity(value)

    def _plain_oddity(self, value: object) -> str:
        if isinstance(value, bytes | bytearray):
            return self._in_short(_sampled_bytes(value), len(value))
        if isinstance(value, str):
            return self._plain_text(str.__str__(value))
        return repr(value) if isinstance(value, int | float) else f"<{type(value).__qualname__}>"

    def _plain_text(self, text: str) -> str:
        length = len(text)
        if length <= _SHORT:
            self._left -= length
            return text
        # What is no text, such as base64, has no spaces.
        if length <= self._left and (length <= DATA_LIMIT or " " in text[:_SHORT]):
            self._left -= length
            return text
        return self._in_short(*_sampled(text))

    def _in_short(self, data: bytes, size: int) -> str:
        short = f"<{size}:{blake2b(data, digest_size=16).hexdigest()}>"
        self._cut += size - len(short)
        return short


def _sampled(text: str) -> tuple[bytes, int]:
    """Return samples of a long text, with its length, and its size in UTF-8 (reckoned from the samples)."""
    length = len(text)
    spread = text[:: length // _SAMPLE | 1]  # odd, so as not to step along with what repeats
    data = f"{text[:_SAMPLE]}{text[-_SAMPLE:]}{spread}".encode("utf-8", "surrogatepass")
    letters = min(length, _SAMPLE) * 2 + len(spread)
    return b"%d:%b" % (length, data), length * len(data) // letters


def _sampled_bytes(data: bytes | bytearray) -> bytes:
    length = len(data)
    if length <= DATA_LIMIT:
        return bytes(data)
    return b"".join((b"%d:" % length, data[:_SAMPLE], data[-_SAMPLE:], data[:: length // _SAMPLE | 1]))


def fields_of(value: object) -> dict[Any, Any] | None:
    """Return the fields of a dictionary or of a model of an SDK; None where it is neither."""
    if type(value) is dict:
        return value
    if isinstance(value, Mapping):
        return dict(value)
    if not hasattr(type(value), "__pydantic_fields__") and not hasattr(type(value), "__fields__"):
        return None
    more = getattr(value, "__pydantic_extra__", None)
    return {**vars(value), **more} if more else vars(value)


def _role(fields: Mapping[Any, Any]) -> str:
    role = fields.get("role")
    if isinstance(role, str):
        return _ROLES.get(role, role)
    kind = fields.get("type")
    if isinstance(kind, str):
        # Items of OpenAI's responses: those with an output answer a call, all others come from the model.
        return "tool" if kind.endswith("_output") else "assistant"
    return "user"


def _only_text(block: Mapping[Any, Any]) -> str | None:
    """Return the text of a block that has nothing else to say."""
    text = block.get("text")
    if not isinstance(text, str):
        return None
    for key, value in block.items():
        if key not in ("text", "type", "cache_control") and not is_absent(value):
            return None
    return str.__str__(text)


def is_absent(value: object) -> bool:
    """Whether a field might as well not be there."""
    kind = type(value)
    if kind in PLAIN:
        return False
    return not value if kind in _LISTS or kind is dict else kind.__name__ in ABSENT_TYPES
