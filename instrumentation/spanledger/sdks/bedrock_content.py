"""Messages of Amazon Bedrock: Converse, and InvokeModel where the body is Anthropic's; other families are left out."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import Any

from spanledger.content import Content, Part, call_part, media_part, result_part, text_part, tool_part

from . import anthropic_content
from .fields import get

_MEDIA = ("image", "document", "video")


def read_request(content: Content, body: Mapping[str, Any]) -> None:
    """Take the messages, the system prompt and the tools."""
    if "anthropic_version" in body:
        anthropic_content.read_request(content, body)
    elif "modelId" in body:
        content.system = _blocks(body.get("system"))
        content.inputs = [
            {"role": get(message, "role"), "parts": _blocks(get(message, "content"))}
            for message in body.get("messages") or ()
        ]
        for tool in get(body.get("toolConfig"), "tools") or ():
            defined = get(tool, "toolSpec")
            schema = get(get(defined, "inputSchema"), "json")
            content.tools.append(tool_part(get(defined, "name"), get(defined, "description"), schema))


def read_response(content: Content, body: object) -> None:
    """Take the answer."""
    message = get(get(body, "output"), "message")
    if message is not None:
        parts, reason = _blocks(get(message, "content")), get(body, "stopReason")
        content.outputs.append({"role": get(message, "role"), "parts": parts, "finish_reason": reason})
    elif get(body, "type") == "message":
        anthropic_content.read_response(content, body)


def hear(content: Content, event: Any) -> None:
    """Take a message of an event stream."""
    kind = event.headers.get(":event-type")
    if kind == "chunk":
        anthropic_content.hear(content, json.loads(base64.b64decode(json.loads(event.payload)["bytes"])))
    elif kind in ("contentBlockStart", "contentBlockDelta", "messageStop"):
        _hear_converse(content, kind, json.loads(event.payload))


def _hear_converse(content: Content, kind: str, said: Mapping[str, Any]) -> None:
    if not content.outputs:
        content.outputs.append({"role": "assistant", "parts": [], "finish_reason": None})
    message, place = content.outputs[0], said.get("contentBlockIndex")
    if kind == "messageStop":
        message["finish_reason"] = said.get("stopReason")
        return
    tool = get(said.get("start"), "toolUse")
    if tool is not None:
        part = call_part(get(tool, "toolUseId"), get(tool, "name"), "")
        part["arguments"] = content.growing[place] = []
        message["parts"].append(part)
        return
    delta = said.get("delta")
    thought = get(get(delta, "reasoningContent"), "text")
    if place not in content.growing:
        content.growing[place] = []
        message["parts"].append(text_part(content.growing[place], "text" if thought is None else "reasoning"))
    piece = get(delta, "text") or thought or get(get(delta, "toolUse"), "input")
    content.grow(content.growing[place], piece)


def _blocks(said: object) -> list[Part]:
    return [_block(block) for block in said] if isinstance(said, list | tuple) else []


def _block(block: object) -> Part:
    called, answered = get(block, "toolUse"), get(block, "toolResult")
    if called is not None:
        return call_part(get(called, "toolUseId"), get(called, "name"), get(called, "input"))
    if answered is not None:
        parts = _blocks(get(answered, "content"))
        only = parts[0].get("content") if len(parts) == 1 else None
        return result_part(get(answered, "toolUseId"), only if only is not None else parts)
    for modality in _MEDIA:
        media = get(block, modality)
        if media is not None:
            return media_part(modality, get(media, "format"), get(get(media, "source"), "bytes"))
    thought = get(get(get(block, "reasoningContent"), "reasoningText"), "text")
    if thought is not None:
        return text_part(thought, "reasoning")
    said = get(block, "text")
    if said is None and get(block, "json") is not None:
        return {"type": "json", "content": json.dumps(get(block, "json"), default=str)}
    return (
        text_part(said) if said is not None else {"type": next(iter(block), None) if isinstance(block, dict) else None}
    )
