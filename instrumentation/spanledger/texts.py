"""The text in a request or an answer, as far as a model reads or writes it.

One walk for all SDKs, steered by the names of fields: it is only done for calls whose tokens nobody reported, and for a
few others to learn from, so that it may be plain. It collects references and copies nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple

MOST_HEARD: Final = 1 << 16
"""Pieces of a stream that are remembered; of a longer one, the last."""
_MOST_PLACES: Final = 1 << 17
"""Looked at in one walk: a list may hold itself, and the SDK's refusal of it must not have to wait for us."""
_ASKED: Final = (
    "system",
    "instructions",
    "systemInstruction",
    "preamble",
    "tools",
    "functions",
    "toolConfig",
    "messages",
    "contents",
    "content",
    "requests",
    "instances",
    "chat_history",
    "message",
    "input",
    "inputText",
    "prompt",
    "suffix",
    "query",
    "texts",
    "documents",
)
"""Fields of a request body that become the prompt."""
_KEPT_ELSEWHERE: Final = ("previous_response_id", "conversation", "cachedContent")
"""Fields that stand for a part of the prompt which the provider keeps."""
_ANSWERED: Final = (
    "choices",
    "output",
    "content",
    "message",
    "candidates",
    "generation",
    "generations",
    "outputs",
    "results",
    "completion",
    "text",
)
"""Fields of an answer that hold what the model wrote."""
_SILENT: Final = frozenset(
    {
        "annotations",
        "cache_control",
        "cachePoint",
        "call_id",
        "completionReason",
        "detail",
        "encrypted_content",
        "event_type",
        "finish_reason",
        "finishReason",
        "id",
        "logprobs",
        "mime_type",
        "mimeType",
        "model",
        "object",
        "p",
        "parsed",
        "role",
        "signature",
        "status",
        "stop_reason",
        "stopReason",
        "thoughtSignature",
        "tool_call_id",
        "tool_use_id",
        "toolUseId",
        "type",
        "usage",
    }
)
"""Fields whose text no model reads."""
_NO_TEXT: Final = frozenset(
    {
        "audio",
        "bytes",
        "data",
        "document",
        "file",
        "file_data",
        "file_id",
        "fileData",
        "image",
        "image_url",
        "inlineData",
        "input_audio",
        "source",
        "video",
    }
)
"""Fields with a picture, sound or file, or the place of one."""
_VERBATIM: Final = frozenset(
    {"args", "input", "input_schema", "inputSchema", "json", "parameters", "response", "schema"}
)
"""Fields that a model sees as JSON, names included."""


class Texts(NamedTuple):
    """Text that goes to a model or comes from one."""

    texts: tuple[str, ...] = ()
    token_ids: int = 0
    """Tokens given as numbers, as embeddings may be asked for."""
    messages: int = 0
    whole: bool = True
    """Nothing in it was anything else than text."""

    @property
    def size(self) -> int:
        """Bytes of UTF-8."""
        return sum(len(text) if text.isascii() else len(text.encode("utf-8", "replace")) for text in self.texts)


def asked_texts(body: Mapping[str, Any]) -> Texts:
    """Collect what a request asks a model to read."""
    found = _collect(body[key] for key in _ASKED if key in body)
    messages = next((len(body[key]) for key in ("messages", "contents") if isinstance(body.get(key), list)), 0)
    elsewhere = any(body.get(key) is not None for key in _KEPT_ELSEWHERE)
    return Texts(found.texts, found.token_ids, messages, found.whole and not elsewhere)


def answer_texts(body: object) -> tuple[str, ...]:
    """Collect what a model wrote, from a whole answer."""
    fields = _fields(body)
    return _collect(fields[key] for key in _ANSWERED if key in fields).texts if fields is not None else ()


def all_texts(part: object) -> tuple[str, ...]:
    """Collect what a model wrote, from a part of an answer that holds nothing else."""
    return _collect((part,)).texts


def _collect(places: Iterable[object]) -> Texts:
    texts: list[str] = []
    token_ids, whole = 0, True
    left = [(place, False) for place in places]
    steps = 0
    while left:
        if (steps := steps + 1) > _MOST_PLACES:
            whole = False
            break
        item, verbatim = left.pop()
        if isinstance(item, str):
            texts.append(item)
        elif isinstance(item, list | tuple):
            if item and type(item[0]) is int:
                token_ids += len(item)
            else:
                left.extend((inner, verbatim) for inner in item)
        elif isinstance(item, bytes | bytearray):
            whole = False
        elif isinstance(item, int | float):
            if verbatim:
                texts.append(str(item))
        elif (fields := _fields(item)) is not None:
            for key, inner in fields.items():
                if verbatim:
                    texts.append(str(key))
                    left.append((inner, True))
                elif key in _NO_TEXT:
                    whole = whole and inner is None
                elif key not in _SILENT:
                    left.append((inner, key in _VERBATIM and not isinstance(inner, list)))
    return Texts(tuple(texts), token_ids, whole=whole)


def _fields(value: object) -> Mapping[str, Any] | None:
    """Return the fields of parsed JSON or of an SDK's model."""
    if isinstance(value, Mapping):
        return value
    if not hasattr(type(value), "__pydantic_fields__"):
        return None  # as what an SDK puts where nothing is given
    return {**vars(value), **(getattr(value, "__pydantic_extra__", None) or {})}
