"""What a Bedrock response used.

Input counts of Bedrock leave out what was read from and written to the prompt cache. Each family of models has names of
its own for its counts, so the names are a table; what neither body, nor metrics, nor headers report is not counted.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import Any, Final

from spanledger.attributes import Facts
from spanledger.usage import Usage, UsageState

from .fields import count, get, text

_COUNTS: Final = {
    # Converse, and Amazon Nova
    "inputTokens": "input",
    "outputTokens": "output",
    "cacheReadInputTokens": "cache_read",
    "cacheWriteInputTokens": "cache_write",
    # the metrics at the end of every stream of InvokeModel
    "inputTokenCount": "input",
    "outputTokenCount": "output",
    "cacheReadInputTokenCount": "cache_read",
    "cacheWriteInputTokenCount": "cache_write",
    # Anthropic
    "input_tokens": "input",
    "output_tokens": "output",
    "cache_read_input_tokens": "cache_read",
    "cache_creation_input_tokens": "cache_write",
    # Meta
    "prompt_token_count": "input",
    "generation_token_count": "output",
    # Mistral, DeepSeek, OpenAI and others that speak like it
    "prompt_tokens": "input",
    "completion_tokens": "output",
    # Amazon Titan
    "inputTextTokenCount": "input",
    "totalOutputTextTokenCount": "output",
}
_HEADERS: Final = {
    "x-amzn-bedrock-input-token-count": "input",
    "x-amzn-bedrock-output-token-count": "output",
    "x-amzn-bedrock-cache-read-input-token-count": "cache_read",
    "x-amzn-bedrock-cache-write-input-token-count": "cache_write",
}
_METRICS: Final = "amazon-bedrock-invocationMetrics"
_REASONS: Final = ("stopReason", "stop_reason", "finish_reason", "completionReason")
_CHOICES: Final = ("choices", "outputs", "results", "generations")
"""Where families put their answers when they may give several."""


def read_metadata(facts: Facts, response: object) -> None:
    """Read what stands beside the body: the request's id, the counts and the tier of InvokeModel."""
    metadata = get(response, "ResponseMetadata")
    facts.response_id = text(metadata, "RequestId")
    headers = get(metadata, "HTTPHeaders") or {}
    for header, name in _HEADERS.items():
        value = headers.get(header, "")
        if value.isdecimal():
            facts.counts[name] = int(value)
    facts.complete = "input" in facts.counts
    facts.service_tier = text(response, "serviceTier")
    facts.speed = _speed(text(response, "performanceConfigLatency"))


def read_converse(facts: Facts, body: object) -> None:
    """Read a response of Converse, or the last event of its stream."""
    reason = text(body, "stopReason")
    if reason:
        facts.finish_reasons = [reason]
    _read_counts(facts, get(body, "usage"))
    facts.complete = bool(facts.counts)
    facts.service_tier = text(get(body, "serviceTier"), "type") or facts.service_tier
    facts.speed = _speed(text(get(body, "performanceConfig"), "latency")) or facts.speed
    facts.response_model = text(get(get(body, "trace"), "promptRouter"), "invokedModelId")


def hear_converse(facts: Facts, message: Any) -> None:
    """Read a message of an event stream; those that carry text are not even parsed, only kept."""
    kind = _kind(facts, message)
    if kind == "contentBlockDelta":
        facts.say(message.payload)
    elif kind == "metadata":
        read_converse(facts, json.loads(message.payload))
    elif kind == "messageStop":
        reason = text(json.loads(message.payload), "stopReason")
        facts.finish_reasons = [reason] if reason else []


def read_invoke(facts: Facts, body: object) -> None:
    """Read a response of InvokeModel, of whichever family."""
    _read_part(facts, body)
    facts.complete = "input" in facts.counts


def hear_invoke(facts: Facts, message: Any) -> None:
    """Read a message of an event stream: a part of the family's own format, in base64."""
    if _kind(facts, message) != "chunk":
        return
    facts.say(message.payload)
    part = json.loads(base64.b64decode(json.loads(message.payload)["bytes"]))
    _read_part(facts, part)
    # Anthropic's first event, and Nova's last but one.
    _read_part(facts, get(part, "message"))
    _read_part(facts, get(part, "metadata"))
    _read_reason(facts, get(part, "delta"))
    _read_reason(facts, get(part, "messageStop"))
    metrics = get(part, _METRICS)
    if metrics is not None:
        _read_counts(facts, metrics)
        facts.complete = True


def read_free(facts: Facts, body: object) -> None:
    """Read nothing: counting tokens costs nothing."""


def _kind(facts: Facts, message: Any) -> str | None:
    """Return the event's type, and note an exception that comes as an event."""
    headers: Mapping[str, str] = message.headers
    failed = headers.get(":exception-type") or headers.get(":error-code")
    if failed:
        facts.error_type = failed
    return headers.get(":event-type")


def _read_part(facts: Facts, part: object) -> None:
    if not isinstance(part, dict):
        return
    facts.response_id = text(part, "id") or text(part, "response_id") or facts.response_id
    _read_reason(facts, part)
    for key in _CHOICES:
        for choice in get(part, key) or ():
            _read_reason(facts, choice)
    _read_counts(facts, part)
    _read_counts(facts, get(part, "usage"))
    results = get(part, "results")
    if isinstance(results, list) and results:
        facts.counts["output"] = sum(count(result, "tokenCount") for result in results)


def _read_reason(facts: Facts, part: object) -> None:
    for key in _REASONS:
        reason = text(part, key)
        if reason:
            facts.finish_reasons = [reason.lower()]


def _read_counts(facts: Facts, counts: object) -> None:
    if not isinstance(counts, dict):
        return
    for key, name in _COUNTS.items():
        if isinstance(counts.get(key), int):
            facts.counts[name] = counts[key]
    details = get(counts, "prompt_tokens_details")
    if details is not None and "prompt_tokens" in counts:
        # The one family whose input includes the cache.
        facts.counts["cache_read"] = count(details, "cached_tokens")
        facts.counts["input"] -= facts.counts["cache_read"]
    one_hour = [count(detail, "inputTokens") for detail in get(counts, "cacheDetails") or () if _is_1h(detail)]
    created = get(counts, "cache_creation")
    if created is not None:
        one_hour.append(count(created, "ephemeral_1h_input_tokens"))
    if one_hour:
        facts.counts["cache_write_1h"] = sum(one_hour)
    thinking = count(get(counts, "output_tokens_details"), "thinking_tokens")
    reasoning = count(get(counts, "completion_tokens_details"), "reasoning_tokens")
    if thinking or reasoning:
        facts.counts["reasoning"] = thinking or reasoning


def _is_1h(detail: object) -> bool:
    return text(detail, "ttl") == "1h"


def _speed(latency: str | None) -> str | None:
    return None if latency == "standard" else latency


def token_usage(counts: Mapping[str, int], state: UsageState) -> Usage:
    """Build the vector; a write without a lifetime is one of five minutes, Bedrock's default."""
    read, written, one_hour = (counts.get(name, 0) for name in ("cache_read", "cache_write", "cache_write_1h"))
    return Usage.from_totals(
        counts.get("input", 0) + read + written,
        counts.get("output", 0),
        state=state,
        cache_read_tokens=read,
        cache_write_5m_tokens=written - one_hour,
        cache_write_1h_tokens=one_hour,
        reasoning_tokens=counts.get("reasoning", 0),
    )
