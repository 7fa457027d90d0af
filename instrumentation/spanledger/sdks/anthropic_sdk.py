"""The anthropic SDK: messages, beta messages included.

Input counts of Anthropic leave out what was read from and written to the prompt cache, so the total is the sum of
the three. `count_tokens` and the submission of a batch are spans without money.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final

from spanledger import names
from spanledger.attributes import Facts
from spanledger.prompts import Layout
from spanledger.record import Attributes
from spanledger.sdk import Endpoint, Sdk
from spanledger.usage import Usage, UsageState

from .anthropic_batches import make_look_back
from .fields import as_text, count, fields, get, snapshot, text, whole
from .hosts import ANTHROPIC_CLIENTS, CLAUDE_HOSTS
from .refused import by_anthropic

_NUMBERS: Final = (int, float)  # written out, because `int | float` makes a new type each time
_COUNTS: Final = {
    "input_tokens": "input",
    "output_tokens": "output",
    "cache_read_input_tokens": "cache_read",
    "cache_creation_input_tokens": "cache_write",
}


def _request_attributes(body: Mapping[str, Any]) -> Attributes:
    attributes: Attributes = {}
    if isinstance(most := body.get("max_tokens"), int):
        attributes[names.MAX_TOKENS] = most
    if isinstance(temperature := body.get("temperature"), _NUMBERS):
        attributes[names.TEMPERATURE] = float(temperature)
    return attributes


def _ask_for_usage(url: str, body: Mapping[str, Any], extra: object) -> None:
    """Streams of Anthropic always report usage."""


def _never_usage_only(event: object) -> bool:
    return False


def _read_message(facts: Facts, body: object) -> None:
    _read_start(facts, body)
    facts.complete = facts.usage is not None and _is_told(facts.usage)


def _is_told(usage: Mapping[str, Any]) -> bool:
    """Tell whether a usage object counts anything; a server that can't count sends one of zeros or nulls."""
    for key in _COUNTS:  # noqa: SIM110 - a generator costs more than all else here
        if whole(usage.get(key)):
            return True
    return False


def _read_start(facts: Facts, body: object) -> None:
    told = fields(body)
    facts.response_id = as_text(told.get("id"))
    facts.response_model = as_text(told.get("model"))
    asked = facts.asked.get("model")
    if isinstance(asked, str) and "anthropic." in asked:
        # Bedrock answers with Anthropic's name, but the price is that of its own: a global profile is a tenth cheaper.
        facts.response_model = asked.rpartition("/")[2]
    reason = as_text(told.get("stop_reason"))
    if reason:
        facts.finish_reasons = [reason]
    usage = told.get("usage")
    if usage is not None:
        facts.usage = snapshot(usage)


def _piece(event: Any) -> str | None:
    if getattr(event, "type", None) == "content_block_delta" and event.delta.type == "text_delta":
        piece: str = event.delta.text
        return piece
    return None


def _hear(facts: Facts, event: object) -> None:
    kind = get(event, "type")
    if kind == "content_block_delta":
        _hear_delta(facts, get(event, "delta"))
    elif kind == "message_start":
        _read_start(facts, get(event, "message"))
    elif kind == "message_delta":
        reason = text(get(event, "delta"), "stop_reason")
        if reason:
            facts.finish_reasons = [reason]
        usage = get(event, "usage")
        if usage is not None:
            # The counts at the end of a stream replace those of its start, where they are given.
            last = {name: value for name, value in snapshot(usage).items() if value is not None}
            facts.usage = {**(facts.usage or {}), **last}
            facts.complete = _is_told(facts.usage)
    elif kind == "error":
        facts.error_type = text(get(event, "error"), "type") or "error"


def _hear_delta(facts: Facts, delta: object) -> None:
    said = text(delta, "text") or text(delta, "partial_json") or text(delta, "thinking")
    if said is not None:
        facts.say(said)


def _tally(facts: Facts, usage: Mapping[str, Any]) -> None:
    facts.counts.clear()  # a batch of spans that comes to nothing is made again
    if not _is_told(usage):
        return
    for key, name in _COUNTS.items():
        if (found := usage.get(key)) is not None:
            facts.counts[name] = whole(found)
    created = usage.get("cache_creation")
    if created is not None:
        facts.counts["cache_write_5m"] = count(created, "ephemeral_5m_input_tokens")
        facts.counts["cache_write_1h"] = count(created, "ephemeral_1h_input_tokens")
    for iteration in usage.get("iterations") or ():
        if text(iteration, "type") == "compaction":
            _add_compaction(facts.counts, iteration)
    if (details := usage.get("output_tokens_details")) and (thinking := count(details, "thinking_tokens")):
        facts.counts["thinking"] = thinking
    if (used := usage.get("server_tool_use")) and (searches := count(used, "web_search_requests")):
        facts.counts["web_searches"] = searches
    facts.service_tier = as_text(usage.get("service_tier")) or facts.service_tier
    facts.speed = as_text(usage.get("speed")) or facts.speed
    facts.region = as_text(usage.get("inference_geo")) or facts.region


def _add_compaction(counts: dict[str, int], iteration: object) -> None:
    """Add what summarising a long context used: it is charged like the rest, and left out of the totals."""
    created = get(iteration, "cache_creation")
    for key, name in _COUNTS.items():
        counts[name] = counts.get(name, 0) + count(iteration, key)
    if created is not None:
        counts["cache_write_1h"] = counts.get("cache_write_1h", 0) + count(created, "ephemeral_1h_input_tokens")


def _read_free(facts: Facts, body: object) -> None:
    facts.response_id = text(body, "id")


def _usage(counts: Mapping[str, int], state: UsageState) -> Usage:
    read, written = counts.get("cache_read", 0), counts.get("cache_write", 0)
    one_hour = counts.get("cache_write_1h", 0)
    searches = counts.get("web_searches")
    return Usage.from_totals(
        counts.get("input", 0) + read + written,
        counts.get("output", 0),
        state=state,
        units={"web_searches": Decimal(searches)} if searches else None,
        cache_read_tokens=read,
        # Without the split, a write is one of five minutes, Anthropic's default.
        cache_write_5m_tokens=written - one_hour,
        cache_write_1h_tokens=one_hour,
        reasoning_tokens=counts.get("thinking", 0),
    )


_PARTS: Final = Layout("messages", "system", "tools")

SDK: Final[Sdk] = Sdk(
    provider="anthropic",
    endpoints={
        "/v1/messages": Endpoint("chat", _read_message, _hear, _usage, _tally, _piece, prompt=_PARTS),
        "/v1/messages/batches": Endpoint("batches", _read_free, _read_free, _usage, free=True, paid_later=True),
        "/v1/messages/count_tokens": Endpoint("count_tokens", _read_free, _read_free, _usage, free=True),
    },
    request_attributes=_request_attributes,
    ask_for_usage=_ask_for_usage,
    is_usage_only=_never_usage_only,
    hosts=CLAUDE_HOSTS,
    clients=ANTHROPIC_CLIENTS,
    look_back=make_look_back(lambda: SDK),
    refusal=by_anthropic,
)
