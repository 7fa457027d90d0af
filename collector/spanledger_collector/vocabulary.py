"""Which attribute of which vocabulary fills which column of the row.

One set of tables for all dialects, because vocabularies are namespaced and emitters mix them; what depends on who
emitted stands in `dialects`. Facts: the emitters' own sources and the recorded bodies in tests/fixtures/otlp.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal

from spanledger import names

Kind = Literal["text", "count", "number", "flag", "first", "hashes"]
"""How a key is read: text (or whole number as text), whole number, any number, boolean, first of a list, and bytes that
are whole numbers of eight bytes, little-endian."""

PLAN_KEYS: Final = ("anthropic.plan",)
"""Names a subscription; there are none where a call is paid by use."""
SEAT_KEYS: Final = ("anthropic.seat_type",)
"""How a subscription's seat is paid; some are paid by use."""
TEXTS: Final[Mapping[str, tuple[str, ...]]] = {
    "operation": (names.OPERATION,),
    "provider": (names.PROVIDER, "gen_ai.system", "llm.provider", "llm.system"),
    "request_model": (names.REQUEST_MODEL, "llm.request.model_name", "embedding.model_name"),
    "response_model": (names.RESPONSE_MODEL, "llm.response.model_name", "llm.model_name"),
    "response_id": (names.RESPONSE_ID,),
    "error_type": (names.ERROR_TYPE,),
    "service_tier": (
        names.SERVICE_TIER,
        "openai.response.service_tier",
        "gen_ai.openai.response.service_tier",
        "anthropic.response.service_tier",
    ),
    "speed": (names.SPEED,),
    "region": (names.REGION, "cloud.region"),
    "endpoint_host": (names.SERVER_ADDRESS,),
    "provider_account": ("anthropic.organization.id",),
    "agent_name": (names.AGENT_NAME,),
    "tool_name": (names.TOOL_NAME, "tool.name"),
    "prompt_name": ("gen_ai.prompt.name", "traceloop.prompt.key"),
    "prompt_version": ("gen_ai.prompt.version", "traceloop.prompt.version", "llm.prompt_template.version"),
    "user_id": (names.USER_ID, "enduser.id"),
    "team_id": (names.TEAM_ID,),
    "customer_id": (names.CUSTOMER_ID,),
    "feature": (names.FEATURE,),
    "session_id": (names.SESSION_ID, "gen_ai.conversation.id"),
    "request_type": (names.REQUEST_TYPE,),
    "usage_state": (names.USAGE_STATE,),
    "cost_source": (names.COST_SOURCE,),
    "billing_basis": (names.BILLING_BASIS,),
    "plan": PLAN_KEYS,
    "seat": SEAT_KEYS,
    "api_key_hash": (names.API_KEY_HASH,),
    "prompt_hash": (names.PROMPT_HASH,),
    "system_hash": (names.SYSTEM_HASH,),
    "tools_hash": (names.TOOLS_HASH,),
}
"""Column -> keys, the first that is there wins."""

COUNTS: Final[Mapping[str, tuple[str, ...]]] = {
    "input": (names.INPUT_TOKENS, "gen_ai.usage.prompt_tokens", "llm.token_count.prompt", "llm.usage.prompt_tokens"),
    "output": (
        names.OUTPUT_TOKENS,
        "gen_ai.usage.completion_tokens",
        "llm.token_count.completion",
        "llm.usage.completion_tokens",
    ),
    "total": (
        "gen_ai.usage.total_tokens",
        "llm.token_count.total",
        "llm.usage.total_tokens",
        "gen_ai.client.token.usage",
    ),
    "cache_read": (
        names.CACHE_READ_TOKENS,
        "gen_ai.usage.cache_read_input_tokens",
        "llm.token_count.prompt_details.cache_read",
        "gen_ai.usage.prompt_tokens_details.cached_tokens",
        "gen_ai.usage.details.cache_read_tokens",
    ),
    "cache_write": (
        names.CACHE_WRITE_TOKENS,
        "gen_ai.usage.cache_creation.input_tokens",
        "gen_ai.usage.cache_creation_input_tokens",
        "llm.token_count.prompt_details.cache_write",
        "gen_ai.usage.prompt_tokens_details.cache_creation_tokens",
        "gen_ai.usage.details.cache_write_tokens",
    ),
    "cache_write_5m": (
        names.CACHE_WRITE_5M_TOKENS,
        "anthropic.usage.cache_creation.ephemeral_5m_input_tokens",
    ),
    "cache_write_1h": (
        names.CACHE_WRITE_1H_TOKENS,
        "anthropic.usage.cache_creation.ephemeral_1h_input_tokens",
    ),
    "cache_write_12h": (names.CACHE_WRITE_12H_TOKENS,),
    "reasoning": (
        names.REASONING_TOKENS,
        "gen_ai.usage.reasoning_tokens",
        "llm.usage.reasoning_tokens",
        "llm.token_count.completion_details.reasoning",
        "gen_ai.usage.completion_tokens_details.reasoning_tokens",
        "gen_ai.usage.details.reasoning_tokens",
    ),
    "input_audio": (names.INPUT_AUDIO_TOKENS, "llm.token_count.prompt_details.audio"),
    "input_image": (names.INPUT_IMAGE_TOKENS,),
    "cache_read_audio": (names.CACHE_READ_AUDIO_TOKENS,),
    "output_audio": (names.OUTPUT_AUDIO_TOKENS, "llm.token_count.completion_details.audio"),
    "output_image": (names.OUTPUT_IMAGE_TOKENS,),
    "max_tokens": (names.MAX_TOKENS,),
    "attempts": (names.ATTEMPTS,),
    "resends": ("http.request.resend_count",),
    "cost_pico": (names.STATED_COST_PICO_USD, names.COST_PICO_USD),
    "retry_pico": (names.RETRY_COST_PICO_USD,),
    "turn": (names.TURN,),
    "message_count": (names.MESSAGE_COUNT,),
    "tool_count": (names.TOOL_COUNT,),
    "system_size": (names.SYSTEM_SIZE,),
    "tools_size": (names.TOOLS_SIZE,),
    "history_size": (names.HISTORY_SIZE,),
    "tool_results_size": (names.TOOL_RESULTS_SIZE,),
    "user_size": (names.USER_SIZE,),
    "simhash": (names.SIMHASH,),
}
"""Whole numbers: token counts as the wire has them (subsets may overlap) and a few more."""

NUMBERS: Final[Mapping[str, tuple[str, ...]]] = {
    "temperature": (names.TEMPERATURE,),
    "first_token_s": (names.FIRST_CHUNK_S, "gen_ai.server.time_to_first_token"),
    "cost_usd": (names.COST_USD, "gen_ai.usage.cost.amount", "llm.cost.total"),
}
FLAGS: Final[Mapping[str, tuple[str, ...]]] = {
    "is_batch": (names.IS_BATCH,),
    "stream": (names.STREAM, "gen_ai.is_streaming"),
    "parent_sampled": (names.PARENT_SAMPLED,),
}
FIRSTS: Final[Mapping[str, tuple[str, ...]]] = {
    "finish_reason": (names.FINISH_REASONS, "anthropic.message.stop_reason", "llm.finish_reason"),
}
HASHES: Final[Mapping[str, tuple[str, ...]]] = {"prefix_chain": (names.PREFIX_CHAIN,)}
RESOURCE_TEXTS: Final[Mapping[str, tuple[str, ...]]] = {
    "service_name": ("service.name",),
    "release": ("service.version",),
    "environment": ("deployment.environment.name", "deployment.environment"),
    "user_id": (names.USER_ID, "enduser.id"),
    "team_id": (names.TEAM_ID,),
    "customer_id": (names.CUSTOMER_ID,),
    "feature": (names.FEATURE,),
    "session_id": (names.SESSION_ID,),
    "request_type": (names.REQUEST_TYPE,),
    "billing_basis": (names.BILLING_BASIS,),
}
"""Read from the resource, where the span itself says nothing."""

OPERATION_WORDS: Final[Mapping[str, Mapping[str, str]]] = {
    "openinference.span.kind": {
        "llm": "chat",
        "embedding": "embeddings",
        "agent": "invoke_agent",
        "tool": "execute_tool",
    },
    "traceloop.span.kind": {"workflow": "invoke_workflow", "agent": "invoke_agent", "tool": "execute_tool"},
    "llm.request.type": {"embedding": "embeddings"},
}
"""Keys that say the kind of a span in other words, where no operation is named: lower-case word -> operation."""

PREFIXES: Final[Mapping[str, str]] = {names.TAG_PREFIX: "tags", names.UNIT_PREFIX: "units"}
"""Whatever follows the prefix is a key of that map."""

MINED: Final[Mapping[str, tuple[tuple[str, str], ...]]] = {
    "finish_reason": (("gen_ai.output.messages", r'"finish_reason":"(?P<found>[a-z_]{1,40})"\}\]$'),),
    "response_id": (("output.value", r'^\{"id":"(?P<found>[^"]+)"'),),
    "input": (("output.value", r'"usage":\{"input_tokens":(?P<found>\d{1,18})'),),
    "output": (("output.value", r'"usage":\{"input_tokens":[^}]*\},"output_tokens":(?P<found>\d{1,18})'),),
    "cache_read": (
        ("gen_ai.usage.raw", r'"cache_read_input_tokens":(?P<found>\d{1,18})'),
        ("gen_ai.usage.raw", r'"cached_tokens":(?P<found>\d{1,18})'),
    ),
    "cache_write": (
        ("gen_ai.usage.raw", r'"cache_creation_input_tokens":(?P<found>\d{1,18})'),
        ("gen_ai.usage.raw", r'"cache_write_tokens":(?P<found>\d{1,18})'),
    ),
    "cache_write_1h": (("gen_ai.usage.raw", r'"ephemeral_1h_input_tokens":(?P<found>\d{1,18})'),),
    "reasoning": (
        ("gen_ai.usage.raw", r'"reasoning_tokens":(?P<found>\d{1,18})'),
        ("gen_ai.usage.raw", r'"thinking_tokens":(?P<found>\d{1,18})'),
    ),
}
"""Column -> (key, pattern): what emitters leave inside a JSON text. Quotes in such a text are escaped, so that a
pattern that starts with one can't match what a model or user wrote. Eighteen digits fit in 64 bits and are absurd
enough to be noticed."""
_JSON_KEYS: Final = frozenset(key for pairs in MINED.values() for key, _ in pairs)
_RULE_KEYS: Final = frozenset({"input.value", "url"})
"""Keys that the rules of `dialects` look at."""
KEPT: Final = _JSON_KEYS | _RULE_KEYS | {*OPERATION_WORDS, *COUNTS["total"], *PLAN_KEYS, *SEAT_KEYS}
"""Keys that are read and stay among the other attributes too, because the columns don't say all of them."""


def _kinds(*tables: tuple[Kind, Mapping[str, tuple[str, ...]]]) -> dict[str, Kind]:
    return {key: kind for kind, table in tables for keys in table.values() for key in keys}


SPAN_KEYS: Final[Mapping[str, Kind]] = {
    **_kinds(
        ("text", TEXTS), ("count", COUNTS), ("number", NUMBERS), ("flag", FLAGS), ("first", FIRSTS), ("hashes", HASHES)
    ),
    **dict.fromkeys((*OPERATION_WORDS, *sorted(_JSON_KEYS | _RULE_KEYS)), "text"),
}
RESOURCE_KEYS: Final[Mapping[str, Kind]] = _kinds(("text", RESOURCE_TEXTS))
