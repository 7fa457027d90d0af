"""Which attribute of which vocabulary fills which column of the row.

One set of tables for all dialects, because vocabularies are namespaced and emitters mix them; what depends on who
emitted stands in `dialects`. Facts: the emitters' own sources and the recorded bodies in tests/fixtures/otlp.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal

from spanledger import names

from .mined import KEYS as MINED_KEYS

Kind = Literal["text", "count", "number", "flag", "first", "hashes"]
"""How a key is read: text (or whole number as text), whole number, any number, boolean, first of a list, and bytes that
are whole numbers of eight bytes, little-endian."""

PLAN_KEYS: Final = ("anthropic.plan",)
"""Names a subscription; there are none where a call is paid by use."""
SEAT_KEYS: Final = ("anthropic.seat_type",)
"""How a subscription's seat is paid; some are paid by use."""
TEXTS: Final[Mapping[str, tuple[str, ...]]] = {
    "operation": (names.OPERATION,),
    "provider": (
        names.PROVIDER,
        "gen_ai.system",
        "llm.provider",
        "llm.system",
        "ai.model.provider",
        "decision.provider",
        "decision.system",
    ),
    "request_model": (
        names.REQUEST_MODEL,
        "llm.request.model_name",
        "embedding.model_name",
        "ai.model.id",
        "langfuse.observation.model.name",
        "decision.request.model_name",
        "decision.model_name",
    ),
    "response_model": (
        names.RESPONSE_MODEL,
        "llm.response.model_name",
        "llm.model_name",
        "ai.response.model",
        "decision.response.model_name",
        "llm.response.model",
    ),
    "response_id": (
        names.RESPONSE_ID,
        "gen_ai.response_id",
        "ai.response.id",
        "llm.response.id",
    ),
    "error_type": (names.ERROR_TYPE,),
    "service_tier": (
        names.SERVICE_TIER,
        "openai.response.service_tier",
        "gen_ai.openai.response.service_tier",
        "anthropic.response.service_tier",
        "gen_ai.response.service_tier",
    ),
    "speed": (names.SPEED,),
    "region": (names.REGION, "cloud.region"),
    "endpoint_host": (names.SERVER_ADDRESS,),
    "provider_account": (
        "anthropic.organization.id",
        "organization.id",
    ),
    "agent_name": (
        names.AGENT_NAME,
        "agent.name",
        "agent_name",
        "lk.agent_name",
    ),
    "tool_name": (
        names.TOOL_NAME,
        "tool.name",
        "ai.toolCall.name",
    ),
    "prompt_name": (
        "gen_ai.prompt.name",
        "traceloop.prompt.key",
        "langfuse.observation.prompt.name",
        "prompt.id",
    ),
    "prompt_version": (
        "gen_ai.prompt.version",
        "traceloop.prompt.version",
        "llm.prompt_template.version",
        "langfuse.observation.prompt.version",
    ),
    "user_id": (
        names.USER_ID,
        "enduser.id",
        "langfuse.user.id",
        "traceloop.association.properties.user_id",
        "ai.telemetry.metadata.userId",
        "langsmith.metadata.user_id",
        "lmnr.association.properties.user_id",
        "mlflow.trace.user",
        "litellm.end_user.id",
        "gen_ai.user.id",
        "gen_ai.request.user",
        "gen_ai.user",
        "llm.user",
    ),
    "team_id": (
        names.TEAM_ID,
        "litellm.team.id",
        "metadata.user_api_key_team_id",
        "traceloop.association.properties.team_id",
        "ai.telemetry.metadata.teamId",
        "langsmith.metadata.team_id",
    ),
    "customer_id": (
        names.CUSTOMER_ID,
        "traceloop.association.properties.customer_id",
        "ai.telemetry.metadata.customerId",
        "langsmith.metadata.customer_id",
        "microsoft.tenant.id",
    ),
    "feature": (
        names.FEATURE,
        "gen_ai.workflow.name",
        "traceloop.workflow.name",
        "langfuse.trace.name",
        "ai.telemetry.functionId",
        "mlflow.traceName",
    ),
    "session_id": (
        names.SESSION_ID,
        "gen_ai.conversation.id",
        "langfuse.session.id",
        "traceloop.association.properties.session_id",
        "ai.telemetry.metadata.sessionId",
        "langsmith.metadata.session_id",
        "langsmith.metadata.thread_id",
        "lmnr.association.properties.session_id",
        "mlflow.trace.session",
        "gen_ai.session.id",
        "gcp.vertex.agent.session_id",
        "langsmith.trace.session_id",
    ),
    "request_type": (names.REQUEST_TYPE,),
    "usage_state": (names.USAGE_STATE,),
    "cost_source": (names.COST_SOURCE,),
    "billing_basis": (names.BILLING_BASIS,),
    "plan": PLAN_KEYS,
    "seat": SEAT_KEYS,
    "api_key_hash": (
        names.API_KEY_HASH,
        "litellm.api_key.hash",
    ),
    "prompt_hash": (names.PROMPT_HASH,),
    "system_hash": (names.SYSTEM_HASH,),
    "tools_hash": (names.TOOLS_HASH,),
    "guard_action": (names.GUARD_ACTION,),
    "guard_policy": (names.GUARD_POLICY,),
    "routed_from": (names.ROUTED_FROM,),
}
"""Column -> keys, the first that is there wins."""

COUNTS: Final[Mapping[str, tuple[str, ...]]] = {
    "input": (
        names.INPUT_TOKENS,
        "gen_ai.usage.prompt_tokens",
        "llm.token_count.prompt",
        "llm.usage.prompt_tokens",
        "ai.usage.inputTokens",
        "ai.usage.promptTokens",
        "ai.usage.tokens",
        "decision.token_count.input",
        "gen_ai.aggregated_usage.input_tokens",
    ),
    "output": (
        names.OUTPUT_TOKENS,
        "gen_ai.usage.completion_tokens",
        "llm.token_count.completion",
        "llm.usage.completion_tokens",
        "ai.usage.outputTokens",
        "ai.usage.completionTokens",
        "decision.token_count.output",
        "gen_ai.aggregated_usage.output_tokens",
    ),
    "total": (
        "gen_ai.usage.total_tokens",
        "llm.token_count.total",
        "llm.usage.total_tokens",
        "gen_ai.client.token.usage",
        "ai.usage.totalTokens",
    ),
    "cache_read": (
        names.CACHE_READ_TOKENS,
        "gen_ai.usage.cache_read_input_tokens",
        "llm.token_count.prompt_details.cache_read",
        "gen_ai.usage.prompt_tokens_details.cached_tokens",
        "gen_ai.usage.details.cache_read_tokens",
        "llm.token_count.prompt_details.cache_input",
        "gen_ai.usage.cache.read_input_tokens",
        "gen_ai.usage.input_tokens.cached",
        "ai.usage.inputTokenDetails.cacheReadTokens",
        "ai.usage.cachedInputTokens",
        "gen_ai.aggregated_usage.cache_read.input_tokens",
    ),
    "cache_write": (
        names.CACHE_WRITE_TOKENS,
        "gen_ai.usage.cache_creation.input_tokens",
        "gen_ai.usage.cache_creation_input_tokens",
        "llm.token_count.prompt_details.cache_write",
        "gen_ai.usage.prompt_tokens_details.cache_creation_tokens",
        "gen_ai.usage.details.cache_write_tokens",
        "gen_ai.usage.cache_write_input_tokens",
        "gen_ai.usage.input_tokens.cache_write",
        "ai.usage.inputTokenDetails.cacheWriteTokens",
        "gen_ai.aggregated_usage.cache_creation.input_tokens",
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
        "gen_ai.usage.reasoning_output_tokens",
        "gen_ai.usage.output_tokens.reasoning",
        "gen_ai.usage.details.thoughts_tokens",
        "ai.usage.outputTokenDetails.reasoningTokens",
        "ai.usage.reasoningTokens",
    ),
    "input_audio": (
        names.INPUT_AUDIO_TOKENS,
        "llm.token_count.prompt_details.audio",
        "gen_ai.usage.details.input_audio_tokens",
    ),
    "input_image": (names.INPUT_IMAGE_TOKENS,),
    "cache_read_audio": (
        names.CACHE_READ_AUDIO_TOKENS,
        "gen_ai.usage.details.cache_audio_read_tokens",
    ),
    "output_audio": (
        names.OUTPUT_AUDIO_TOKENS,
        "llm.token_count.completion_details.audio",
        "gen_ai.usage.completion_tokens_details.audio_tokens",
        "gen_ai.usage.details.output_audio_tokens",
    ),
    "output_image": (names.OUTPUT_IMAGE_TOKENS,),
    "input_uncached": ("ai.usage.inputTokenDetails.noCacheTokens",),
    "output_text": ("ai.usage.outputTokenDetails.textTokens",),
    "max_tokens": (
        names.MAX_TOKENS,
        "gen_ai.request.max_completion_tokens",
        "llm.request.max_tokens",
        "ai.settings.maxOutputTokens",
        "ai.settings.maxTokens",
    ),
    "attempts": (names.ATTEMPTS,),
    "resends": ("http.request.resend_count",),
    "cost_pico": (names.STATED_COST_PICO_USD, names.COST_PICO_USD),
    "retry_pico": (names.RETRY_COST_PICO_USD,),
    "avoided_pico": (names.AVOIDED_PICO_USD,),
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
    "temperature": (
        names.TEMPERATURE,
        "ai.settings.temperature",
        "llm.temperature",
    ),
    "first_token_s": (names.FIRST_CHUNK_S, "gen_ai.server.time_to_first_token"),
    "first_token_ms": ("ai.response.msToFirstChunk",),
    "cost_usd": (
        names.COST_USD,
        "gen_ai.usage.cost.amount",
        "llm.cost.total",
        "litellm.cost.total",
        "gen_ai.cost.total_cost",
        "gen_ai.cost.total_tokens",
        "operation.cost",
    ),
}
CURRENCY: Final = "gen_ai.usage.cost.currency"
"""A claim in another currency than dollars is none."""
FLAGS: Final[Mapping[str, tuple[str, ...]]] = {
    "is_batch": (names.IS_BATCH,),
    "stream": (
        names.STREAM,
        "gen_ai.is_streaming",
        "llm.is_streaming",
        "litellm.request.streaming",
        "langsmith.request.streaming",
        "gen_ai.response.streaming",
    ),
    "parent_sampled": (names.PARENT_SAMPLED,),
    "cache_hit": (names.CACHE_HIT,),
}
FIRSTS: Final[Mapping[str, tuple[str, ...]]] = {
    "finish_reason": (
        names.FINISH_REASONS,
        "anthropic.message.stop_reason",
        "llm.finish_reason",
        "gen_ai.response.finish_reason",
        "ai.response.finishReason",
        "llm.response.finish_reason",
        "gen_ai.response.stop_reason",
        "llm.response.stop_reason",
    ),
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

_AI_WRAPPERS: Final = ("generatetext", "streamtext", "generateobject", "streamobject", "embed", "embedmany", "rerank")
OPERATION_WORDS: Final[Mapping[str, Mapping[str, str]]] = {
    "openinference.span.kind": {
        "llm": "chat",
        "embedding": "embeddings",
        "agent": "invoke_agent",
        "tool": "execute_tool",
        "retriever": "retrieval",
        "reranker": "rerank",
        "decision": "decide",
    },
    "traceloop.span.kind": {"workflow": "invoke_workflow", "agent": "invoke_agent", "tool": "execute_tool"},
    "llm.request.type": {"embedding": "embeddings", "completion": "text_completion"},
    "langfuse.observation.type": {
        "generation": "chat",
        "embedding": "embeddings",
        "agent": "invoke_agent",
        "tool": "execute_tool",
        "retriever": "retrieval",
    },
    "ai.operationId": {
        "ai.generatetext.dogenerate": "chat",
        "ai.streamtext.dostream": "chat",
        "ai.generateobject.dogenerate": "chat",
        "ai.streamobject.dostream": "chat",
        "ai.embed.doembed": "embeddings",
        "ai.embedmany.doembed": "embeddings",
        "ai.toolcall": "execute_tool",
        # They carry the sum of what the calls below them used.
        **{f"ai.{word}": "invoke_agent" for word in _AI_WRAPPERS},
    },
    "langsmith.span.kind": {
        "llm": "chat",
        "embedding": "embeddings",
        "tool": "execute_tool",
        "retriever": "retrieval",
    },
    "mlflow.spanType": {
        "llm": "chat",
        "chat_model": "chat",
        "embedding": "embeddings",
        "agent": "invoke_agent",
        "tool": "execute_tool",
        "retriever": "retrieval",
        "reranker": "rerank",
    },
    "lmnr.span.type": {"llm": "chat", "tool": "execute_tool"},
    "genkit:metadata:subtype": {
        "model": "chat",
        "embedder": "embeddings",
        "tool": "execute_tool",
        "flow": "invoke_workflow",
        "agent": "invoke_agent",
        "retriever": "retrieval",
        "reranker": "rerank",
    },
}
"""Keys that say the kind of a span in other words, where no operation is named: lower-case word -> operation."""

PREFIXES: Final[Mapping[str, str]] = {
    names.TAG_PREFIX: "tags",
    "traceloop.association.properties.": "tags",
    "lmnr.association.properties.": "tags",
    "langfuse.trace.metadata.": "tags",
    "langsmith.metadata.": "tags",
    "ai.telemetry.metadata.": "tags",
    "litellm.metadata.": "tags",
    names.UNIT_PREFIX: "units",
}
"""Whatever follows the prefix is a key of that map; what a column has of it already is left out."""

_RULE_KEYS: Final = frozenset({"input.value", "url", "langsmith.metadata.usage_scope", "langsmith.span.kind"})
"""Keys that the rules of `dialects` look at."""
CONTROL_KEYS: Final = (names.GUARD_DECISIONS, names.ROUTE_RULE)
"""What tells of controls beside the columns."""
KEPT: Final = (
    MINED_KEYS | _RULE_KEYS | {*CONTROL_KEYS} | {*OPERATION_WORDS, *COUNTS["total"], CURRENCY, *PLAN_KEYS, *SEAT_KEYS}
)
"""Keys that are read and stay among the other attributes too, because the columns don't say all of them."""


def _kinds(*tables: tuple[Kind, Mapping[str, tuple[str, ...]]]) -> dict[str, Kind]:
    return {key: kind for kind, table in tables for keys in table.values() for key in keys}


SPAN_KEYS: Final[Mapping[str, Kind]] = {
    **_kinds(
        ("text", TEXTS), ("count", COUNTS), ("number", NUMBERS), ("flag", FLAGS), ("first", FIRSTS), ("hashes", HASHES)
    ),
    **dict.fromkeys((*OPERATION_WORDS, CURRENCY, *sorted(MINED_KEYS | _RULE_KEYS), *CONTROL_KEYS), "text"),
}
RESOURCE_KEYS: Final[Mapping[str, Kind]] = _kinds(("text", RESOURCE_TEXTS))
