"""What a Gemini response used.

Prompt counts include what came from the cache; thoughts stand beside the candidates and are output, what tools put
into the prompt stands beside the prompt and is input. The audio and image counts of the details are parts of these.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final

from spanledger.attributes import Facts
from spanledger.texts import all_texts
from spanledger.usage import Usage, UsageState

from .fields import count, get, text

_COUNTS: Final = {
    "promptTokenCount": "prompt",
    "toolUsePromptTokenCount": "tools",
    "cachedContentTokenCount": "cached",
    "candidatesTokenCount": "candidates",
    "thoughtsTokenCount": "thoughts",
}
_DETAILS: Final = {
    "promptTokensDetails": "prompt",
    "toolUsePromptTokensDetails": "tools",
    "cacheTokensDetails": "cached",
    "candidatesTokensDetails": "candidates",
}
_TIERS: Final = {
    "ON_DEMAND": "standard",
    "ON_DEMAND_FLEX": "flex",
    "ON_DEMAND_OFFPEAK": "offpeak",
    "ON_DEMAND_PRIORITY": "priority",
    "PROVISIONED_THROUGHPUT": "provisioned_throughput",
}
_SEARCHES_BY_PROMPT: Final = ("gemini-1", "gemini-2")
"""Up to this generation a grounded answer is one search however many queries it took."""


def _parse(facts: Facts, response: object) -> Any:
    if type(response) is dict:
        return response  # parsed already
    headers = get(response, "headers") or {}
    tier = next((value for name, value in headers.items() if name.lower() == "x-gemini-service-tier"), None)
    facts.service_tier = tier or facts.service_tier
    body = text(response, "body")
    return json.loads(body) if body else {}


def read_content(facts: Facts, response: object) -> None:
    """Read a whole response, or one event of a stream: each event has the same fields, with running totals."""
    body = _parse(facts, response)
    facts.response_id = text(body, "responseId") or facts.response_id
    facts.response_model = text(body, "modelVersion") or facts.response_model
    reasons = [text(candidate, "finishReason") for candidate in get(body, "candidates") or ()]
    reasons.append(text(get(body, "promptFeedback"), "blockReason"))
    facts.finish_reasons = [reason.lower() for reason in reasons if reason] or facts.finish_reasons
    usage = get(body, "usageMetadata")
    if usage is not None:
        _read_usage(facts, usage)
    for candidate in get(body, "candidates") or ():
        _read_searches(facts, get(candidate, "groundingMetadata"))
        for part in get(get(candidate, "content"), "parts") or ():
            _hear_part(facts, part)
    facts.complete = bool(facts.counts and facts.finish_reasons)


def _hear_part(facts: Facts, part: object) -> None:
    said = text(part, "text")
    if said is not None:
        facts.say(said)
    elif get(part, "functionCall") is not None:
        for said in all_texts(part):
            facts.say(said)


def _read_searches(facts: Facts, grounding: object) -> None:
    queries = sum(bool(query) for query in get(grounding, "webSearchQueries") or ())
    if queries:
        by_prompt = (facts.response_model or "").startswith(_SEARCHES_BY_PROMPT)
        facts.units["web_searches"] = Decimal(1 if by_prompt else queries)


def _read_usage(facts: Facts, usage: object) -> None:
    for key, name in _COUNTS.items():
        if get(usage, key) is not None:
            facts.counts[name] = count(usage, key)
    for key, name in _DETAILS.items():
        for detail in get(usage, key) or ():
            modality = text(detail, "modality")
            if modality in ("AUDIO", "IMAGE"):
                facts.counts[f"{name}_{modality.lower()}"] = count(detail, "tokenCount")
    tier = text(usage, "serviceTier") or _TIERS.get(text(usage, "trafficType") or "")
    facts.service_tier = tier or facts.service_tier


def read_embeddings(facts: Facts, response: object) -> None:
    """Read the count that some embedding models report; without it there is no usage."""
    usage = get(_parse(facts, response), "usageMetadata")
    if usage is not None and get(usage, "promptTokenCount") is not None:
        _read_usage(facts, usage)
        facts.complete = True


def read_predicted_embeddings(facts: Facts, response: object) -> None:
    """Read the counts that Vertex AI gives for each text."""
    predictions = get(_parse(facts, response), "predictions") or ()
    statistics = [get(get(one, "embeddings"), "statistics") for one in predictions]
    if statistics and all(get(one, "token_count") is not None for one in statistics):
        # Whole numbers, though Vertex AI may write them as 7.0.
        facts.counts["prompt"] = sum(int(get(one, "token_count")) for one in statistics)
        facts.complete = True


def read_predictions(facts: Facts, response: object) -> None:
    """Count the images made."""
    predictions = get(_parse(facts, response), "predictions") or ()
    made = sum(bool(text(one, "bytesBase64Encoded") or text(one, "gcsUri")) for one in predictions)
    if made:
        facts.units["images"] = Decimal(made)
        facts.complete = True


def read_free(facts: Facts, response: object) -> None:
    """Read what costs nothing."""
    facts.response_id = text(_parse(facts, response), "name")


def token_usage(counts: Mapping[str, int], state: UsageState) -> Usage:
    """Build the vector; what of the cache was neither text nor audio has the price of a text read."""

    def of(name: str) -> int:
        return counts.get(name, 0)

    thoughts = of("thoughts")
    return Usage.from_totals(
        of("prompt") + of("tools"),
        of("candidates") + thoughts,
        state=state,
        cache_read_tokens=of("cached") - of("cached_audio"),
        cache_read_audio_tokens=of("cached_audio"),
        input_audio_tokens=of("prompt_audio") - of("cached_audio") + of("tools_audio"),
        input_image_tokens=of("prompt_image") - of("cached_image") + of("tools_image"),
        reasoning_tokens=thoughts,
        output_audio_tokens=of("candidates_audio"),
        output_image_tokens=of("candidates_image"),
    )
