"""From a request to an answer, for both wire protocols: what was asked, what is said, what it uses.

The wire modules read a request into `Asked` and write an `Answer` back; everything between is the same for
both, as at a real provider.
"""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

from spanledger.usage import Usage

from .plans import Plan
from .tokens import BYTES_PER_TOKEN, CacheUse, PromptCache, Segment, make_text

SNAPSHOTS: Final = {
    "gpt-3.5-turbo": "gpt-3.5-turbo-0125",
    "gpt-4-turbo": "gpt-4-turbo-2024-04-09",
    "gpt-4o": "gpt-4o-2024-08-06",
    "gpt-4o-mini": "gpt-4o-mini-2024-07-18",
}
"""Aliases that are answered with the dated name of the model."""
DEFAULT_TEXT_TOKENS: Final = 40
_BASE62: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

Finish = Literal["stop", "tool", "length"]


@dataclass(frozen=True, slots=True)
class Tool:
    """A tool that the caller offers."""

    name: str
    schema: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class ToolCall:
    """The model's wish to run a tool; `arguments` is JSON text."""

    id: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class Asked:
    """What a request asks for, whichever protocol it came in."""

    model: str
    segments: tuple[Segment, ...]
    """The prompt, in the order of the prompt cache."""
    body: Mapping[str, object]
    tools: tuple[Tool, ...] = ()
    tools_done: int = 0
    """Tool results that the prompt already holds."""
    max_tokens: int | None = None
    stream: bool = False
    read_unit: int = 1
    """Cache reads are counted in multiples of it."""
    writes_metered: bool = True
    """False where filling the cache costs nothing."""
    answers: bool = True
    """False for embeddings: nothing is generated."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What the provider says, and what it uses."""

    asked: Asked
    id: str
    created: int
    """Unix seconds."""
    usage: Usage
    text: str
    calls: tuple[ToolCall, ...]
    finish: Finish
    service_tier: str | None

    @property
    def model(self) -> str:
        """Name of the model that answered."""
        return SNAPSHOTS.get(self.asked.model, self.asked.model)


@dataclass(slots=True)
class Names:
    """Identifiers as the providers make them; the same seed gives the same ones."""

    seed: str
    _count: itertools.count[int] = field(default_factory=itertools.count)

    def make(self, prefix: str, length: int) -> str:
        """Return `prefix` and `length` letters and digits."""
        number = int.from_bytes(hashlib.sha512(f"{self.seed}/{next(self._count)}".encode()).digest(), "big")
        letters = []
        for _ in range(length):
            number, place = divmod(number, len(_BASE62))
            letters.append(_BASE62[place])
        return prefix + "".join(letters)

    def make_hex(self, prefix: str, length: int) -> str:
        """Return `prefix` and `length` hex digits."""
        return prefix + hashlib.sha512(f"{self.seed}/{next(self._count)}".encode()).hexdigest()[:length]


def make_answer(asked: Asked, plan: Plan, cache: PromptCache, names: Names, id_: str, now_s: float) -> Answer:
    """Work out the answer to one request.

    A request with tools gets them called one after the other, in the order they are declared; when each has
    its result in the prompt, or none is offered, it gets text.
    """
    used = cache.use(asked.model, asked.segments, now_s)
    call = _next_call(asked, plan, names)
    text_tokens = _text_tokens(asked, plan, called=call is not None)
    finish: Finish = "tool" if call else "stop"
    if asked.max_tokens is not None and text_tokens > asked.max_tokens:
        text_tokens, finish = asked.max_tokens, "length"
    calls = (call,) if call and finish == "tool" else ()
    usage = plan.usage or _count(asked, plan, used, text_tokens, calls)
    text = make_text(text_tokens, plan.opening)
    return Answer(asked, id_, int(now_s), usage, text, calls, finish, plan.service_tier)


def _text_tokens(asked: Asked, plan: Plan, *, called: bool) -> int:
    if not asked.answers:
        return 0
    if plan.text_tokens is not None:
        return plan.text_tokens
    if plan.usage is not None:
        return plan.usage.output_text_tokens if not called else 0
    return 0 if called else DEFAULT_TEXT_TOKENS


def _next_call(asked: Asked, plan: Plan, names: Names) -> ToolCall | None:
    if asked.tools_done >= len(asked.tools):
        return None
    tool = asked.tools[asked.tools_done]
    arguments = json.dumps(dict(plan.arguments) if plan.arguments is not None else _example(tool.schema))
    if plan.tool_tokens is not None:
        # JSON may end in blanks, so a call can be made as long as the plan says.
        arguments = arguments.ljust(plan.tool_tokens * BYTES_PER_TOKEN - len(tool.name))
    return ToolCall(names.make("call_", 24), tool.name, arguments)


def _example(schema: Mapping[str, object]) -> dict[str, object]:
    properties = schema.get("properties")
    examples: dict[str, object] = {"string": "Paris", "integer": 2, "number": 200, "boolean": True, "array": []}
    if not isinstance(properties, Mapping):
        return {}
    return {name: examples.get(str(inner.get("type")), "Paris") for name, inner in properties.items()}


def _count(asked: Asked, plan: Plan, used: CacheUse, text_tokens: int, calls: tuple[ToolCall, ...]) -> Usage:
    input_tokens = sum(segment.tokens for segment in asked.segments)
    call_tokens = sum(-(-len(call.name + call.arguments) // BYTES_PER_TOKEN) for call in calls)
    metered = asked.writes_metered
    return Usage.from_totals(
        input_tokens,
        text_tokens + call_tokens + (plan.reasoning_tokens if asked.answers else 0),
        cache_read_tokens=used.read // asked.read_unit * asked.read_unit,
        cache_write_5m_tokens=used.write_5m if metered else 0,
        cache_write_1h_tokens=used.write_1h if metered else 0,
        reasoning_tokens=plan.reasoning_tokens if asked.answers else 0,
    )
