"""The rows of a generated day: what `traces` made, with names, tags, ids, attributes, and the price of each call.

Money is that of `price_rows`, the collector's own. What a request carries is as varied as in traces of real
applications, because that decides the size on disk: random ids of answers and tool calls, a few attributes a span.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from functools import cache
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from made.controlled import Pair, control_attributes, control_columns, drawn
from made.population import EMBEDDING, EVERY_MODEL, FEATURES, SEED, TEAMS, Ints, Population
from made.traces import AGENT_SPAN, DAY_US, INFERENCE, OTHER, TOOL, Bools, Spans
from spanledger_collector.pricing import price_rows
from spanledger_collector.row import COUNT, HASH_LIST, SCHEMA, TEXT, TEXT_MAP, TIME

_HEX: Final = np.frombuffer("".join(f"{byte:02x}" for byte in range(256)).encode(), np.uint16)
_LETTERS: Final = np.frombuffer(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789", np.uint8)
_ID_LETTERS: Final = {"openai": 29, "anthropic": 22, "google": 22, "groq": 29, "house": 29}
_AREAS: Final = ("support", "search", "coding", "sales", "docs", "mail", "reports", "travel", "claims", "legal")
_DOES: Final = ("answer", "summary", "agent", "triage", "draft", "review")
_TOOLS: Final = tuple(f"{verb}_{noun}" for verb in ("search", "read", "write", "list") for noun in _AREAS)
_ERRORS: Final = (("RateLimitError", "Error code: 429"), ("APITimeoutError", "Request timed out."))
_ROLES: Final = ("inference", "tool", "agent", "other", "inference")
_OPERATIONS: Final = ("chat", "execute_tool", "invoke_agent", None, "embeddings")
_HOSTS: Final = 12
TAGS: Final = ("user_id", "team_id", "customer_id", "feature", "session_id")
"""What a call inherits from its root."""


def day_rows(people: Population, spans: Spans, day: date, *, fingerprints: bool, controlled: float = 0.0) -> pa.Table:
    """Return the rows of spans in their order, priced; `controlled` is the share of calls that rules had to do with."""
    done = drawn(spans, day, controlled) if controlled else None
    chance = np.random.default_rng((SEED, 3, day.toordinal()))
    midnight = (day - date(1970, 1, 1)).days * DAY_US
    columns = {
        **_identity(chance, people, spans, midnight, day),
        **_calls(chance, spans),
        **_tokens(spans),
        **_rest(chance, people, spans, [] if done is None else control_attributes(done, spans)),
    }
    if done is not None:
        columns |= control_columns(done, spans.trace, columns)
    said = who(people, spans, day)
    shown = pa.array(~spans.root_tags | (spans.place == 0))
    columns |= {name: pc.if_else(shown, said[name], pa.scalar(None, TEXT)) for name in TAGS}
    if fingerprints:
        columns |= _fingerprints(chance, people, spans)
    return price_rows(
        pa.table([columns.get(field.name, pa.nulls(spans.rows, field.type)) for field in SCHEMA], schema=SCHEMA)
    )


def who(people: Population, spans: Spans, day: date) -> dict[str, pa.Array]:
    """Return who each span was for, as its root says it."""
    users, customers = len(people.user_reach), int(people.customer_of.max()) + 1
    return {
        "user_id": _words("u-", users).take(pa.array(spans.user)),
        "team_id": _words("team-", TEAMS).take(pa.array(people.team_of[spans.feature])),
        "customer_id": _words("c-", customers).take(pa.array(people.customer_of[spans.user])),
        "feature": feature_names().take(pa.array(spans.feature)),
        "session_id": hex_ids(SEED + day.toordinal(), int(spans.session.max()) + 1, 6).take(pa.array(spans.session)),
    }


@cache
def feature_names() -> pa.Array:
    """Return the names of features, by number."""
    return pa.array([f"{_AREAS[at % 10]}-{_DOES[at // 10]}" for at in range(FEATURES)])


def hex_ids(seed: int, count: int, size: int) -> pa.Array:
    """Return so many ids of `size` random bytes, in hexadecimal."""
    made = _HEX[np.random.default_rng(seed).integers(0, 256, count * size, np.uint8)]
    return _fixed(made.view(np.uint8), count, 2 * size)


def _fixed(letters: Any, count: int, width: int) -> pa.Array:
    offsets = np.arange(count + 1, dtype=np.int32) * width
    return pa.Array.from_buffers(
        TEXT, count, [None, pa.py_buffer(offsets), pa.py_buffer(np.ascontiguousarray(letters))]
    )


@cache
def _words(prefix: str, count: int) -> pa.Array:
    width = len(str(count))
    return pa.array([f"{prefix}{number:0{width}d}" for number in range(count)])


def _identity(
    chance: np.random.Generator, people: Population, spans: Spans, midnight: int, day: date
) -> dict[str, pa.Array]:
    rows, team = spans.rows, people.team_of[spans.feature]
    span_id = hex_ids(int(chance.integers(2**60)), rows, 8)
    at = np.full((int(spans.trace.max()) + 1, int(spans.place.max()) + 1), -1)
    at[spans.trace, spans.place] = np.arange(rows)
    parent = np.where(spans.parent >= 0, at[spans.trace, spans.parent.clip(0)], -1)
    ended = spans.start_us + spans.duration_us
    second = ended // 1_000_000
    taken = second * 1_000_000 + 1_400_000 + (second * 7919 + team * 104_729) % 600_000
    ours = team % 3 != 0
    trace_id = hex_ids(int(chance.integers(2**60)), int(spans.trace.max()) + 1, 16)
    return {
        "trace_id": trace_id.take(pa.array(spans.trace)),
        "span_id": span_id,
        "parent_span_id": span_id.take(pa.array(parent, mask=parent < 0)),
        "name": _names(spans),
        "kind": pa.array(["internal", "client"]).take(pa.array(spans.is_call.astype(np.int64))),
        "start_time": pa.array(spans.start_us + midnight).cast(TIME),
        "duration_us": pa.array(spans.duration_us),
        "status": pa.array(["unset", "error"]).take(pa.array(spans.failed.astype(np.int64))),
        "service_name": _words("service-", TEAMS).take(pa.array(team)),
        "environment": pa.array(["production", "staging"]).take(pa.array((spans.session % 13 == 0).astype(np.int64))),
        "release": _same(f"2026.{day.isocalendar().week}.{day.isoweekday() // 3}", rows),
        "scope_name": pa.array(["spanledger", "opentelemetry.instrumentation.genai"]).take(pa.array(1 - ours)),
        "scope_version": _same("1.0.0", rows),
        "dialect": pa.array(["spanledger", "otel_genai"]).take(pa.array(1 - ours)),
        "ingested_at": pa.array(taken + midnight).cast(TIME),
        "role": pa.array(_ROLES).take(pa.array(spans.kind)),
        "operation": pa.array(_OPERATIONS).take(pa.array(spans.kind)),
    }


def _names(spans: Spans) -> pa.Array:
    models, tools = len(EVERY_MODEL), len(_TOOLS)
    names = [*(f"{'embeddings' if one is EMBEDDING else 'chat'} {one.name}" for one in EVERY_MODEL)]
    names += [f"execute_tool {tool}" for tool in _TOOLS]
    names += [f"invoke_agent {area}" for area in _AREAS] + [f"POST /v1/{area}" for area in _AREAS]
    place = np.select(
        [spans.model >= 0, spans.kind == TOOL, spans.kind == AGENT_SPAN],
        [spans.model, models + _tool(spans), models + tools + spans.feature % 10],
        models + tools + 10 + spans.feature % 10,
    )
    return pa.array(names).take(pa.array(place))


def _tool(spans: Spans) -> Ints:
    return np.asarray((spans.feature * 7 + (spans.place * spans.place + spans.trace) % 5 * 3) % len(_TOOLS), np.int64)


def _calls(chance: np.random.Generator, spans: Spans) -> dict[str, pa.Array]:
    calls = pa.array(spans.model, mask=spans.model < 0)
    chats = spans.kind == INFERENCE
    answered = chats & ~spans.failed
    ids = _answer_ids(chance, spans.model[answered])
    attempts = 1 + (chance.random(spans.rows) < 0.02) + (chance.random(spans.rows) < 0.01) + 2 * spans.failed
    wrong = pa.array(spans.trace % len(_ERRORS), mask=~spans.failed)
    reasons = pa.array(["stop", "tool_calls", "length"])
    more = np.where(chance.random(spans.rows) < 0.02, 2, (spans.step % 3 > 0).astype(np.int64))
    return {
        "error_type": pa.array([name for name, _ in _ERRORS]).take(wrong),
        "status_message": pa.array([words for _, words in _ERRORS]).take(wrong),
        "events": pa.array([_event(name, words) for name, words in _ERRORS]).take(wrong),
        "unpriced_reason": pc.if_else(pa.array(spans.failed & chats), pa.scalar("error"), pa.scalar(None, TEXT)),
        "response_id": _scattered(ids, answered),
        "provider": pa.array([one.provider for one in EVERY_MODEL]).take(calls),
        "request_model": pa.array([one.name for one in EVERY_MODEL]).take(calls),
        "response_model": pa.array([one.answered for one in EVERY_MODEL]).take(
            pa.array(spans.model, mask=(spans.model < 0) | spans.failed)
        ),
        "endpoint_host": pa.array([one.host for one in EVERY_MODEL]).take(calls),
        "stream": pa.array(spans.feature % 2 == 0, mask=~chats),
        "finish_reason": reasons.take(pa.array(more, mask=~answered)),
        "attempts": pa.array(attempts, mask=~spans.is_call),
        "first_token_us": pa.array(
            spans.duration_us * chance.integers(10, 60, spans.rows) // 100, mask=~answered | (spans.feature % 2 == 1)
        ),
        "turn": pa.array(spans.turn, mask=~chats),
        "max_tokens": pa.array(np.full(spans.rows, 4096), mask=~chats | (spans.feature % 3 > 0)),
        "temperature": pa.array(np.full(spans.rows, 0.2), mask=~chats | (spans.feature % 4 > 0)),
        "billing_basis": pc.if_else(pa.array(spans.is_call), pa.scalar("usage"), pa.scalar(None, TEXT)),
    }


def _answer_ids(chance: np.random.Generator, models: Ints) -> pa.Array:
    """Return random ids of answers, as long as those of each provider."""
    lengths = np.array([_ID_LETTERS[one.provider] for one in EVERY_MODEL])[models]
    letters = _LETTERS[chance.integers(0, len(_LETTERS), int(lengths.sum()), np.uint8)]
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
    return pa.Array.from_buffers(TEXT, len(models), [None, pa.py_buffer(offsets), pa.py_buffer(letters)])


def _event(name: str, words: str) -> str:
    return f'[{{"name":"exception","attributes":{{"exception.type":"{name}","exception.message":"{words}"}}}}]'


def _scattered(values: pa.Array, there: Bools) -> pa.Array:
    place = np.cumsum(there) - 1
    return values.take(pa.array(place, mask=~there))


def _tokens(spans: Spans) -> dict[str, pa.Array]:
    silent = ~spans.is_call | spans.failed
    plain = spans.input - spans.read - spans.written
    chosen = {
        "input_tokens": spans.input,
        "output_tokens": spans.output,
        "input_uncached_tokens": plain,
        "cache_read_tokens": spans.read,
        "cache_write_5m_tokens": spans.written,
        "output_text_tokens": spans.output - spans.reasoning,
        "reasoning_tokens": spans.reasoning,
    }
    none = np.zeros(spans.rows, np.int64)
    zero = ("cache_write_1h_tokens", "cache_write_12h_tokens", "input_audio_tokens", "cache_read_audio_tokens")
    chosen |= dict.fromkeys((*zero, "input_image_tokens", "output_audio_tokens", "output_image_tokens"), none)
    state = np.where(spans.failed, 1, 0)
    return {name: pa.array(values, COUNT, mask=silent) for name, values in chosen.items()} | {
        "usage_state": pa.array(["reported", "missing"]).take(pa.array(state, mask=~spans.is_call)),
        "token_basis": pc.if_else(pa.array(~silent), pa.scalar("inclusive"), pa.scalar(None, TEXT)),
    }


def _rest(chance: np.random.Generator, people: Population, spans: Spans, more: Sequence[Pair]) -> dict[str, pa.Array]:
    agents = pa.array(spans.feature % 10, mask=spans.kind != AGENT_SPAN)
    plan = pa.array(["free", "pro", "enterprise"]).take(pa.array(people.customer_of[spans.user] % 3))
    own = pa.array(spans.is_call & ~spans.root_tags)
    host = pa.array([f'"pod-{number:02d}"' for number in range(_HOSTS)]).take(pa.array(spans.session % _HOSTS))
    one = np.ones(spans.rows, np.int64)
    return {
        "agent_name": pa.array(_AREAS).take(agents),
        "tool_name": pa.array(_TOOLS).take(pa.array(_tool(spans), mask=spans.kind != TOOL)),
        "attributes": _attributes(chance, spans, more),
        "tags": pc.if_else(own, _map([("plan", plan)], one[None]), pa.scalar(None, TEXT_MAP)),
        "resource": _map([("host.name", host), ("telemetry.sdk.language", _same('"python"', spans.rows))], one[None]),
    }


def _attributes(chance: np.random.Generator, spans: Spans, more: Sequence[Pair]) -> pa.Array:
    rows, calls, tools = spans.rows, spans.is_call, spans.kind == TOOL
    number = pa.array([f'"{version}"' for version in range(40)]).take(pa.array((spans.feature * 3) % 40))
    read = _documents().take(pa.array(chance.integers(0, 5000, rows)))
    used = pc.binary_join_element_wise('"call_', hex_ids(int(chance.integers(2**60)), rows, 10), '"', "")
    pairs = [
        ("server.port", _same("443", rows), calls),
        ("app.prompt.version", number, spans.kind == INFERENCE),
        ("app.documents", read, (spans.kind == INFERENCE) & (spans.feature % 4 == 0)),
        ("gen_ai.tool.call.id", used, tools),
        ("gen_ai.tool.type", _same('"function"', rows), tools),
        ("http.route", _same('"/v1/{area}"', rows), spans.kind == OTHER),
        *more,
    ]
    return _map([(key, values) for key, values, _ in pairs], np.stack([there for *_, there in pairs]))


@cache
def _documents() -> pa.Array:
    return pa.array([f'["doc-{one:04d}","doc-{one * 7 % 5000:04d}"]' for one in range(5000)])


def _map(pairs: list[tuple[str, pa.Array]], there: Any) -> pa.Array:
    """Return a map a row, of the pairs whose element in `there` is true: a line a pair, or one for all."""
    rows = len(pairs[0][1])
    there = np.broadcast_to(there, (len(pairs), rows)).astype(bool)
    row, pair = np.nonzero(there.T)
    offsets = np.concatenate([[0], np.cumsum(there.sum(axis=0))]).astype(np.int32)
    keys = pa.array([key for key, _ in pairs]).take(pa.array(pair))
    values = pa.concat_arrays([values for _, values in pairs]).take(pa.array(pair * rows + row))
    return pa.MapArray.from_arrays(pa.array(offsets), keys, values)


def _same(word: str, rows: int) -> pa.Array:
    return pa.repeat(pa.scalar(word, TEXT), rows)


def _fingerprints(chance: np.random.Generator, people: Population, spans: Spans) -> dict[str, pa.Array]:
    chats, rows = spans.kind == INFERENCE, spans.rows
    other = ~chats
    prompts = hex_ids(SEED, FEATURES, 8)
    messages = 2 * spans.turn - 1 + 2 * (spans.step - 1)
    kept = np.where(chats, np.minimum(messages + 1, 40), 0)
    row = np.arange(rows).repeat(kept)
    nth = np.arange(len(row)) - (np.cumsum(kept) - kept).repeat(kept)
    seed = np.where(nth == 0, spans.feature[row], spans.session[row] * 64 + (nth <= 0) + FEATURES).astype(np.uint64)
    chain = _mixed(seed * np.uint64(1000) + nth.astype(np.uint64))
    offsets = np.concatenate([[0], np.cumsum(kept)]).astype(np.int32)
    lists = pa.ListArray.from_arrays(pa.array(offsets), pa.array(chain))
    tools = np.where(people.kind_of[spans.feature] == 2, 8, 0)
    return {
        "message_count": pa.array(messages, mask=other),
        "tool_count": pa.array(tools, mask=other),
        "prompt_hash": _scattered(hex_ids(int(chance.integers(2**60)), int(chats.sum()), 8), chats),
        "system_hash": prompts.take(pa.array(spans.feature, mask=other)),
        "tools_hash": prompts.take(pa.array((spans.feature + 1) % FEATURES, mask=other | (tools == 0))),
        "prefix_chain": pc.if_else(pa.array(chats), lists, pa.scalar(None, HASH_LIST)),
        "system_size": pa.array(people.prompt_tokens[spans.feature] * 3, mask=other),
        "tools_size": pa.array(tools * 350, mask=other),
        "history_size": pa.array((messages - 1) * 800 + spans.user % 97, mask=other),
        "tool_results_size": pa.array(np.where(spans.step > 1, spans.input % 3000, 0), mask=other),
        "user_size": pa.array(spans.input % 1200 + 20, mask=other),
        "simhash": pa.array(chance.integers(-(2**62), 2**62, rows), mask=other),
    }


def _mixed(numbers: Any) -> Any:
    """Return well spread 64-bit numbers (the finalizer of SplitMix64)."""
    mixed = numbers + np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return (mixed ^ (mixed >> np.uint64(31))).view(np.int64)
