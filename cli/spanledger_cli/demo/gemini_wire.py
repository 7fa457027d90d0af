"""Gemini on the wire, of the Gemini API and of Vertex AI: the model stands in the path.

Its prompt count includes what came from the cache, its candidates leave out the thoughts, and what a built-in tool put
into the prompt stands beside it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Final

from spanledger.usage import Usage

from .answers import Answer, Asked, Names, Tool
from .tokens import count_tokens, make_segment
from .wire import Endpoint, Event, JsonObject, child, cut, objects, whole

_PATH: Final = re.compile(r"/v1(?:beta1?)?/.*?(?:models|endpoints)/(?P<model>[^/:]+):(?P<verb>\w+)$")
_FINISH: Final = {"stop": "STOP", "tool": "STOP", "length": "MAX_TOKENS"}
_BUILT_IN: Final = frozenset({"codeExecution", "googleSearch", "urlContext"})
_STATUSES: Final = {400: "INVALID_ARGUMENT", 429: "RESOURCE_EXHAUSTED", 500: "INTERNAL", 503: "UNAVAILABLE"}
_TOOL_SHARE: Final = 4
"""One in so many input tokens is a built-in tool's, where the request has one."""
_VECTOR: Final = [0.25, -0.5, 0.75]


def find_gemini(path: str) -> Endpoint | None:
    """Return the endpoint at a path, or None."""
    found = _PATH.match(path)
    if found is None:
        return None
    model = found["model"]
    match found["verb"]:
        case "generateContent" | "streamGenerateContent" as verb:
            return _content(path, partial(_read, model, verb.startswith("stream")))
        case "countTokens":
            return _content(path, partial(_read, model, False), count=lambda tokens: {"totalTokens": tokens})
        case "batchEmbedContents" | "embedContent":
            return Endpoint(
                path, partial(_read_texts, model), _no_id, _embeddings, _no_events, _make_error, "x-request-id"
            )
        case "predict":
            return Endpoint(
                path, partial(_read_instances, model), _no_id, _predictions, _no_events, _make_error, "x-request-id"
            )
    return None


def _content(path: str, read: partial[Asked], **more: object) -> Endpoint:
    return Endpoint(
        path,
        read,
        _make_id,
        _body,
        _events,
        _make_error,
        "x-request-id",
        headers=_headers,
        fault=_fault,
        **more,  # type: ignore[arg-type]
    )


def _make_error(status: int, message: str, request_id: str) -> JsonObject:
    return {"error": {"code": status, "message": message, "status": _STATUSES.get(status, "UNKNOWN")}}


def _fault() -> Event:
    return Event(_make_error(503, "the model is overloaded", ""))


def _make_id(names: Names) -> str:
    return names.make("", 22)


def _no_id(names: Names) -> str:
    return ""


def _no_events(answer: Answer) -> Iterator[Event]:
    yield from ()


def _headers(answer: Answer) -> Mapping[str, str]:
    return {"x-gemini-service-tier": answer.service_tier} if answer.service_tier else {}


def _read(model: str, stream: bool, body: Mapping[str, object]) -> Asked:
    contents = objects(body.get("contents"))
    parts = [part for content in contents for part in objects(content.get("parts"))]
    tools = [tool for entry in objects(body.get("tools")) for tool in objects(entry.get("functionDeclarations"))]
    head = [*tools, child(body, "systemInstruction")]
    return Asked(
        model,
        tuple(make_segment(part) for part in [*head, *parts] if part),
        body,
        tools=tuple(Tool(str(tool["name"]), _schema(tool)) for tool in tools),
        tools_done=sum("functionResponse" in part for part in parts),
        max_tokens=whole(child(body, "generationConfig").get("maxOutputTokens")),
        stream=stream,
        writes_metered=False,
    )


def _schema(tool: Mapping[str, object]) -> Mapping[str, object]:
    names = ("parametersJsonSchema", "parameters_json_schema", "parameters")
    return next((found for name in names if (found := child(tool, name))), {})


def _read_texts(model: str, body: Mapping[str, object]) -> Asked:
    requests = objects(body.get("requests")) or [body]
    return Asked(model, tuple(make_segment(one.get("content")) for one in requests), body, answers=False)


def _read_instances(model: str, body: Mapping[str, object]) -> Asked:
    return Asked(model, tuple(make_segment(one) for one in objects(body["instances"])), body, answers=False)


def _details(**counts: int) -> list[JsonObject]:
    return [{"modality": name.upper(), "tokenCount": tokens} for name, tokens in counts.items() if tokens]


def _tool_tokens(answer: Answer) -> int:
    tools = {name for tool in objects(answer.asked.body.get("tools")) for name in tool}
    return answer.usage.input_uncached_tokens // _TOOL_SHARE if tools & _BUILT_IN else 0


def _usage(answer: Answer) -> JsonObject:
    usage, tools = answer.usage, _tool_tokens(answer)
    cached = usage.cache_read_tokens + usage.cache_read_audio_tokens
    prompt, candidates = usage.input_tokens - tools, usage.output_tokens - usage.reasoning_tokens
    audio = usage.input_audio_tokens + usage.cache_read_audio_tokens
    body: JsonObject = {
        "promptTokenCount": prompt,
        "candidatesTokenCount": candidates,
        "totalTokenCount": usage.input_tokens + usage.output_tokens,
        "promptTokensDetails": _details(
            text=prompt - audio - usage.input_image_tokens, audio=audio, image=usage.input_image_tokens
        ),
        "candidatesTokensDetails": _details(
            text=usage.output_text_tokens, audio=usage.output_audio_tokens, image=usage.output_image_tokens
        ),
    }
    if cached:
        body["cachedContentTokenCount"] = cached
        body["cacheTokensDetails"] = _details(text=usage.cache_read_tokens, audio=usage.cache_read_audio_tokens)
    if usage.reasoning_tokens:
        body["thoughtsTokenCount"] = usage.reasoning_tokens
    if tools:
        body["toolUsePromptTokenCount"] = tools
        body["toolUsePromptTokensDetails"] = _details(text=tools)
    return body


def _candidate(answer: Answer, parts: list[JsonObject], *, last: bool) -> JsonObject:
    candidate: JsonObject = {"content": {"role": "model", "parts": parts}, "index": 0}
    if last:
        candidate["finishReason"] = _FINISH[answer.finish]
        searches = int(answer.usage.units.get("web_searches", 0))
        if searches:
            candidate["groundingMetadata"] = {"webSearchQueries": [f"hotel {number}" for number in range(searches)]}
    return candidate


def _parts(answer: Answer) -> list[JsonObject]:
    calls: list[JsonObject] = [
        {"functionCall": {"name": call.name, "args": json.loads(call.arguments)}} for call in answer.calls
    ]
    said: list[JsonObject] = [{"text": answer.text}] if answer.text else []
    return [*said, *calls]


def _body(answer: Answer) -> JsonObject:
    return {
        "candidates": [_candidate(answer, _parts(answer), last=True)],
        "usageMetadata": _usage(answer),
        "modelVersion": answer.model,
        "responseId": answer.id,
    }


def _events(answer: Answer) -> Iterator[Event]:
    pieces: list[list[JsonObject]] = [[{"text": piece}] for piece in cut(answer.text)] if answer.text else []
    pieces.extend([part] for part in _parts(answer) if "functionCall" in part)
    final = _usage(answer)
    # Before the end only the prompt is known, and what has been said so far.
    for number, parts in enumerate(pieces):
        last = number == len(pieces) - 1
        so_far = {"promptTokenCount": final["promptTokenCount"], "candidatesTokenCount": count_tokens(parts)}
        yield Event(
            {
                "candidates": [_candidate(answer, parts, last=last)],
                "usageMetadata": final if last else so_far,
                "modelVersion": answer.model,
                "responseId": answer.id,
            }
        )


def _embeddings(answer: Answer) -> JsonObject:
    usage = {"promptTokenCount": answer.usage.input_tokens}
    if "requests" not in answer.asked.body:
        return {"embedding": {"values": _VECTOR}, "usageMetadata": usage}
    return {"embeddings": [{"values": _VECTOR} for _ in answer.asked.segments], "usageMetadata": usage}


def _predictions(answer: Answer) -> JsonObject:
    images = int(answer.usage.units.get("images", 0))
    if images:
        return {"predictions": [{"mimeType": "image/png", "bytesBase64Encoded": "AAAA"}] * images}
    tokens = _shares(answer.usage, len(answer.asked.segments))
    statistics = ({"token_count": float(count), "truncated": False} for count in tokens)
    return {"predictions": [{"embeddings": {"values": _VECTOR, "statistics": one}} for one in statistics]}


def _shares(usage: Usage, count: int) -> list[int]:
    each, rest = divmod(usage.input_tokens, count)
    return [each + rest, *[each] * (count - 1)]
