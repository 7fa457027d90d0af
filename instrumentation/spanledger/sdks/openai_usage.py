"""OpenAI's token counts: read from a usage object, and turned into the token vector.

Input counts include what was read from and written to the prompt cache, so they are the totals as they stand.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final, NamedTuple

from spanledger.attributes import Facts
from spanledger.usage import Usage, UsageState

from .fields import count, whole


class UsageNames(NamedTuple):
    """How one of OpenAI's APIs names its counts."""

    input: str
    output: str
    input_details: str
    output_details: str


# In full, never put together at run time: interpreters keep every name they have looked an attribute up by.
CHAT_NAMES: Final = UsageNames(
    "prompt_tokens", "completion_tokens", "prompt_tokens_details", "completion_tokens_details"
)
REALTIME_NAMES: Final = UsageNames("input_tokens", "output_tokens", "input_token_details", "output_token_details")
RESPONSE_NAMES: Final = UsageNames("input_tokens", "output_tokens", "input_tokens_details", "output_tokens_details")

_SEARCHES: Final = ("web_searches", "storage_searches")
_INPUT_DETAILS: Final = (
    ("cached_tokens", "cached"),
    ("cache_write_tokens", "written"),
    ("audio_tokens", "audio_in"),
    ("image_tokens", "image_in"),
)
_CACHED: Final = ("prompt_cache_hit_tokens", "cached_tokens", "num_cached_tokens")
"""Where DeepSeek, Moonshot and Together, and Mistral say what came from the cache, if not in the details."""
_OUTPUT_DETAILS: Final = (
    ("reasoning_tokens", "reasoning"),
    ("audio_tokens", "audio_out"),
    ("image_tokens", "image_out"),
)


def read_usage(facts: Facts, usage: Mapping[str, Any], told: UsageNames) -> None:
    """Read a usage object."""
    counts, into_all, out_all = facts.counts, whole(usage.get(told.input)), whole(usage.get(told.output))
    if not into_all and not out_all:
        return  # zeros, or no numbers: what a server that doesn't count says
    counts["input"], counts["output"] = into_all, out_all
    into = usage.get(told.input_details)
    if type(into) is dict:
        for key, name in _INPUT_DETAILS:
            if found := into.get(key):
                counts[name] = whole(found)
        if "cached" in counts:
            cached = into.get("cached_tokens_details")
            counts["cached_audio"] = count(cached, "audio_tokens")
            counts["cached_image"] = count(cached, "image_tokens")
        if "written" in counts:
            counts["written_12h"] = count(into.get("cache_write_tokens_details"), "ttl_12h_tokens")
    else:
        counts["cached"] = next((found for key in _CACHED if (found := whole(usage.get(key)))), 0)
    out = usage.get(told.output_details)
    if type(out) is dict:
        for key, name in _OUTPUT_DETAILS:
            if found := out.get(key):
                counts[name] = whole(found)
        reasoning = counts.get("reasoning", 0)
        if reasoning and usage.get("total_tokens") == counts["input"] + counts["output"] + reasoning:
            counts["output"] += reasoning  # xAI counts it beside the output, not in it


def is_told(usage: Mapping[str, Any], told: UsageNames) -> bool:
    """Tell whether a usage object counts anything; a server that can't count sends one of zeros or nulls."""
    return bool(whole(usage.get(told.input)) or whole(usage.get(told.output)))


def tally_chat(facts: Facts, usage: Mapping[str, Any]) -> None:
    """Count by the names of chat completions."""
    read_usage(facts, usage, CHAT_NAMES)


def tally_response(facts: Facts, usage: Mapping[str, Any]) -> None:
    """Count by the names of responses."""
    read_usage(facts, usage, RESPONSE_NAMES)


def tally_realtime(facts: Facts, usage: Mapping[str, Any]) -> None:
    """Count by the names of the realtime API."""
    read_usage(facts, usage, REALTIME_NAMES)


def token_usage(counts: Mapping[str, int], state: UsageState) -> Usage:
    """Turn counts into the token vector."""
    units = {name: Decimal(counts[name]) for name in _SEARCHES if name in counts}
    if "input" not in counts:
        return Usage(units=units, state=state) if units else Usage(state="missing")
    cached_audio, written_12h = counts.get("cached_audio", 0), counts.get("written_12h", 0)
    return Usage.from_totals(
        counts["input"],
        counts["output"],
        state=state,
        units=units,
        cache_read_tokens=counts.get("cached", 0) - cached_audio,
        cache_read_audio_tokens=cached_audio,
        # OpenAI's shorter lifetime, 30 minutes, has the price of a plain write.
        cache_write_5m_tokens=counts.get("written", 0) - written_12h,
        cache_write_12h_tokens=written_12h,
        input_audio_tokens=counts.get("audio_in", 0) - cached_audio,
        # There is no part for images read from the cache: they are with the text, which is priced almost alike.
        input_image_tokens=counts.get("image_in", 0) - counts.get("cached_image", 0),
        reasoning_tokens=counts.get("reasoning", 0),
        output_audio_tokens=counts.get("audio_out", 0),
        output_image_tokens=counts.get("image_out", 0),
    )
