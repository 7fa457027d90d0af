"""Anthropic's Messages on the wire. Its input_tokens leave out what was read from or written to the cache."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping

from spanledger.usage import Usage

from .answers import Answer, Asked, Names
from .tokens import Segment, Ttl, make_segment
from .wire import Endpoint, Event, JsonObject, child, cut, objects, read_tools, whole

_FINISH = {"stop": "end_turn", "tool": "tool_use", "length": "max_tokens"}
_ERROR_KINDS = {
    400: "invalid_request_error",
    401: "authentication_error",
    404: "not_found_error",
    429: "rate_limit_error",
    529: "overloaded_error",
}


def _make_error(status: int, message: str, request_id: str) -> JsonObject:
    kind = _ERROR_KINDS.get(status, "api_error")
    return {"type": "error", "error": {"type": kind, "message": message}, "request_id": request_id}


def _read(body: Mapping[str, object]) -> Asked:
    blocks = [block for message in objects(body.get("messages")) for block in _blocks(message.get("content"))]
    parts = [*objects(body.get("tools")), *_blocks(body.get("system")), *blocks]
    return Asked(
        str(body["model"]),
        tuple(_segment(part) for part in parts),
        body,
        tools=read_tools(body, "input_schema"),
        tools_done=sum(block.get("type") == "tool_result" for block in blocks),
        max_tokens=whole(body.get("max_tokens")),
        stream=body.get("stream") is True,
    )


def _blocks(content: object) -> list[Mapping[str, object]]:
    if isinstance(content, str):
        return [{"type": "text", "text": content}]
    return objects(content)


def _segment(part: Mapping[str, object]) -> Segment:
    ttl: Ttl | None = None
    if "cache_control" in part:
        ttl = "1h" if child(part, "cache_control").get("ttl") == "1h" else "5m"
    return make_segment({key: value for key, value in part.items() if key != "cache_control"}, ttl)


def _usage(usage: Usage) -> JsonObject:
    body: JsonObject = {
        "input_tokens": usage.input_uncached_tokens,
        "cache_creation_input_tokens": usage.cache_write_5m_tokens + usage.cache_write_1h_tokens,
        "cache_read_input_tokens": usage.cache_read_tokens,
        "output_tokens": usage.output_tokens,
    }
    if usage.reasoning_tokens:
        body["output_tokens_details"] = {"thinking_tokens": usage.reasoning_tokens}
    if "web_searches" in usage.units:
        searches = int(usage.units["web_searches"])
        body["server_tool_use"] = {"web_search_requests": searches, "web_fetch_requests": 0}
    return body


def _whole_usage(answer: Answer) -> JsonObject:
    split = {
        "ephemeral_5m_input_tokens": answer.usage.cache_write_5m_tokens,
        "ephemeral_1h_input_tokens": answer.usage.cache_write_1h_tokens,
    }
    tier = answer.service_tier or "standard"
    return {
        **_usage(answer.usage),
        "cache_creation": split,
        "service_tier": tier,
        "inference_geo": "global",
    }


def _content(answer: Answer) -> list[JsonObject]:
    content: list[JsonObject] = []
    if answer.usage.reasoning_tokens:
        content.append({"type": "thinking", "thinking": "Let me see.", "signature": "bG9jYWw="})
    if answer.text:
        content.append({"type": "text", "text": answer.text})
    for call in answer.calls:
        tool = {"id": call.id.replace("call_", "toolu_01"), "name": call.name}
        content.append({"type": "tool_use", **tool, "input": json.loads(call.arguments)})
    return content


def _body(answer: Answer) -> JsonObject:
    return {
        "id": answer.id,
        "type": "message",
        "role": "assistant",
        "model": answer.model,
        "content": _content(answer),
        "stop_reason": _FINISH[answer.finish],
        "stop_sequence": None,
        "usage": _whole_usage(answer),
    }


def _events(answer: Answer) -> Iterator[Event]:
    # At the start the input is known and the output is not: one token so far.
    so_far = {**_whole_usage(answer), "output_tokens": 1}
    so_far.pop("output_tokens_details", None)
    message = {**_body(answer), "content": [], "stop_reason": None, "usage": so_far}
    yield _event("message_start", message=message)
    for index, block in enumerate(_content(answer)):
        opened, deltas = _opened(block)
        yield _event("content_block_start", index=index, content_block=opened)
        if index == 0:
            yield _event("ping")
        for delta in deltas:
            yield _event("content_block_delta", index=index, delta=delta)
        yield _event("content_block_stop", index=index)
    end = {"stop_reason": _FINISH[answer.finish], "stop_sequence": None}
    yield _event("message_delta", delta=end, usage=_usage(answer.usage))
    yield _event("message_stop")


def _opened(block: JsonObject) -> tuple[JsonObject, list[JsonObject]]:
    if block["type"] == "tool_use":
        deltas: list[JsonObject] = [
            {"type": "input_json_delta", "partial_json": piece} for piece in cut(json.dumps(block["input"]))
        ]
        return {**block, "input": {}}, deltas
    if block["type"] == "thinking":
        deltas = [{"type": "thinking_delta", "thinking": piece} for piece in cut(str(block["thinking"]))]
        deltas.append({"type": "signature_delta", "signature": block["signature"]})
        return {"type": "thinking", "thinking": "", "signature": ""}, deltas
    return {"type": "text", "text": ""}, [{"type": "text_delta", "text": piece} for piece in cut(str(block["text"]))]


def _event(kind: str, **values: object) -> Event:
    return Event({"type": kind, **values}, kind)


def _make_id(names: Names) -> str:
    return names.make("msg_01", 22)


MESSAGES = Endpoint("/v1/messages", _read, _make_id, _body, _events, _make_error, "request-id")
