"""Messages of the openai SDK: chat completions, legacy completions and responses, told apart by their fields."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
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

from .fields import get


def read_request(content: Content, body: Mapping[str, Any]) -> None:
    """Take the prompt, the instructions and the tools."""
    content.system = [text_part(body["instructions"])] if isinstance(body.get("instructions"), str) else []
    content.inputs = [_message(message) for message in body.get("messages") or ()]
    content.inputs += _items(body.get("input")) + _items(body.get("prompt"))
    for tool in body.get("tools") or ():
        defined = get(tool, "function") or tool
        name = get(defined, "name")
        if name is not None:
            content.tools.append(tool_part(name, get(defined, "description"), get(defined, "parameters")))
        else:
            content.tools.append({"type": get(tool, "type")})


def read_response(content: Content, body: object) -> None:
    """Take the choices of a completion, or the output of a response."""
    for choice in get(body, "choices") or ():
        message = get(choice, "message")
        answer = _message(message) if message is not None else _said("assistant", [text_part(get(choice, "text"))])
        content.outputs.append({**answer, "finish_reason": get(choice, "finish_reason")})
    output = get(body, "output")
    if output is not None:
        content.outputs = _items(output)
        for message in content.outputs:
            message["finish_reason"] = get(body, "status")


def hear(content: Content, event: object) -> None:
    """Take a chunk of a completion, or an event of a response: its end has all of it."""
    kind = get(event, "type")
    if kind in ("response.completed", "response.incomplete", "response.failed"):
        read_response(content, get(event, "response"))
    elif kind == "response.output_text.delta":
        message, texts = _growing(content, get(event, "item_id"))
        content.grow(_text(message, texts, "text"), get(event, "delta"))
    for choice in get(event, "choices") or ():
        _hear_choice(content, choice)


def _hear_choice(content: Content, choice: object) -> None:
    message, texts = _growing(content, get(choice, "index"))
    delta, reason = get(choice, "delta"), get(choice, "finish_reason")
    for kind, piece in (
        ("reasoning", get(delta, "reasoning_content")),
        ("text", get(delta, "content") or get(delta, "refusal") or get(choice, "text")),
    ):
        if piece:
            content.grow(_text(message, texts, kind), piece)
    for call in get(delta, "tool_calls") or ():
        function, number = get(call, "function"), get(call, "index")
        if number not in texts:
            part = call_part(get(call, "id"), get(function, "name"), "")
            part["arguments"] = texts[number] = []
            message["parts"].append(part)
        content.grow(texts[number], get(function, "arguments"))
    if reason:
        message["finish_reason"] = reason


def _growing(content: Content, place: object) -> tuple[Message, dict[object, list[str]]]:
    """Return the message at a place of a stream, and its texts by what they are."""
    if place not in content.growing:
        message: Message = {"role": "assistant", "parts": [], "finish_reason": None}
        content.growing[place] = message, {}
        content.outputs.append(message)
    found: tuple[Message, dict[object, list[str]]] = content.growing[place]
    return found


def _text(message: Message, texts: dict[object, list[str]], kind: str) -> list[str]:
    if kind not in texts:
        texts[kind] = []
        message["parts"].append(text_part(texts[kind], kind))
    return texts[kind]


def _said(role: object, parts: list[Part]) -> Message:
    return {"role": role, "parts": parts}


def _message(message: object) -> Message:
    """Read a chat message, of the application or of the model."""
    role, said = get(message, "role"), get(message, "content")
    if role in ("tool", "function"):
        return _said("tool", [result_part(get(message, "tool_call_id"), _joined(said))])
    reasoning = get(message, "reasoning_content")
    parts = [text_part(reasoning, "reasoning")] if isinstance(reasoning, str) and reasoning else []
    parts += _parts(said)
    if isinstance(get(message, "refusal"), str):
        parts.append(text_part(get(message, "refusal")))
    for call in get(message, "tool_calls") or ():
        function = get(call, "function") or get(call, "custom")
        parts.append(call_part(get(call, "id"), get(function, "name"), get(function, "arguments") or ""))
    return _said(role, parts)


def _items(items: object) -> list[Message]:
    """Read what goes into or comes out of a response; a text is a message of the user."""
    if isinstance(items, str):
        return [_said("user", [text_part(items)])]
    return [_item(item) for item in items] if isinstance(items, Iterable) else []


def _item(item: object) -> Message:
    if isinstance(item, str):
        return _said("user", [text_part(item)])
    kind, role = get(item, "type"), get(item, "role")
    if kind in (None, "message"):
        return _said(role, _parts(get(item, "content")))
    if kind == "function_call":
        return _said("assistant", [call_part(get(item, "call_id"), get(item, "name"), get(item, "arguments") or "")])
    if kind == "function_call_output":
        return _said("tool", [result_part(get(item, "call_id"), _joined(get(item, "output")))])
    if kind == "reasoning":
        return _said("assistant", [text_part(get(part, "text"), "reasoning") for part in get(item, "summary") or ()])
    return _said("assistant", [{"type": kind, "id": get(item, "id")}])


def _joined(said: object) -> object:
    """Return a tool's answer as the tool gave it: its text, where it is nothing else."""
    if isinstance(said, str):
        return said
    parts = _parts(said)
    return parts[0]["content"] if len(parts) == 1 and "content" in parts[0] else parts


def _parts(said: object) -> list[Part]:
    if isinstance(said, str):
        return [text_part(said)]
    return [_part(part) for part in said] if isinstance(said, Iterable) else []


def _part(part: object) -> Part:
    kind = get(part, "type")
    if kind in ("text", "input_text", "output_text"):
        return text_part(get(part, "text"))
    if kind == "refusal":
        return text_part(get(part, "refusal"))
    if kind in ("image_url", "input_image"):
        url = get(part, "image_url")
        return url_part("image", url if isinstance(url, str) else get(url, "url"))
    if kind == "input_audio":
        audio = get(part, "input_audio")
        return media_part("audio", f"audio/{get(audio, 'format')}", get(audio, "data"))
    if kind in ("file", "input_file"):
        file = get(part, "file") or part
        return media_part("file", None, (get(file, "file_data") or "").partition(",")[2] or None)
    return {"type": kind}
