"""The openai SDK: chat completions, responses, legacy completions, embeddings; the rest stands in `openai_media`.

`GET /responses/{id}` reads an old response again and is no call; what is charged for it stands in `openai_later`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from spanledger import names
from spanledger.attributes import Facts
from spanledger.record import Attributes
from spanledger.sdk import Endpoint, Sdk

from .fields import get, text
from .hosts import COMPATIBLE_HOSTS
from .openai_later import make_look_back
from .openai_media import MEDIA_ENDPOINTS
from .openai_usage import CHAT_NAMES, RESPONSE_NAMES, read_usage, token_usage

_CHAT_PATH: Final = "/chat/completions"
_ASKS: Final = frozenset({_CHAT_PATH, "/completions"})
"""Streams that report usage only when asked."""
_MAX_TOKENS_KEYS: Final = ("max_completion_tokens", "max_tokens", "max_output_tokens")


def _request_attributes(body: Mapping[str, Any]) -> Attributes:
    attributes: Attributes = {}
    for key in _MAX_TOKENS_KEYS:
        if isinstance(body.get(key), int):
            attributes[names.MAX_TOKENS] = body[key]
            break
    if isinstance(body.get("temperature"), int | float):
        attributes[names.TEMPERATURE] = float(body["temperature"])
    return attributes


def _ask_for_usage(url: str, body: Mapping[str, Any], extra: object) -> dict[str, Any] | None:
    if url not in _ASKS:
        return None
    given = get(extra, "stream_options") or body.get("stream_options")
    if given is None:
        return {**body, "stream_options": {"include_usage": True}}
    if get(extra, "stream_options") is not None or not isinstance(given, Mapping) or given.get("include_usage"):
        return None
    return {**body, "stream_options": {**given, "include_usage": True}}


def _is_usage_only(event: object) -> bool:
    return get(event, "usage") is not None and not get(event, "choices")


def _read_choices(facts: Facts, body: object) -> None:
    """Read a chat or legacy completion, or one chunk of its stream."""
    if facts.response_id is None:
        facts.response_id = text(body, "id")
        facts.response_model = text(body, "model")
    facts.service_tier = text(body, "service_tier") or facts.service_tier
    choices = get(body, "choices") or ()
    for choice in choices:
        reason = text(choice, "finish_reason")
        if reason:
            facts.finish_reasons.append(reason)
    usage = get(body, "usage")
    if usage is not None:
        read_usage(facts, usage, CHAT_NAMES)
    if facts.counts:
        # Some servers report a running total on every chunk: it is final once a choice has finished.
        facts.complete = facts.complete or not choices or bool(facts.finish_reasons)


def _hear_choices(facts: Facts, chunk: Any) -> None:
    """Read one chunk of a stream; most have nothing but text, so what they cost is what they are asked for."""
    if facts.response_id is None or not _is_text_only(chunk):
        _read_choices(facts, chunk)


def _is_text_only(chunk: Any) -> bool:
    try:
        return chunk.usage is None and not any(choice.finish_reason for choice in chunk.choices)
    except (AttributeError, TypeError):
        return False  # parsed JSON, or a server that leaves fields out


def _read_response(facts: Facts, body: object) -> None:
    facts.response_id = text(body, "id") or facts.response_id
    facts.response_model = text(body, "model") or facts.response_model
    facts.service_tier = text(body, "service_tier") or facts.service_tier
    usage, status = get(body, "usage"), text(body, "status")
    if usage is not None:
        read_usage(facts, usage, RESPONSE_NAMES)
        facts.complete = True
    if status in ("completed", "incomplete", "failed", "cancelled"):
        reason = text(get(body, "incomplete_details"), "reason")
        facts.finish_reasons = [reason or status]
        searches = sum(text(item, "type") == "web_search_call" for item in get(body, "output") or ())
        if searches:
            facts.counts["web_searches"] = searches
    if status == "failed":
        facts.error_type = text(get(body, "error"), "code") or "failed"


def _hear_response(facts: Facts, event: object) -> None:
    response = get(event, "response")
    if response is not None:
        _read_response(facts, response)


def _read_embeddings(facts: Facts, body: object) -> None:
    facts.response_model = text(body, "model")
    usage = get(body, "usage")
    if usage is not None:
        read_usage(facts, usage, CHAT_NAMES)
        facts.complete = True


def _read_submission(facts: Facts, body: object) -> None:
    """Read a response that is made in the background: its usage is charged in one place, whoever sees it first."""
    facts.response_id = text(body, "id") or facts.response_id
    facts.response_model = text(body, "model") or facts.response_model
    if get(body, "usage") is not None:
        facts.answer = body


def _hear_submission(facts: Facts, event: object) -> None:
    response = get(event, "response")
    if response is not None:
        _read_submission(facts, response)


_ANSWER: Final = Endpoint("chat", _read_response, _hear_response, token_usage)
_SUBMISSION: Final = Endpoint(
    "background", _read_submission, _hear_submission, token_usage, free=True, paid_later=True, answer=_ANSWER
)
_RESPONSES: Final = Endpoint("chat", _read_response, _hear_response, token_usage, background=_SUBMISSION)

SDK: Final[Sdk] = Sdk(
    provider="openai",
    endpoints={
        _CHAT_PATH: Endpoint("chat", _read_choices, _hear_choices, token_usage),
        "/completions": Endpoint("text_completion", _read_choices, _hear_choices, token_usage),
        "/responses": _RESPONSES,
        "/responses/compact": _RESPONSES,
        "/embeddings": Endpoint("embeddings", _read_embeddings, _read_embeddings, token_usage),
        **MEDIA_ENDPOINTS,
    },
    request_attributes=_request_attributes,
    ask_for_usage=_ask_for_usage,
    is_usage_only=_is_usage_only,
    hosts=COMPATIBLE_HOSTS,
    look_back=make_look_back(lambda: SDK),
)
