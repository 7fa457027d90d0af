"""Traces of an agent as OTLP bodies: encoded once, from a seed, and given new ids and times as often as one likes.

A trace is an agent's run with four chats and three tools. A chat has 25 attributes (two of them lists), a fiftieth of
the chats fail, and an event tells of that; with `fingerprints` a chat has 12 attributes more. A quarter of the bodies
is of OpenTelemetry's own instrumentation, the others are of ours.
"""

from __future__ import annotations

import random
import string
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from otlp_bodies import START_NS, Value, pairs
from spanledger import names

SPANS_PER_TRACE: Final = 8
_CHATS: Final = (1, 3, 5, 7)
_MODELS: Final = (
    ("openai", "gpt-4o", "gpt-4o-2024-08-06", "api.openai.com"),
    ("openai", "gpt-4.1-mini", "gpt-4.1-mini-2025-04-14", "api.openai.com"),
    ("anthropic", "claude-sonnet-4-5", "claude-sonnet-4-5-20250929", "api.anthropic.com"),
    ("anthropic", "claude-haiku-4-5", "claude-haiku-4-5-20251001", "api.anthropic.com"),
)
_TOOLS: Final = ("search_hotels", "read_calendar", "send_mail", "run_sql", "fetch_page")
_FEATURES: Final = ("search", "booking", "support", "summary", "translation", "onboarding")
_ID_CHARACTERS: Final = np.frombuffer((string.ascii_letters + string.digits).encode(), np.uint8)
_RESPONSE_DIGITS: Final = 24
_MARK: Final = b"\x39"
"""Tag of a span's start; its end, with a tag of one byte too, comes next."""

Places = npt.NDArray[np.int64]


@dataclass(slots=True)
class Body:
    """One request, whose ids and times can be made anew."""

    data: npt.NDArray[np.uint8]
    spans: int
    trace_ids: Places
    """Where the 16 bytes of each span's trace id stand; the others likewise."""
    span_ids: Places
    parent_ids: Places
    starts: Places
    ends: Places
    response_ids: Places
    offsets_ns: npt.NDArray[np.int64]
    """When each span starts, after the first of the body."""
    lengths_ns: npt.NDArray[np.int64]

    def renewed(self, chance: np.random.Generator, start_ns: int) -> bytes:
        """Return the request with new ids, as if its first span had started at `start_ns`."""
        traces = self.spans // SPANS_PER_TRACE
        span_ids = _random_bytes(chance, (self.spans, 8))
        self.data[self.trace_ids] = np.repeat(_random_bytes(chance, (traces, 16)), SPANS_PER_TRACE, axis=0)
        self.data[self.span_ids] = span_ids
        self.data[self.parent_ids] = np.repeat(span_ids[::SPANS_PER_TRACE], SPANS_PER_TRACE - 1, axis=0)
        start = start_ns + self.offsets_ns
        self.data[self.starts] = start.view(np.uint8).reshape(-1, 8)
        self.data[self.ends] = (start + self.lengths_ns).view(np.uint8).reshape(-1, 8)
        characters = _random_bytes(chance, self.response_ids.shape) % len(_ID_CHARACTERS)
        self.data[self.response_ids] = _ID_CHARACTERS[characters]
        return self.data.tobytes()


def make_bodies(count: int, traces: int = 63, *, seed: int = 20_261_128, fingerprints: bool = False) -> list[Body]:
    """Return `count` different bodies of `traces` x 8 spans."""
    chance = random.Random(seed)
    return [_body(chance, number, traces, fingerprints) for number in range(count)]


def _random_bytes(chance: np.random.Generator, shape: tuple[int, ...]) -> npt.NDArray[np.uint8]:
    return np.frombuffer(chance.bytes(int(np.prod(shape))), np.uint8).reshape(shape)


def _body(chance: random.Random, number: int, traces: int, fingerprints: bool) -> Body:
    ours = number % 4 > 0
    message = ExportTraceServiceRequest()
    resource = message.resource_spans.add()
    service = ("travel-agent", "helpdesk", "back-office")[number % 3]
    said = {"service.name": service, "service.version": "2026.11.3", "deployment.environment.name": "production"}
    resource.resource.attributes.extend(
        pairs({**said, "telemetry.sdk.language": "python", "host.name": f"h{number % 9}"})
    )
    scope = resource.scope_spans.add()
    scope.scope.name = names.SCOPE if ours else "opentelemetry.instrumentation.genai.openai"
    scope.scope.version = "0.1.0" if ours else "1.3b0"
    for _ in range(traces):
        scope.spans.extend(_trace(chance, ours, fingerprints))
    return _placed(message, list(scope.spans))


def _trace(chance: random.Random, ours: bool, fingerprints: bool) -> list[Span]:
    trace_id, root = chance.randbytes(16), chance.randbytes(8)
    who: dict[str, Value] = {
        names.USER_ID: f"user-{int(chance.paretovariate(0.6)) % 20_000}",
        names.TEAM_ID: f"team-{chance.randrange(12)}",
        names.FEATURE: chance.choice(_FEATURES),
        names.SESSION_ID: f"s-{chance.getrandbits(48):012x}",
    }
    spans, at = [], int(chance.uniform(0, 2e9))
    for place in range(SPANS_PER_TRACE):
        lasted = int(chance.lognormvariate(0, 0.8) * (2e9 if place in _CHATS else 1e8))
        span = Span(trace_id=trace_id, span_id=chance.randbytes(8), parent_span_id=root, kind=Span.SPAN_KIND_INTERNAL)
        span.start_time_unix_nano, span.end_time_unix_nano = at, at + lasted
        if place == 0:
            span.span_id, span.parent_span_id, span.name = root, b"", "invoke_agent planner"
            span.attributes.extend(pairs({names.OPERATION: "invoke_agent", names.AGENT_NAME: "planner", **who}))
        elif place in _CHATS:
            _make_chat(span, chance, who, ours, fingerprints)
            at += lasted
        else:
            _make_tool(span, chance, who)
            at += lasted
        spans.append(span)
    spans[0].end_time_unix_nano = at
    return spans


def _make_chat(span: Span, chance: random.Random, who: Mapping[str, Value], ours: bool, fingerprints: bool) -> None:
    provider, asked, answered, host = chance.choice(_MODELS)
    read = int(chance.lognormvariate(7.5, 0.9))
    written = int(chance.lognormvariate(5.5, 0.8))
    cost_pico = read * 2_500_000 + written * 10_000_000
    attributes: dict[str, Value] = {
        names.OPERATION: "chat",
        names.PROVIDER: provider,
        names.REQUEST_MODEL: asked,
        names.RESPONSE_MODEL: answered,
        names.RESPONSE_ID: "".join(chance.choices(string.ascii_letters, k=_RESPONSE_DIGITS)),
        names.FINISH_REASONS: [chance.choice(("stop", "stop", "tool_calls"))],
        names.FIRST_CHUNK_S: round(chance.lognormvariate(-0.7, 0.4), 3),
        names.STREAM: True,
        names.MAX_TOKENS: 4096,
        names.TEMPERATURE: 0.2,
        names.SERVER_ADDRESS: host,
        names.SERVER_PORT: 443,
        names.INPUT_TOKENS: read,
        names.OUTPUT_TOKENS: written,
        names.CACHE_READ_TOKENS: read // 2 if chance.random() < 0.5 else 0,
        names.REASONING_TOKENS: written // 3 if chance.random() < 0.3 else 0,
        names.COST_USD: cost_pico / 1e12,
        **({names.COST_PICO_USD: cost_pico} if ours else {"gen_ai.output.type": "text"}),
        **who,
        f"{names.TAG_PREFIX}plan": chance.choice(("free", "pro", "enterprise")),
        "app.prompt.version": chance.randrange(40),
        "app.documents": [f"doc-{chance.randrange(5000)}" for _ in range(3)],
    }
    if chance.random() < 0.02:
        _fail(span, chance)
        for name in (names.OUTPUT_TOKENS, names.REASONING_TOKENS, names.FINISH_REASONS):
            del attributes[name]
        attributes |= {names.ERROR_TYPE: "RateLimitError", names.ATTEMPTS: 3, names.HTTP_STATUS: 429}
    if fingerprints:
        attributes |= _fingerprints(chance, read)
    span.name, span.kind = f"chat {asked}", Span.SPAN_KIND_CLIENT
    span.attributes.extend(pairs(attributes))


def _fail(span: Span, chance: random.Random) -> None:
    span.status.CopyFrom(Status(code=Status.STATUS_CODE_ERROR, message="Error code: 429 - rate limit reached"))
    told = {"exception.type": "RateLimitError", "exception.message": f"try again in {chance.randrange(60)} s"}
    span.events.add(time_unix_nano=START_NS, name="exception").attributes.extend(pairs(told))


def _fingerprints(chance: random.Random, read: int) -> dict[str, Value]:
    messages = 1 + int(chance.expovariate(0.2))
    return {
        names.PROMPT_HASH: f"{chance.getrandbits(64):016x}",
        names.SYSTEM_HASH: f"{chance.randrange(30) * 0x9E3779B97F4A7C15 & (1 << 64) - 1:016x}",
        names.TOOLS_HASH: f"{chance.randrange(9) * 0xC2B2AE3D27D4EB4F & (1 << 64) - 1:016x}",
        names.PREFIX_CHAIN: chance.randbytes(8 * (messages + 1)),
        names.SIMHASH: chance.getrandbits(63),
        names.SYSTEM_SIZE: 2_000,
        names.TOOLS_SIZE: 3_500,
        names.HISTORY_SIZE: read * 3,
        names.USER_SIZE: chance.randrange(20, 900),
        names.MESSAGE_COUNT: messages,
        names.TOOL_COUNT: 5,
        names.TURN: 1 + messages // 2,
    }


def _make_tool(span: Span, chance: random.Random, who: Mapping[str, Value]) -> None:
    tool = chance.choice(_TOOLS)
    span.name = f"execute_tool {tool}"
    call = {"gen_ai.tool.call.id": f"call_{chance.getrandbits(40):010x}", "gen_ai.tool.type": "function"}
    span.attributes.extend(pairs({names.OPERATION: "execute_tool", names.TOOL_NAME: tool, **call, **who}))


def _placed(message: ExportTraceServiceRequest, spans: list[Span]) -> Body:
    """Find where the ids and times stand in the encoded message; random ids are not met by chance."""
    data = message.SerializeToString()
    found: dict[str, list[int]] = {name: [] for name in ("trace", "span", "parent", "start", "response")}
    at = 0
    for span in spans:
        at = data.index(b"\x0a\x10" + span.trace_id, at) + 2
        found["trace"].append(at)
        at = data.index(b"\x12\x08" + span.span_id, at) + 2
        found["span"].append(at)
        if span.parent_span_id:
            at = data.index(b"\x22\x08" + span.parent_span_id, at) + 2
            found["parent"].append(at)
        at = data.index(_MARK + span.start_time_unix_nano.to_bytes(8, "little"), at) + 1
        found["start"].append(at)
        for attribute in span.attributes:
            if attribute.key == names.RESPONSE_ID:
                found["response"].append(data.index(attribute.value.string_value.encode(), at))
    start = np.array([span.start_time_unix_nano for span in spans], np.int64)
    end = np.array([span.end_time_unix_nano for span in spans], np.int64)
    return Body(
        data=np.frombuffer(data, np.uint8).copy(),
        spans=len(spans),
        trace_ids=_runs(found["trace"], 16),
        span_ids=_runs(found["span"], 8),
        parent_ids=_runs(found["parent"], 8),
        starts=_runs(found["start"], 8),
        ends=_runs(found["start"], 8) + 9,
        response_ids=_runs(found["response"], _RESPONSE_DIGITS),
        offsets_ns=start,
        lengths_ns=end - start,
    )


def _runs(places: list[int], length: int) -> Places:
    return np.array(places, np.int64)[:, None] + np.arange(length)
