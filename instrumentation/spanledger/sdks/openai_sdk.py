"""The openai SDK: chat completions, responses, legacy completions, embeddings; the rest stands in `openai_media`.

`GET /responses/{id}` reads an old response again and is no call; what is charged for it stands in `openai_later`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, Final

from spanledger import names
from spanledger.attributes import Facts
from spanledger.prompts import WHOLE, Layout
from spanledger.record import Attributes
from spanledger.sdk import Endpoint, Sdk

from .fields import as_text, count, fields, get, snapshot, text
from .hosts import COMPATIBLE_HOSTS, OPENAI_CLIENTS
from .openai_later import make_look_back
from .openai_media import MEDIA_ENDPOINTS, no_usage, read_free
from .openai_usage import CHAT_NAMES, RESPONSE_NAMES, is_told, tally_chat, tally_response, token_usage
from .refused import by_openai
from .stated import stated_pico

_CHAT_PATH: Final = "/chat/completions"
_ASKS: Final = frozenset({_CHAT_PATH, "/completions"})
"""Streams that report usage only when asked."""
_SAID: Final = ("content", "text", "reasoning_content", "reasoning", "refusal")
_UNDER_WAY: Final = ("queued", "in_progress")
"""Some servers report a running total, or zeros, before a response is over."""
_NUMBERS: Final = (int, float)  # written out, because `int | float` makes a new type each time
_MAX_TOKENS_KEYS: Final = ("max_completion_tokens", "max_tokens", "max_output_tokens")


def _request_attributes(body: Mapping[str, Any]) -> Attributes:
    attributes: Attributes = {}
    for key in _MAX_TOKENS_KEYS:
        if isinstance(most := body.get(key), int):
            attributes[names.MAX_TOKENS] = most
            break
    if isinstance(temperature := body.get("temperature"), _NUMBERS):
        attributes[names.TEMPERATURE] = float(temperature)
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
    told = fields(body)
    if facts.response_id is None:
        facts.response_id = as_text(told.get("id"))
        facts.response_model = as_text(told.get("model"))
    facts.service_tier = as_text(told.get("service_tier")) or facts.service_tier
    choices = told.get("choices") or ()
    for choice in choices:
        reason = text(choice, "finish_reason")
        if reason:
            facts.finish_reasons.append(reason)
    usage = told.get("usage") or _odd_usage(body, choices)
    if usage is not None:
        facts.usage = snapshot(usage)
    if facts.usage is not None and is_told(facts.usage, CHAT_NAMES):
        # Some servers report a running total on every chunk: it is final once a choice has finished.
        facts.complete = facts.complete or not choices or bool(facts.finish_reasons)


def _odd_usage(body: object, choices: Iterable[object]) -> Any:
    """Find the usage where Groq, or Moonshot, has it in the last chunk of a stream."""
    found = get(get(body, "x_groq"), "usage")
    return found if found is not None else next(filter(None, (get(choice, "usage") for choice in choices)), None)


def _hear_choices(facts: Facts, chunk: object) -> None:
    """Read one chunk of a stream that is not just a piece of text."""
    choices = get(chunk, "choices") or ()
    tells = facts.response_id is None or get(chunk, "usage") is not None or not choices
    if tells or any(get(choice, "finish_reason") for choice in choices):
        _read_choices(facts, chunk)
    if not choices:
        _hear_error(facts, get(chunk, "error"))
    for choice in choices:
        _hear_delta(facts, get(choice, "delta") or choice)


def _hear_error(facts: Facts, error: object) -> None:
    """Hear that there is no answer, or no more of it: an event in a stream that is otherwise a good one."""
    if error:
        facts.error_type = text(error, "code") or text(error, "type") or "error"


def _hear_delta(facts: Facts, delta: object) -> None:
    """Hear what a choice adds: text of a chat or of a legacy completion, reasoning, arguments of tool calls."""
    for name in _SAID:
        said = text(delta, name)
        if said is not None:
            facts.say(said)
    for call in get(delta, "tool_calls") or ():
        arguments = text(get(call, "function"), "arguments")
        if arguments is not None:
            facts.say(arguments)


def _chat_piece(chunk: Any) -> str | None:
    try:
        (choice,) = chunk.choices
        if chunk.usage is None and choice.finish_reason is None:
            piece: str | None = choice.delta.content
            return piece
    except (AttributeError, TypeError, ValueError):
        pass  # parsed JSON, or a server that leaves fields out
    return None


def _response_piece(event: Any) -> str | None:
    if getattr(event, "type", None) == "response.output_text.delta":
        piece: str = event.delta
        return piece
    return None


def _read_response(facts: Facts, body: object) -> None:
    told = fields(body)
    facts.response_id = as_text(told.get("id")) or facts.response_id
    facts.response_model = as_text(told.get("model")) or facts.response_model
    facts.service_tier = as_text(told.get("service_tier")) or facts.service_tier
    usage, status = told.get("usage"), as_text(told.get("status"))
    if usage is not None:
        facts.usage = snapshot(usage)
        facts.complete = status not in _UNDER_WAY and is_told(facts.usage, RESPONSE_NAMES)
    if status in ("completed", "incomplete", "failed", "cancelled"):
        reason = text(get(body, "incomplete_details"), "reason")
        facts.finish_reasons = [reason or status]
        _count_searches(facts.counts, body)
    if status == "failed":
        facts.error_type = text(get(body, "error"), "code") or "failed"


def _count_searches(counts: dict[str, int], body: object) -> None:
    """Count the searches that are charged one by one; to open a page or look into it is none."""
    output = get(body, "output") or ()
    billed = get(get(body, "tool_usage"), "web_search")
    if billed is not None:
        searches = count(billed, "num_requests")
    else:
        actions = [get(item, "action") for item in output if text(item, "type") == "web_search_call"]
        searches = sum(text(action, "type") in (None, "search") for action in actions)
    if searches:
        counts["web_searches"] = searches
    in_files = sum(text(item, "type") == "file_search_call" for item in output)
    if in_files:
        counts["storage_searches"] = in_files


def _hear_response(facts: Facts, event: object) -> None:
    said = get(event, "delta")
    if type(said) is str:
        # Sound comes as text of its own kind.
        if get(event, "type") != "response.audio.delta":
            facts.say(said)
        return
    response = get(event, "response")
    if response is not None:
        _read_response(facts, response)
    elif get(event, "type") == "error":
        _hear_error(facts, get(event, "error") or event)


def _read_embeddings(facts: Facts, body: object) -> None:
    facts.response_model = text(body, "model")
    usage = get(body, "usage")
    if usage is not None:
        facts.usage = snapshot(usage)
        facts.complete = is_told(facts.usage, CHAT_NAMES)


def _read_submission(facts: Facts, body: object) -> None:
    """Read a response that is made in the background: its usage is charged in one place, whoever sees it first."""
    facts.response_id = text(body, "id") or facts.response_id
    facts.response_model = text(body, "model") or facts.response_model
    if get(body, "usage") is not None and text(body, "status") not in _UNDER_WAY:
        facts.answer = body


def _hear_submission(facts: Facts, event: object) -> None:
    response = get(event, "response")
    if response is not None:
        _read_submission(facts, response)


_ANSWER: Final = Endpoint("chat", _read_response, _hear_response, token_usage, tally_response)
_CHAT: Final = Layout("messages", tools="tools")
_ITEMS: Final = Layout("input", "instructions", "tools", elsewhere=("previous_response_id", "conversation"))
_SUBMISSION: Final = Endpoint(
    "background",
    _read_submission,
    _hear_submission,
    token_usage,
    free=True,
    paid_later=True,
    answer=_ANSWER,
    prompt=_ITEMS,
)
_RESPONSES: Final = Endpoint(
    "chat",
    _read_response,
    _hear_response,
    token_usage,
    tally_response,
    _response_piece,
    background=_SUBMISSION,
    prompt=_ITEMS,
)

SDK: Final[Sdk] = Sdk(
    provider="openai",
    endpoints={
        _CHAT_PATH: Endpoint("chat", _read_choices, _hear_choices, token_usage, tally_chat, _chat_piece, prompt=_CHAT),
        "/completions": Endpoint(
            "text_completion", _read_choices, _hear_choices, token_usage, tally_chat, prompt=Layout("prompt")
        ),
        "/responses": _RESPONSES,
        "/responses/compact": _RESPONSES,
        "/responses/input_tokens": Endpoint("count_tokens", read_free, read_free, no_usage, free=True),
        "/decisions": replace(_ANSWER, prompt=Layout("input")),
        "/embeddings": Endpoint(
            "embeddings", _read_embeddings, _read_embeddings, token_usage, tally_chat, prompt=WHOLE
        ),
        **MEDIA_ENDPOINTS,
    },
    request_attributes=_request_attributes,
    ask_for_usage=_ask_for_usage,
    is_usage_only=_is_usage_only,
    hosts=COMPATIBLE_HOSTS,
    clients=OPENAI_CLIENTS,
    look_back=make_look_back(lambda: SDK),
    stated=stated_pico,
    refusal=by_openai,
)
