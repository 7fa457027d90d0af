"""What emitters leave inside JSON texts: which column of the row stands in which key, and how it is found.

A regular expression, not a parser, so that a batch costs no Python per span. Quotes inside such a text are escaped, so
that a pattern that starts with one can't match what a model or user wrote. Eighteen digits fit in 64 bits and are
absurd enough to be noticed. Single quotes: some emitters send what Python prints.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

Pattern = tuple[str, str]
"""Key, and a regular expression with a group `found`."""

RAW: Final = "gen_ai.usage.raw"
"""Logfire: the usage as the provider has it."""
LANGFUSE: Final = "langfuse.observation.usage_details"
LANGFUSE_COST: Final = "langfuse.observation.cost_details"
MLFLOW: Final = "mlflow.chat.tokenUsage"
MLFLOW_COST: Final = "mlflow.llm.cost"
LANGSMITH: Final = "langsmith.usage_metadata"
LANGSMITH_IN: Final = "gen_ai.usage.input_token_details"
LANGSMITH_OUT: Final = "gen_ai.usage.output_token_details"
VERCEL: Final = "ai.response.providerMetadata"
GENKIT: Final = "genkit:output"
GENKIT_PATH: Final = "genkit:path"
_USAGES: Final = (LANGFUSE, MLFLOW, LANGSMITH)
_INPUT: Final = r"""["'](?:input|prompt)_tokens?_details["']\s*:\s*\{[^{}]*"""
_OUTPUT: Final = r"""["'](?:output|completion)_tokens?_details["']\s*:\s*\{[^{}]*"""
_GENKIT: Final = r'"usage"\s*:\s*\{[^{}]*'


def _count(*names: str, inside: str = "") -> str:
    """Return a pattern for a whole number under one of the names."""
    return rf"""{inside}["'](?:{"|".join(names)})["']\s*:\s*(?P<found>\d{{1,18}})(?:\.0+)?\s*[,}}\]]"""


def _money(*names: str) -> str:
    return rf"""["'](?:{"|".join(names)})["']\s*:\s*(?P<found>\d{{1,9}}(?:\.\d{{1,30}})?(?:[eE]-?\d{{1,2}})?)\s*[,}}]"""


def _each(keys: tuple[str, ...], pattern: str) -> tuple[Pattern, ...]:
    return tuple((key, pattern) for key in keys)


def _quoted(key: str) -> Pattern:
    """Return the text of a key whose emitter writes every value as JSON."""
    return key, r'^"?(?P<found>[^"{}\[\]]+)"?$'


MINED: Final[Mapping[str, tuple[Pattern, ...]]] = {
    "response_id": (("output.value", r'^\{"id":"(?P<found>[^"]+)"'),),
    "provider": (
        _quoted("mlflow.llm.provider"),
        (GENKIT_PATH, r"\{(?P<found>[^/%{},]+)(?:/|%2F)[^{},]+,t:action,s:model\}$"),
    ),
    "request_model": (
        _quoted("mlflow.llm.model"),
        (GENKIT_PATH, r"\{(?:[^/%{},]+(?:/|%2F))?(?P<found>[^{},]+),t:action,s:model\}$"),
    ),
    "service_tier": (
        (RAW, r'"service_tier":"(?P<found>[a-z_]{1,40})"'),
        (VERCEL, r'"(?:serviceTier|service_tier)":"(?P<found>[a-z_]{1,40})"'),
        # Of what is asked for only flex is certain: such a request is served so, or refused.
        *_each(
            ("llm.invocation_parameters", "langfuse.observation.model.parameters"),
            r'"service_tier"\s*:\s*"(?P<found>flex)"',
        ),
    ),
    "finish_reason": (("gen_ai.output.messages", r'"finish_reason":"(?P<found>[a-z_]{1,40})"\}\]$'),),
    "input": (
        ("output.value", r'"usage":\{"input_tokens":(?P<found>\d{1,18})'),
        *_each(_USAGES, _count("input_tokens", "prompt_tokens")),
        (GENKIT, _count("inputTokens", inside=_GENKIT)),
    ),
    "output": (
        ("output.value", r'"usage":\{"input_tokens":[^}]*\},"output_tokens":(?P<found>\d{1,18})'),
        *_each(_USAGES, _count("output_tokens", "completion_tokens")),
        (GENKIT, _count("outputTokens", inside=_GENKIT)),
    ),
    "input_uncached": (
        (LANGFUSE, _count("input")),
        (VERCEL, r'"usage":\{[^{}]*"input_tokens":(?P<found>\d{1,18})'),
    ),
    "output_text": ((LANGFUSE, _count("output")),),
    "total": (*_each(_USAGES, _count("total", "total_tokens")), (GENKIT, _count("totalTokens", inside=_GENKIT))),
    "cache_read": (
        (RAW, r'"cache_read_input_tokens":(?P<found>\d{1,18})'),
        (RAW, r'"cached_tokens":(?P<found>\d{1,18})'),
        (
            LANGFUSE,
            _count("input_cached_tokens", "input_cache_read", "input_cache_read_tokens", "cache_read_input_tokens"),
        ),
        *_each(_USAGES, _count("cached_tokens", inside=_INPUT)),
        (MLFLOW, _count("cache_read_input_tokens")),
        *_each((LANGSMITH, LANGFUSE), _count("cache_read", inside=_INPUT)),
        (LANGSMITH_IN, _count("cache_read")),
        (VERCEL, _count("cachedPromptTokens", "cacheReadInputTokens", "cache_read_input_tokens")),
        (GENKIT, _count("cachedContentTokens", inside=_GENKIT)),
    ),
    "cache_write": (
        (RAW, r'"cache_creation_input_tokens":(?P<found>\d{1,18})'),
        (RAW, r'"cache_write_tokens":(?P<found>\d{1,18})'),
        (LANGFUSE, _count("input_cache_creation", "input_cache_creation_tokens", "cache_creation_input_tokens")),
        (MLFLOW, _count("cache_creation_input_tokens")),
        *_each((LANGSMITH, LANGFUSE), _count("cache_creation", inside=_INPUT)),
        (LANGSMITH_IN, _count("cache_creation")),
        (VERCEL, _count("cacheCreationInputTokens", "cacheWriteInputTokens", "cache_creation_input_tokens")),
    ),
    "cache_write_5m": (
        (LANGFUSE, _count("input_cache_creation_5m")),
        *_each((LANGSMITH, LANGSMITH_IN, VERCEL), _count("ephemeral_5m_input_tokens")),
    ),
    "cache_write_1h": (
        (RAW, r'"ephemeral_1h_input_tokens":(?P<found>\d{1,18})'),
        (LANGFUSE, _count("input_cache_creation_1h")),
        (MLFLOW, _count("cache_creation_input_tokens_above_1hr")),
        *_each((LANGSMITH, LANGSMITH_IN, VERCEL), _count("ephemeral_1h_input_tokens")),
    ),
    "reasoning": (
        (RAW, r'"reasoning_tokens":(?P<found>\d{1,18})'),
        (RAW, r'"thinking_tokens":(?P<found>\d{1,18})'),
        (LANGFUSE, _count("output_reasoning_tokens", "output_reasoning")),
        *_each(_USAGES, _count("reasoning", "reasoning_tokens", inside=_OUTPUT)),
        (LANGSMITH_OUT, _count("reasoning")),
        (VERCEL, _count("reasoningTokens")),
        (GENKIT, _count("thoughtsTokens", inside=_GENKIT)),
    ),
    "input_audio": (
        (LANGFUSE, _count("input_audio", "input_audio_tokens")),
        *_each(_USAGES, _count("audio", "audio_tokens", inside=_INPUT)),
        (LANGSMITH_IN, _count("audio")),
    ),
    "output_audio": (
        (LANGFUSE, _count("output_audio", "output_audio_tokens")),
        *_each(_USAGES, _count("audio", "audio_tokens", inside=_OUTPUT)),
        (LANGSMITH_OUT, _count("audio")),
    ),
    "cost_usd": ((LANGFUSE_COST, _money("total")), (MLFLOW_COST, _money("total_cost"))),
}
"""Column -> where it may stand, the first that is there wins; only where no key of its own says it."""
KEYS: Final = frozenset(key for patterns in MINED.values() for key, _ in patterns)
