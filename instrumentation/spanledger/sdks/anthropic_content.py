"""Messages of the anthropic SDK, and of Anthropic's models on Bedrock."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from spanledger.content import Content, Part, call_part, media_part, result_part, text_part, tool_part, url_part

from .fields import get

_MODALITIES = {"image": "image", "document": "document"}
_DELTAS = {"text_delta": "text", "thinking_delta": "thinking", "input_json_delta": "partial_json"}
"""Type of a piece of a block to the field that has it."""


def read_request(content: Content, body: Mapping[str, Any]) -> None:
    """Take the messages, the system prompt and the tools."""
    content.system = _blocks(body.get("system"))
    content.inputs = [
        {"role": get(message, "role"), "parts": _blocks(get(message, "content"))}
        for message in body.get("messages") or ()
    ]
    for tool in body.get("tools") or ():
        if get(tool, "input_schema") is not None:
            content.tools.append(tool_part(get(tool, "name"), get(tool, "description"), get(tool, "input_schema")))
        else:
            content.tools.append({"type": get(tool, "type"), "name": get(tool, "name")})


def read_response(content: Content, body: object) -> None:
    """Take the answer."""
    if get(body, "content") is not None:
        parts = _blocks(get(body, "content"))
        reason = get(body, "stop_reason")
        content.outputs.append({"role": get(body, "role"), "parts": parts, "finish_reason": reason})


def hear(content: Content, event: object) -> None:
    """Take an event of a stream."""
    kind = get(event, "type")
    if kind == "message_start":
        read_response(content, get(event, "message"))
    elif kind == "content_block_start" and content.outputs:
        part = _block(get(event, "content_block"))
        for name in ("content", "arguments"):
            if name in part:
                # An empty object stands for arguments that come in pieces.
                part[name] = [part[name]] if part[name] != "{}" else []
                content.growing[get(event, "index")] = part[name]
        content.outputs[-1]["parts"].append(part)
    elif kind == "content_block_delta":
        delta = get(event, "delta")
        pieces = content.growing.get(get(event, "index"))
        field = _DELTAS.get(get(delta, "type"))
        if pieces is not None and field is not None:
            content.grow(pieces, get(delta, field))
    elif kind == "message_delta" and content.outputs:
        content.outputs[-1]["finish_reason"] = get(get(event, "delta"), "stop_reason")


def _blocks(said: object) -> list[Part]:
    if isinstance(said, str):
        return [text_part(said)]
    return [_block(block) for block in said] if isinstance(said, Iterable) else []


def _block(block: object) -> Part:
    if isinstance(block, str):
        return text_part(block)
    kind = get(block, "type")
    if kind == "text":
        return text_part(get(block, "text"))
    if kind == "thinking":
        return text_part(get(block, "thinking"), "reasoning")
    if kind in ("tool_use", "server_tool_use", "mcp_tool_use"):
        return call_part(get(block, "id"), get(block, "name"), get(block, "input"))
    if isinstance(kind, str) and kind.endswith("tool_result"):
        return result_part(get(block, "tool_use_id"), _result(get(block, "content")))
    if kind in _MODALITIES:
        return _media(_MODALITIES[kind], get(block, "source"))
    return {"type": kind}


def _result(said: object) -> object:
    """Return a tool's answer: its text, where it is nothing else."""
    if isinstance(said, str) or said is None:
        return said or ""
    parts = _blocks(said) if isinstance(said, list | tuple) else [_block(said)]
    return parts[0]["content"] if len(parts) == 1 and "content" in parts[0] else parts


def _media(modality: str, source: object) -> Part:
    kind = get(source, "type")
    if kind == "url":
        return url_part(modality, get(source, "url"))
    if kind == "text":
        return text_part(get(source, "data"))
    if kind == "file":
        return {"type": "file", "modality": modality, "file_id": get(source, "file_id")}
    return media_part(modality, get(source, "media_type"), get(source, "data"))
