"""Amazon Bedrock's runtime on the wire: Converse, and InvokeModel in the format of each family of models.

Input counts leave out what was read from or written to the cache. Bodies of some families have no counts at all: those
stand in the headers, for Cohere nowhere.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any, Final
from urllib.parse import unquote

from . import anthropic_wire
from .answers import Answer, Asked, Tool
from .event_stream import CONTENT_TYPE, Message
from .tokens import Segment, make_segment
from .wire import Endpoint, JsonObject, child, cut, objects, whole

_ERRORS: Final = {
    400: "ValidationException",
    403: "AccessDeniedException",
    404: "ResourceNotFoundException",
    429: "ThrottlingException",
    503: "ServiceUnavailableException",
}
_FINISH: Final = {"stop": "end_turn", "tool": "tool_use", "length": "max_tokens"}
_REQUEST_ID: Final = "x-amzn-requestid"

Family = tuple[Callable[[Answer], JsonObject], Callable[[Answer], list[JsonObject]]]
"""A whole body, and the parts of a stream."""


def find_bedrock(path: str) -> Endpoint | None:
    """Return the endpoint at a path, or None."""
    head, _, rest = path.removeprefix("/model/").rpartition("/")
    if not path.startswith("/model/") or not head:
        return None
    model = unquote(head)
    match rest:
        case "converse" | "converse-stream":
            read = partial(_read_converse, model, rest.endswith("stream"))
            return _endpoint(path, read, _converse_body, _converse_events)
        case "count-tokens":
            read = partial(_read_counting, model)
            return _endpoint(path, read, _converse_body, _converse_events, lambda tokens: {"inputTokens": tokens})
        case "invoke" | "invoke-with-response-stream":
            read = partial(_read_invoke, model, rest.endswith("stream"))
            body, parts = _family(model)
            return _endpoint(path, read, body, partial(_chunks, parts), headers=_count_headers)
    return None


def _endpoint(
    path: str,
    read: Callable[[Mapping[str, object]], Asked],
    body: Callable[[Answer], JsonObject],
    events: Callable[[Answer], Iterator[Message]],
    count: Callable[[int], JsonObject] | None = None,
    headers: Callable[[Answer], Mapping[str, str]] | None = None,
) -> Endpoint:
    return Endpoint(
        path,
        read,
        anthropic_wire.MESSAGES.make_id,
        body,
        events,
        _make_error,
        _REQUEST_ID,
        stream_type=CONTENT_TYPE,
        headers=headers,
        count=count,
        fault=_fault,
    )


def _make_error(status: int, message: str, request_id: str) -> JsonObject:
    return {"__type": _ERRORS.get(status, "InternalServerException"), "message": message}


def _fault() -> Message:
    return Message("modelStreamErrorException", {"message": "the model failed"}, is_exception=True)


def _read_converse(model: str, stream: bool, body: Mapping[str, object]) -> Asked:
    tools = [child(tool, "toolSpec") for tool in objects(child(body, "toolConfig").get("tools"))]
    blocks = [block for message in objects(body.get("messages")) for block in objects(message.get("content"))]
    return Asked(
        model,
        tuple(_segments([*tools, *objects(body.get("system")), *blocks])),
        body,
        tools=tuple(Tool(str(tool["name"]), child(child(tool, "inputSchema"), "json")) for tool in tools if tool),
        tools_done=sum("toolResult" in block for block in blocks),
        max_tokens=whole(child(body, "inferenceConfig").get("maxTokens")),
        stream=stream,
    )


def _segments(parts: list[Mapping[str, object]]) -> Iterator[Segment]:
    """Make segments; a cache point marks the one before it."""
    for part, after in zip(parts, [*parts[1:], {}], strict=True):
        if part and "cachePoint" not in part:
            point = child(after, "cachePoint")
            yield make_segment(part, ("1h" if point.get("ttl") == "1h" else "5m") if point else None)


def _read_counting(model: str, body: Mapping[str, object]) -> Asked:
    return _read_converse(model, False, child(child(body, "input"), "converse"))


def _read_invoke(model: str, stream: bool, body: Mapping[str, object]) -> Asked:
    if "anthropic" in model:
        return anthropic_wire.MESSAGES.read({**body, "model": model, "stream": stream})
    segments = (make_segment(value) for key, value in body.items() if not isinstance(value, int | float))
    return Asked(model, tuple(segments), body, stream=stream, answers="embed" not in model)


def _converse_usage(answer: Answer) -> JsonObject:
    usage = answer.usage
    lifetimes = {"5m": usage.cache_write_5m_tokens, "1h": usage.cache_write_1h_tokens}
    body: JsonObject = {
        "inputTokens": usage.input_uncached_tokens,
        "outputTokens": usage.output_tokens,
        "totalTokens": usage.input_tokens + usage.output_tokens,
        "cacheReadInputTokens": usage.cache_read_tokens,
        "cacheWriteInputTokens": sum(lifetimes.values()),
    }
    if any(lifetimes.values()):
        body["cacheDetails"] = [{"ttl": ttl, "inputTokens": count} for ttl, count in lifetimes.items() if count]
    return body


def _converse_content(answer: Answer) -> list[JsonObject]:
    calls: list[JsonObject] = [
        {"toolUse": {"toolUseId": call.id, "name": call.name, "input": json.loads(call.arguments)}}
        for call in answer.calls
    ]
    said: list[JsonObject] = [{"text": answer.text}] if answer.text else []
    return [*said, *calls]


def _tail(answer: Answer) -> JsonObject:
    tail: JsonObject = {"usage": _converse_usage(answer), "metrics": {"latencyMs": 12}}
    return {**tail, "serviceTier": {"type": answer.service_tier}} if answer.service_tier else tail


def _converse_body(answer: Answer) -> JsonObject:
    message = {"role": "assistant", "content": _converse_content(answer)}
    return {"output": {"message": message}, "stopReason": _FINISH[answer.finish], **_tail(answer)}


def _converse_events(answer: Answer) -> Iterator[Message]:
    yield Message("messageStart", {"role": "assistant"})
    for index, block in enumerate(_converse_content(answer)):
        for delta in _converse_deltas(block):
            yield Message("contentBlockDelta", {"contentBlockIndex": index, "delta": delta})
        yield Message("contentBlockStop", {"contentBlockIndex": index})
    yield Message("messageStop", {"stopReason": _FINISH[answer.finish]})
    yield Message("metadata", _tail(answer))


def _converse_deltas(block: JsonObject) -> list[JsonObject]:
    if "toolUse" in block:
        return [{"toolUse": {"input": piece}} for piece in cut(json.dumps(child(block, "toolUse")["input"]))]
    return [{"text": piece} for piece in cut(str(block["text"]))]


def _count_headers(answer: Answer) -> Mapping[str, str]:
    usage = answer.usage
    if "cohere" in answer.model or answer.asked.stream:
        return {}
    counts = {
        "input": usage.input_uncached_tokens,
        "output": usage.output_tokens,
        "cache-read-input": usage.cache_read_tokens,
        "cache-write-input": usage.cache_write_5m_tokens + usage.cache_write_1h_tokens,
    }
    return {f"x-amzn-bedrock-{name}-token-count": str(count) for name, count in counts.items()}


def _chunks(parts: Callable[[Answer], list[JsonObject]], answer: Answer) -> Iterator[Message]:
    usage = answer.usage
    metrics = {
        "inputTokenCount": usage.input_uncached_tokens,
        "outputTokenCount": usage.output_tokens,
        "invocationLatency": 12,
        "firstByteLatency": 3,
        "cacheReadInputTokenCount": usage.cache_read_tokens,
        "cacheWriteInputTokenCount": usage.cache_write_5m_tokens + usage.cache_write_1h_tokens,
    }
    whole_stream = parts(answer)
    for number, part in enumerate(whole_stream):
        last = number == len(whole_stream) - 1 and "cohere" not in answer.model
        body = {**part, "amazon-bedrock-invocationMetrics": metrics} if last else part
        yield Message("chunk", {"bytes": base64.b64encode(json.dumps(body).encode()).decode(), "p": "abc"})


def _family(model: str) -> Family:
    families: dict[str, Family] = {
        "anthropic": (_claude_body, _claude_parts),
        "nova": (_nova_body, _nova_parts),
        "meta": (_llama_body, _llama_parts),
        "mistral": (_mistral_body, _mistral_parts),
        "titan-embed": (_titan_embedding, lambda answer: []),
        "cohere": (_cohere_body, _cohere_parts),
    }
    return next(family for name, family in families.items() if name in model)


def _claude_body(answer: Answer) -> JsonObject:
    return {**anthropic_wire.MESSAGES.body(answer), "model": "claude-sonnet-4-5-20250929"}


def _claude_parts(answer: Answer) -> list[JsonObject]:
    events: list[Any] = list(anthropic_wire.MESSAGES.events(answer))
    return [{**event.data} for event in events if event.name != "ping"]


def _nova_body(answer: Answer) -> JsonObject:
    usage = {
        "inputTokens": answer.usage.input_uncached_tokens,
        "outputTokens": answer.usage.output_tokens,
        "totalTokens": answer.usage.input_tokens + answer.usage.output_tokens,
        "cacheReadInputTokenCount": answer.usage.cache_read_tokens,
        "cacheWriteInputTokenCount": answer.usage.cache_write_5m_tokens,
    }
    message = {"role": "assistant", "content": _converse_content(answer)}
    return {"output": {"message": message}, "stopReason": _FINISH[answer.finish], "usage": usage}


def _nova_parts(answer: Answer) -> list[JsonObject]:
    deltas: list[JsonObject] = [
        {"contentBlockDelta": {"contentBlockIndex": 0, "delta": {"text": piece}}} for piece in cut(answer.text)
    ]
    stop: JsonObject = {"messageStop": {"stopReason": _FINISH[answer.finish]}}
    return [
        {"messageStart": {"role": "assistant"}},
        *deltas,
        stop,
        {"metadata": {"usage": _nova_body(answer)["usage"]}},
    ]


def _llama_body(answer: Answer) -> JsonObject:
    return {
        "generation": answer.text,
        "prompt_token_count": answer.usage.input_tokens,
        "generation_token_count": answer.usage.output_tokens,
        "stop_reason": answer.finish,
    }


def _llama_parts(answer: Answer) -> list[JsonObject]:
    pieces: list[JsonObject] = [
        {
            "generation": piece,
            "prompt_token_count": None if number else answer.usage.input_tokens,
            "generation_token_count": number + 1,
            "stop_reason": None,
        }
        for number, piece in enumerate(cut(answer.text))
    ]
    return [*pieces, {**_llama_body(answer), "generation": "", "prompt_token_count": None}]


def _mistral_body(answer: Answer) -> JsonObject:
    return {"outputs": [{"text": answer.text, "stop_reason": answer.finish}]}


def _mistral_parts(answer: Answer) -> list[JsonObject]:
    pieces: list[JsonObject] = [{"outputs": [{"text": piece, "stop_reason": None}]} for piece in cut(answer.text)]
    return [*pieces, {"outputs": [{"text": "", "stop_reason": answer.finish}]}]


def _cohere_body(answer: Answer) -> JsonObject:
    return {"response_id": answer.id, "text": answer.text, "finish_reason": "COMPLETE", "chat_history": []}


def _cohere_parts(answer: Answer) -> list[JsonObject]:
    pieces: list[JsonObject] = [{"event_type": "text-generation", "text": piece} for piece in cut(answer.text)]
    return [*pieces, {"event_type": "stream-end", "finish_reason": "COMPLETE"}]


def _titan_embedding(answer: Answer) -> JsonObject:
    return {"embedding": [0.25, -0.5], "inputTextTokenCount": answer.usage.input_tokens}
