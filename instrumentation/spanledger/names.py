"""Names on the wire: attribute keys that the instrumentation writes and the collector reads.

OpenTelemetry GenAI names are those that opentelemetry-util-genai 1.3b0 emits; what no convention names is ours
and starts with `spanledger.`. The instrumentation may not import a convention package at run time (60 ms), so
the names stand here.
"""

from __future__ import annotations

from typing import Final

SCOPE: Final = "spanledger"

OPERATION: Final = "gen_ai.operation.name"
PROVIDER: Final = "gen_ai.provider.name"
REQUEST_MODEL: Final = "gen_ai.request.model"
RESPONSE_MODEL: Final = "gen_ai.response.model"
RESPONSE_ID: Final = "gen_ai.response.id"
FINISH_REASONS: Final = "gen_ai.response.finish_reasons"
FIRST_CHUNK_S: Final = "gen_ai.response.time_to_first_chunk"
STREAM: Final = "gen_ai.request.stream"
MAX_TOKENS: Final = "gen_ai.request.max_tokens"
TEMPERATURE: Final = "gen_ai.request.temperature"
AGENT_NAME: Final = "gen_ai.agent.name"
TOOL_NAME: Final = "gen_ai.tool.name"
SERVER_ADDRESS: Final = "server.address"
SERVER_PORT: Final = "server.port"
ERROR_TYPE: Final = "error.type"
HTTP_STATUS: Final = "http.response.status_code"

INPUT_TOKENS: Final = "gen_ai.usage.input_tokens"
OUTPUT_TOKENS: Final = "gen_ai.usage.output_tokens"
CACHE_READ_TOKENS: Final = "gen_ai.usage.cache_read.input_tokens"
CACHE_WRITE_TOKENS: Final = "gen_ai.usage.cache_write.input_tokens"
REASONING_TOKENS: Final = "gen_ai.usage.reasoning.output_tokens"
INPUT_AUDIO_TOKENS: Final = "gen_ai.usage.audio.input_tokens"
INPUT_IMAGE_TOKENS: Final = "gen_ai.usage.image.input_tokens"
CACHE_READ_AUDIO_TOKENS: Final = "gen_ai.usage.audio.cache_read.input_tokens"
OUTPUT_AUDIO_TOKENS: Final = "gen_ai.usage.audio.output_tokens"
OUTPUT_IMAGE_TOKENS: Final = "gen_ai.usage.image.output_tokens"
CACHE_WRITE_5M_TOKENS: Final = "spanledger.usage.cache_write_5m.input_tokens"
CACHE_WRITE_1H_TOKENS: Final = "spanledger.usage.cache_write_1h.input_tokens"
CACHE_WRITE_12H_TOKENS: Final = "spanledger.usage.cache_write_12h.input_tokens"
UNIT_PREFIX: Final = "spanledger.unit."
"""`spanledger.unit.web_searches` and so on: whatever else is metered."""
USAGE_STATE: Final = "spanledger.usage.state"
"""reported | estimated | missing | inconsistent."""

COST_USD: Final = "gen_ai.usage.cost"
"""Double, for other tools; never summed by us."""
COST_PICO_USD: Final = "spanledger.cost.pico_usd"
COST_SOURCE: Final = "spanledger.cost.source"
PRICE_ID: Final = "spanledger.price.id"
SERVICE_TIER: Final = "spanledger.service_tier"
SPEED: Final = "spanledger.speed"
REGION: Final = "spanledger.region"
IS_BATCH: Final = "spanledger.is_batch"
PARENT_SAMPLED: Final = "spanledger.parent_sampled"
ATTEMPTS: Final = "spanledger.attempts"

USER_ID: Final = "user.id"
TEAM_ID: Final = "team.id"
CUSTOMER_ID: Final = "customer.id"
FEATURE: Final = "feature.id"
SESSION_ID: Final = "session.id"
REQUEST_TYPE: Final = "request.type"
TAG_PREFIX: Final = "spanledger.tag."

EVALUATION_EVENT: Final = "gen_ai.evaluation.result"
EVALUATION_NAME: Final = "gen_ai.evaluation.name"
EVALUATION_LABEL: Final = "gen_ai.evaluation.score.label"
EVALUATION_SCORE: Final = "gen_ai.evaluation.score.value"
OUTCOME_VALUE_USD: Final = "spanledger.outcome.value_usd"
"""Decimal as text."""
