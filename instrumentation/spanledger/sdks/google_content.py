"""Contents of the google-genai SDK: the bodies of its HTTP client, whole or one event of a stream at a time."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from spanledger.content import (
    Content,
    Message,
    Part,
    call_part,
    media_part,
    result_part,
    text_part,
    tool_part,
    url_part,
)

from .fields import get, text


def read_request(content: Content, body: Mapping[str, Any]) -> None:
    """Take the contents, the system instruction and the tools."""
    content.system = _parts(body.get("systemInstruction"))
    content.inputs = [
        {"role": get(said, "role") or "user", "parts": _parts(said)} for said in body.get("contents") or ()
    ]
    for tool in body.get("tools") or ():
        functions = get(tool, "functionDeclarations")
        if functions is None:
            content.tools += [{"type": name} for name in tool]
        for function in functions or ():
            schema = get(function, "parameters") or get(function, "parametersJsonSchema")
            content.tools.append(tool_part(get(function, "name"), get(function, "description"), schema))


def read_response(content: Content, body: object) -> None:
    """Take the candidates."""
    for candidate in _candidates(body):
        content.outputs.append(_answer(candidate))


def hear(content: Content, event: object) -> None:
    """Take what a stream adds to the candidates."""
    for candidate in _candidates(event):
        place, new = get(candidate, "index") or 0, _answer(candidate)
        message: Message | None = content.growing.get(place)
        if message is None:
            message = content.growing[place] = {**new, "parts": []}
            content.outputs.append(message)
        message["finish_reason"] = new["finish_reason"] or message["finish_reason"]
        for part in new["parts"]:
            _add(content, message["parts"], part)


def _add(content: Content, parts: list[Part], part: Part) -> None:
    if not isinstance(part.get("content"), str):
        parts.append(part)
        return
    if not parts or parts[-1]["type"] != part["type"]:
        parts.append(text_part([], part["type"]))
    content.grow(parts[-1]["content"], part["content"])


def _candidates(response: object) -> list[Any]:
    body = text(response, "body")
    return get(json.loads(body), "candidates") or [] if body else []


def _answer(candidate: object) -> Message:
    reason = text(candidate, "finishReason")
    said = get(candidate, "content")
    return {"role": "assistant", "parts": _parts(said), "finish_reason": reason.lower() if reason else None}


def _parts(said: object) -> list[Part]:
    return [_part(part) for part in get(said, "parts") or ()]


def _part(part: object) -> Part:
    called, answered = get(part, "functionCall"), get(part, "functionResponse")
    if called is not None:
        return call_part(get(called, "id"), get(called, "name"), get(called, "args") or {})
    if answered is not None:
        return result_part(get(answered, "id") or get(answered, "name"), get(answered, "response"))
    data, file = get(part, "inlineData"), get(part, "fileData")
    if data is not None:
        kind = _either(data, "mimeType", "mime_type")
        return media_part(_modality(kind), kind, get(data, "data"))
    if file is not None:
        return url_part(_modality(_either(file, "mimeType", "mime_type")), _either(file, "fileUri", "file_uri"))
    return text_part(get(part, "text"), "reasoning" if get(part, "thought") else "text")


def _either(body: object, wire: str, own: str) -> Any:
    """Return a field that the SDK leaves under the name that it has in Python."""
    value = get(body, wire)
    return value if value is not None else get(body, own)


def _modality(mime_type: object) -> str:
    kind = mime_type.partition("/")[0] if isinstance(mime_type, str) else ""
    return kind if kind in ("image", "audio", "video") else "document"
