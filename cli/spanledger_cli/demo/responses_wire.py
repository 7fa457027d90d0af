"""OpenAI's Responses on the wire.

`previous_response_id` makes the provider put the earlier turns in front of the prompt, and bill them again.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from spanledger.usage import Usage

from .answers import Answer, Asked, Names
from .openai_wire import CACHE_UNIT, caches, make_error
from .wire import Endpoint, Event, JsonObject, child, cut, objects, read_tools, segments_of, whole

_ECHOED: JsonObject = {
    "instructions": None,
    "max_output_tokens": None,
    "metadata": {},
    "parallel_tool_calls": True,
    "previous_response_id": None,
    "store": True,
    "temperature": 1.0,
    "tool_choice": "auto",
    "tools": [],
    "top_p": 1.0,
    "truncation": "disabled",
    "user": None,
}
"""Parameters that the answer repeats, with what it says where the request has none."""


def _read(body: Mapping[str, object]) -> Asked:
    model = str(body["model"])
    given = body.get("input")
    items: list[object] = list(objects(given)) or [given]
    history = objects(body.get("_history"))
    results = [item for item in (*history, *objects(given)) if item.get("type") == "function_call_output"]
    return Asked(
        model,
        segments_of(body.get("tools"), body.get("instructions"), *history, *items, lasting=caches(model)),
        body,
        tools=read_tools(body, "parameters"),
        tools_done=len(results),
        max_tokens=whole(body.get("max_output_tokens")),
        stream=body.get("stream") is True,
        read_unit=CACHE_UNIT,
        writes_metered=False,
    )


def _usage(usage: Usage) -> JsonObject:
    details: JsonObject = {
        "cached_tokens": usage.cache_read_tokens,
        "cache_write_tokens": usage.cache_write_5m_tokens + usage.cache_write_12h_tokens,
    }
    if usage.cache_write_12h_tokens:
        details["cache_write_tokens_details"] = {
            "ttl_30m_tokens": usage.cache_write_5m_tokens,
            "ttl_12h_tokens": usage.cache_write_12h_tokens,
        }
    return {
        "input_tokens": usage.input_tokens,
        "input_tokens_details": details,
        "output_tokens": usage.output_tokens,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
        "total_tokens": usage.input_tokens + usage.output_tokens,
    }


def _body(answer: Answer) -> JsonObject:
    broken = answer.finish == "length"
    return {
        **_head(answer),
        "status": "incomplete" if broken else "completed",
        "incomplete_details": {"reason": "max_output_tokens"} if broken else None,
        "completed_at": answer.created,
        "output": _items(answer),
        "usage": _usage(answer.usage),
    }


def _head(answer: Answer) -> JsonObject:
    asked = answer.asked.body
    echoed = {key: asked.get(key) or usual for key, usual in _ECHOED.items()}
    return {
        **echoed,
        "id": answer.id,
        "object": "response",
        "created_at": answer.created,
        "status": "in_progress",
        "background": False,
        "error": None,
        "incomplete_details": None,
        "model": answer.model,
        "output": [],
        "reasoning": {"effort": child(asked, "reasoning").get("effort"), "summary": None},
        "service_tier": answer.service_tier or "default",
        "text": {"format": {"type": "text"}},
        "usage": None,
    }


def _items(answer: Answer) -> list[JsonObject]:
    tail = answer.id.removeprefix("resp_")
    items: list[JsonObject] = []
    if answer.usage.reasoning_tokens:
        items.append({"id": f"rs_{tail}", "type": "reasoning", "summary": []})
    if answer.text:
        items.append(
            {
                "id": f"msg_{tail}",
                "type": "message",
                "status": "completed",
                "role": "assistant",
                "content": [_part(answer.text)],
            }
        )
    for call in answer.calls:
        items.append(
            {
                "id": f"fc_{tail}",
                "type": "function_call",
                "status": "completed",
                "call_id": call.id,
                "name": call.name,
                "arguments": call.arguments,
            }
        )
    return items


def _part(text: str) -> JsonObject:
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


def _events(answer: Answer) -> Iterator[Event]:
    for number, (kind, values) in enumerate(_unnumbered_events(answer)):
        yield Event({"type": kind, "sequence_number": number, **values}, kind)


def _unnumbered_events(answer: Answer) -> Iterator[tuple[str, JsonObject]]:
    yield "response.created", {"response": _head(answer)}
    yield "response.in_progress", {"response": _head(answer)}
    for index, item in enumerate(_items(answer)):
        place: JsonObject = {"output_index": index}
        opened = {**item, "status": "in_progress"} if "status" in item else item
        if item["type"] == "message":
            opened = {**opened, "content": []}
        elif item["type"] == "function_call":
            opened = {**opened, "arguments": ""}
        yield "response.output_item.added", {**place, "item": opened}
        inner: JsonObject = {**place, "item_id": item["id"]}
        if item["type"] == "message":
            yield from _text_events(answer.text, {**inner, "content_index": 0})
        elif item["type"] == "function_call":
            arguments = item["arguments"]
            yield "response.function_call_arguments.delta", {**inner, "delta": arguments}
            yield "response.function_call_arguments.done", {**inner, "arguments": arguments, "name": item["name"]}
        yield "response.output_item.done", {**place, "item": item}
    last = "response.incomplete" if answer.finish == "length" else "response.completed"
    yield last, {"response": _body(answer)}


def _text_events(text: str, place: JsonObject) -> Iterator[tuple[str, JsonObject]]:
    yield "response.content_part.added", {**place, "part": _part("")}
    for piece in cut(text):
        yield "response.output_text.delta", {**place, "delta": piece, "logprobs": []}
    yield "response.output_text.done", {**place, "text": text, "logprobs": []}
    yield "response.content_part.done", {**place, "part": _part(text)}


def _make_id(names: Names) -> str:
    return names.make_hex("resp_", 48)


RESPONSES = Endpoint("/v1/responses", _read, _make_id, _body, _events, make_error, "x-request-id")
