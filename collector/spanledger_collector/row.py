"""The row: columns of the table `spans`, in order, with types and a sentence each.

This is the contract with everyone's SQL: add columns, never rename or retype one. Money is DECIMAL(18,12) US
dollars, times are UTC microseconds, tokens are whole numbers, unknown is NULL.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import pyarrow as pa

TEXT: Final = pa.string()
COUNT: Final = pa.int64()
MONEY: Final = pa.decimal128(18, 12)
TIME: Final = pa.timestamp("us", tz="UTC")
TEXT_MAP: Final = pa.map_(pa.string(), pa.string())
HASH_LIST: Final = pa.list_(pa.int64())
UNIT_MAP: Final = pa.map_(pa.string(), pa.decimal128(18, 6))


@dataclass(frozen=True, slots=True)
class Column:
    """One column of `spans`."""

    name: str
    type: pa.DataType
    sentence: str


COLUMNS: Final[tuple[Column, ...]] = (
    Column("trace_id", TEXT, "Trace, 32 hex digits."),
    Column("span_id", TEXT, "Span, 16 hex digits."),
    Column("parent_span_id", TEXT, "Span that caused this one; NULL at the root."),
    Column("name", TEXT, "Name of the span as emitted."),
    Column("kind", TEXT, "internal | server | client | producer | consumer."),
    Column("start_time", TIME, "When it began, UTC."),
    Column("duration_us", COUNT, "How long it took, microseconds."),
    Column("status", TEXT, "unset | ok | error."),
    Column("error_type", TEXT, "Exception class or status code of a failed span."),
    Column("status_message", TEXT, "What the failed span said."),
    Column("service_name", TEXT, "Service that emitted it."),
    Column("environment", TEXT, "Deployment environment."),
    Column("release", TEXT, "Version of the service."),
    Column("scope_name", TEXT, "Instrumentation that emitted it."),
    Column("scope_version", TEXT, "Its version."),
    Column("dialect", TEXT, "Vocabulary its attributes were read by."),
    Column("parent_sampled", pa.bool_(), "False where the application's own trace was sampled out."),
    Column("response_id", TEXT, "The provider's id of the answer."),
    Column("duplicate_of", TEXT, "Span id that carries the money of the same call; NULL on what is charged."),
    Column("ingested_at", TIME, "When the collector took it, UTC."),
    Column("role", TEXT, "inference | tool | agent | other."),
    Column("operation", TEXT, "chat, embeddings, execute_tool, invoke_agent, ..."),
    Column("provider", TEXT, "Who bills the call: openai, anthropic, ..."),
    Column("request_model", TEXT, "Model asked for."),
    Column("response_model", TEXT, "Model that answered."),
    Column("service_tier", TEXT, "Tier of the answer: default, flex, priority, ..."),
    Column("speed", TEXT, "fast where the provider sells speed."),
    Column("region", TEXT, "Region or geography that prices depend on."),
    Column("is_batch", pa.bool_(), "Bought at batch price."),
    Column("stream", pa.bool_(), "Answered as a stream."),
    Column("endpoint_host", TEXT, "Host that was called."),
    Column("provider_account", TEXT, "Account or organisation at the provider."),
    Column("provider_project", TEXT, "Project or workspace at the provider."),
    Column("api_key_hash", TEXT, "Keyed hash of the API key."),
    Column("agent_name", TEXT, "Agent that ran."),
    Column("tool_name", TEXT, "Tool that ran."),
    Column("prompt_name", TEXT, "Prompt template."),
    Column("prompt_version", TEXT, "Its version."),
    Column("user_id", TEXT, "User who caused it."),
    Column("team_id", TEXT, "Team that pays."),
    Column("customer_id", TEXT, "Customer it was done for."),
    Column("feature", TEXT, "Feature of the product."),
    Column("session_id", TEXT, "Conversation or session."),
    Column("request_type", TEXT, "Class of request."),
    Column("tags", TEXT_MAP, "Any other tag."),
    Column("input_tokens", COUNT, "All input tokens, cached ones included."),
    Column("output_tokens", COUNT, "All output tokens, reasoning included."),
    Column("input_uncached_tokens", COUNT, "Input text neither read from nor written to a cache."),
    Column("cache_read_tokens", COUNT, "Input read from the prompt cache."),
    Column("cache_write_5m_tokens", COUNT, "Input written to the prompt cache for 5 minutes (or unstated)."),
    Column("cache_write_1h_tokens", COUNT, "Input written to the prompt cache for 1 hour."),
    Column("cache_write_12h_tokens", COUNT, "Input written to the prompt cache for 12 hours."),
    Column("input_audio_tokens", COUNT, "Uncached audio input."),
    Column("cache_read_audio_tokens", COUNT, "Audio input read from the prompt cache."),
    Column("input_image_tokens", COUNT, "Image input, where it is metered apart."),
    Column("output_text_tokens", COUNT, "Visible text output."),
    Column("reasoning_tokens", COUNT, "Reasoning output."),
    Column("output_audio_tokens", COUNT, "Audio output."),
    Column("output_image_tokens", COUNT, "Image output."),
    Column("units", UNIT_MAP, "Whatever else is metered: web_searches, characters, seconds, pages, images."),
    Column("usage_state", TEXT, "reported | estimated | missing | inconsistent; NULL where nothing is metered."),
    Column("token_basis", TEXT, "inclusive | exclusive: how the emitter counted cached input."),
    Column("cost_usd", MONEY, "Booked cost; NULL when unpriced, never 0; 0 where nothing was sent."),
    Column("cost_input", MONEY, "Part of cost_usd: uncached, audio and image input."),
    Column("cost_cache_read", MONEY, "Part of cost_usd: prompt cache reads."),
    Column("cost_cache_write", MONEY, "Part of cost_usd: prompt cache writes."),
    Column("cost_output", MONEY, "Part of cost_usd: output and reasoning."),
    Column(
        "cost_other", MONEY, "Part of cost_usd: searches, requests, declared money, what a provider states as a whole."
    ),
    Column(
        "unpriced_reason",
        TEXT,
        "no_usage | unknown_model | unknown_provider | no_price | inconsistent | aggregate | error | plan | "
        "unknown_billing.",
    ),
    Column("cost_source", TEXT, "provider | contract | list | declared | none (unpriced, or nothing was sent)."),
    Column("price_id", TEXT, "Row of the price book."),
    Column("matched_model", TEXT, "Model of the price book."),
    Column("reported_cost_usd", MONEY, "What the provider, or else the emitter, claimed it cost."),
    Column("aggregate_cost_usd", MONEY, "What an agent span claimed for its children; never charged."),
    Column(
        "retry_cost_usd",
        MONEY,
        "Estimate for failed attempts that may have been billed: their input; outside cost_usd.",
    ),
    Column(
        "billing_basis", TEXT, "usage | plan (a subscription pays for it) | cached; NULL where it can't be told which."
    ),
    Column(
        "equivalent_usd",
        MONEY,
        "What a call that isn't known to be billed by usage would cost if it were; in no cost.",
    ),
    Column("avoided_usd", MONEY, "What a cache hit, or another model by a policy, saved; in no cost."),
    Column("max_tokens", COUNT, "Output limit asked for."),
    Column("temperature", pa.float64(), "Temperature asked for."),
    Column("finish_reason", TEXT, "Why the answer ended."),
    Column("attempts", COUNT, "Attempts that the SDK made; 1 without a retry."),
    Column("first_token_us", COUNT, "Time to the first chunk, microseconds."),
    Column("turn", COUNT, "Turn of the conversation, from 1."),
    Column("message_count", COUNT, "Messages sent."),
    Column("tool_count", COUNT, "Tool definitions sent."),
    Column("prompt_hash", TEXT, "Keyed hash of the whole request but its model."),
    Column("system_hash", TEXT, "Keyed hash of the system prompt."),
    Column("tools_hash", TEXT, "Keyed hash of the tool definitions."),
    Column("prefix_chain", HASH_LIST, "Running keyed hashes: after tools and system prompt, then after each message."),
    Column("system_size", COUNT, "Bytes of the system prompt."),
    Column("tools_size", COUNT, "Bytes of the tool definitions."),
    Column("history_size", COUNT, "Bytes of messages sent again: all up to the model's last answer."),
    Column("tool_results_size", COUNT, "Bytes of new tool results."),
    Column("user_size", COUNT, "Bytes of new user text."),
    Column("simhash", COUNT, "Keyed similarity hash of the last user text."),
    Column(
        "guard_action",
        TEXT,
        "What the policy did: allow | warn | throttle | degrade, or, before anything was sent, defer | block.",
    ),
    Column(
        "guard_policy", TEXT, "Rule that did it, answered or routed, or would have; NULL where none had anything to do."
    ),
    Column("routed_from", TEXT, "Model that was asked for, where the policy had another one sent."),
    Column("cache_hit", pa.bool_(), "Answered from a cache of ours."),
    Column("attributes", TEXT_MAP, "Every other attribute; values as JSON text."),
    Column("resource", TEXT_MAP, "Every other resource attribute; values as JSON text."),
    Column("events", TEXT, "Span events as a JSON array of {time, name, attributes}."),
    Column(
        "as_booked",
        TEXT_MAP,
        "What settling changed since the row was booked: column to value as text; on days that are written anew.",
    ),
)

SCHEMA: Final = pa.schema([pa.field(column.name, column.type) for column in COLUMNS])
"""The columns of a data file. The partition column `dt` (UTC date of start_time) stands in the path."""

AS_BOOKED: Final = "as_booked"
PARTITION: Final = "dt"
TABLE_SCHEMA: Final = SCHEMA.append(pa.field(PARTITION, pa.date32()))

MONEY_PARTS: Final = ("cost_input", "cost_cache_read", "cost_cache_write", "cost_output", "cost_other")
"""They add up to cost_usd."""
