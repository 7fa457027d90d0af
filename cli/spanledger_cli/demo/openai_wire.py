"""OpenAI's Chat Completions, legacy Completions and Embeddings on the wire."""

from __future__ import annotations

import base64
import struct
from collections.abc import Iterator, Mapping

from spanledger.usage import Usage

from .answers import Answer, Asked, Names
from .wire import (
    Endpoint,
    Event,
    JsonObject,
    child,
    cut,
    objects,
    read_tools,
    segments_of,
    whole,
)

CACHE_UNIT = 128
_UNCACHED_MODELS = ("gpt-3.5", "gpt-4-", "davinci", "babbage")
_FINISH = {"stop": "stop", "tool": "tool_calls", "length": "length"}
_EMBEDDING_SIZE = 8


def caches(model: str) -> bool:
    """Say whether OpenAI caches long prompts of this model by itself (models since gpt-4o)."""
    return model != "gpt-4" and not model.startswith(_UNCACHED_MODELS)


def make_error(status: int, message: str, _request_id: str) -> JsonObject:
    """Return the body of an error."""
    kinds = {401: "invalid_api_key", 404: "not_found", 429: "rate_limit_exceeded"}
    kind = kinds.get(status, "server_error" if status >= 500 else "invalid_request_error")
    return {"error": {"message": message, "type": kind, "param": None, "code": kind}}


def input_details(usage: Usage) -> JsonObject:
    """Return how the prompt's tokens split; cached ones are inside the total."""
    details: JsonObject = {
        "cached_tokens": usage.cache_read_tokens + usage.cache_read_audio_tokens,
        "audio_tokens": usage.input_audio_tokens + usage.cache_read_audio_tokens,
    }
    written = usage.cache_write_5m_tokens + usage.cache_write_12h_tokens
    if written:
        details["cache_write_tokens"] = written
    if usage.input_image_tokens:
        details["image_tokens"] = usage.input_image_tokens
    return details


def _chat_usage(usage: Usage) -> JsonObject:
    return {
        "prompt_tokens": usage.input_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": usage.input_tokens + usage.output_tokens,
        "prompt_tokens_details": input_details(usage),
        "completion_tokens_details": {
            "reasoning_tokens": usage.reasoning_tokens,
            "audio_tokens": usage.output_audio_tokens,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }


def _read_chat(body: Mapping[str, object]) -> Asked:
    model = str(body["model"])
    messages = objects(body.get("messages"))
    tool_results = [message for message in messages if message.get("role") == "tool"]
    return Asked(
        model,
        segments_of(body.get("tools"), *messages, lasting=caches(model)),
        body,
        tools=read_tools(body, "parameters"),
        tools_done=len(tool_results),
        max_tokens=whole(body.get("max_completion_tokens")) or whole(body.get("max_tokens")),
        stream=body.get("stream") is True,
        read_unit=CACHE_UNIT,
        writes_metered=False,
    )


def _chat_body(answer: Answer) -> JsonObject:
    message: JsonObject = {
        "role": "assistant",
        "content": answer.text or None,
        "refusal": None,
        "annotations": [],
    }
    if answer.calls:
        message["tool_calls"] = _tool_calls(answer)
    choice = {
        "index": 0,
        "message": message,
        "logprobs": None,
        "finish_reason": _FINISH[answer.finish],
    }
    return {**_chat_head(answer, "chat.completion"), "choices": [choice], "usage": _chat_usage(answer.usage)}


def _chat_events(answer: Answer) -> Iterator[Event]:
    head = _chat_head(answer, "chat.completion.chunk")
    wants_usage = child(answer.asked.body, "stream_options").get("include_usage") is True
    nothing_yet: JsonObject = {"usage": None} if wants_usage else {}
    deltas: list[JsonObject] = [{"role": "assistant", "content": "", "refusal": None}]
    deltas.extend({"content": piece} for piece in cut(answer.text))
    deltas.extend({"tool_calls": [{"index": index, **call}]} for index, call in enumerate(_tool_calls(answer)))
    deltas.append({})
    for place, delta in enumerate(deltas):
        finish = _FINISH[answer.finish] if place == len(deltas) - 1 else None
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        yield Event({**head, "choices": [choice], **nothing_yet})
    if wants_usage:
        yield Event({**head, "choices": [], "usage": _chat_usage(answer.usage)})
    yield Event("[DONE]")


def _chat_head(answer: Answer, kind: str) -> JsonObject:
    return {
        "id": answer.id,
        "object": kind,
        "created": answer.created,
        "model": answer.model,
        "service_tier": answer.service_tier or "default",
        "system_fingerprint": "fp_local",
    }


def _tool_calls(answer: Answer) -> list[JsonObject]:
    return [
        {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
        for call in answer.calls
    ]


def _read_completion(body: Mapping[str, object]) -> Asked:
    return Asked(
        str(body["model"]),
        segments_of(body.get("prompt")),
        body,
        max_tokens=whole(body.get("max_tokens")) or 16,
        stream=body.get("stream") is True,
    )


def _completion_body(answer: Answer) -> JsonObject:
    return {**_completion_chunk(answer, answer.text, _FINISH[answer.finish]), "usage": _chat_usage(answer.usage)}


def _completion_events(answer: Answer) -> Iterator[Event]:
    pieces = cut(answer.text) or [""]
    for place, piece in enumerate(pieces):
        finish = _FINISH[answer.finish] if place == len(pieces) - 1 else None
        yield Event(_completion_chunk(answer, piece, finish))
    if child(answer.asked.body, "stream_options").get("include_usage") is True:
        last = _completion_chunk(answer, "", None)
        yield Event({**last, "choices": [], "usage": _chat_usage(answer.usage)})
    yield Event("[DONE]")


def _completion_chunk(answer: Answer, text: str, finish: str | None) -> JsonObject:
    choice = {"text": text, "index": 0, "logprobs": None, "finish_reason": finish}
    return {
        "id": answer.id,
        "object": "text_completion",
        "created": answer.created,
        "model": answer.model,
        "choices": [choice],
    }


def _read_embeddings(body: Mapping[str, object]) -> Asked:
    return Asked(str(body["model"]), segments_of(body.get("input")), body, answers=False)


def _embeddings_body(answer: Answer) -> JsonObject:
    given = answer.asked.body.get("input")
    # A text, a list of texts, a list of token ids, or a list of such lists.
    many = isinstance(given, list) and bool(given) and not isinstance(given[0], int)
    count = len(given) if many and isinstance(given, list) else 1
    in_base64 = answer.asked.body.get("encoding_format") == "base64"
    data = [
        {"object": "embedding", "index": index, "embedding": _embedding(index, in_base64=in_base64)}
        for index in range(count)
    ]
    tokens = answer.usage.input_tokens
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    return {"object": "list", "data": data, "model": answer.model, "usage": usage}


def _embedding(index: int, *, in_base64: bool) -> list[float] | str:
    numbers = [((index + place) % 7) / 8 for place in range(_EMBEDDING_SIZE)]
    if not in_base64:
        return numbers
    return base64.b64encode(struct.pack(f"<{_EMBEDDING_SIZE}f", *numbers)).decode()


def _no_events(_answer: Answer) -> Iterator[Event]:
    return iter(())


def _chat_id(names: Names) -> str:
    return names.make("chatcmpl-", 29)


def _completion_id(names: Names) -> str:
    return names.make("cmpl-", 29)


def _embedding_id(_names: Names) -> str:
    # OpenAI gives embeddings none.
    return ""


CHAT = Endpoint("/v1/chat/completions", _read_chat, _chat_id, _chat_body, _chat_events, make_error, "x-request-id")
COMPLETIONS = Endpoint(
    "/v1/completions",
    _read_completion,
    _completion_id,
    _completion_body,
    _completion_events,
    make_error,
    "x-request-id",
)
EMBEDDINGS = Endpoint(
    "/v1/embeddings", _read_embeddings, _embedding_id, _embeddings_body, _no_events, make_error, "x-request-id"
)
