"""Spans of the demo's history before they are on the wire, and the reproducible chance that shapes them.

Only `Random.random` is used: its sequence is the one that Python promises not to change.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final, Literal, TypeVar

from spanledger import names
from spanledger.record import Attributes
from spanledger.usage import Usage

Kind = Literal["agent", "tool", "call"]
Choice = TypeVar("Choice")


FRONTS: Final[Mapping[str, tuple[int, int]]] = {
    "hotel search": (250, 1900),
    "support chat": (400, 2000),
    "document search": (0, 450),
    "trip planner": (300, 300),
    "review digest": (0, 350),
    "tuned model trial": (0, 120),
    "flight scout": (0, 0),
    "newsletter": (0, 0),
    "faq": (0, 0),
}
"""Agent to the tokens of its tools and of its system prompt, which open every prompt of its calls."""
ENDINGS: Final[Mapping[str, tuple[str, float, str]]] = {
    "hotel search": ("hotel booked", 0.58, "12.50"),
    "support chat": ("ticket resolved", 0.83, "4.00"),
    "flight scout": ("flight found", 0, "0"),
}
"""Agent to how its work may end: name of the outcome, how often it is a success, and what that is worth, dollars."""
_SAID: Final = 0.9
"""How often somebody says how it ended."""
_BYTES_A_TOKEN: Final = 4


def wire_tags(tags: Mapping[str, str]) -> dict[str, str]:
    """Return the tags of a request by the names that they have on spans."""
    return {
        names.USER_ID: tags["user_id"],
        names.TEAM_ID: tags["team_id"],
        names.CUSTOMER_ID: tags["customer_id"],
        names.FEATURE: tags["feature"],
        names.SESSION_ID: tags["session_id"],
    }


@dataclass(frozen=True, slots=True)
class Prompt:
    """What is known of a prompt without its words."""

    tools_size: int
    system_size: int
    history_size: int
    results_size: int
    user_size: int
    """Bytes."""
    chain: tuple[int, ...]
    """Running hashes, as `prefix_chain` has them."""


@dataclass(frozen=True, slots=True)
class Ending:
    """How work ended."""

    name: str
    success: bool
    value_usd: str


@dataclass(frozen=True, slots=True)
class Step:
    """One span: an agent's work, a tool's, or a call of a model."""

    kind: Kind
    name: str
    trace_id: bytes
    span_id: bytes
    parent_id: bytes
    start_ns: int
    end_ns: int
    tags: Mapping[str, str]
    model: str = ""
    usage: Usage | None = None
    """None for a call that failed."""
    response_id: str = ""
    stream: bool = False
    attempts: int = 1
    prompt: Prompt | None = None
    """None for what has none, such as an embedding."""
    ending: Ending | None = None
    """Of an agent, where somebody said it."""
    controls: Attributes = field(default_factory=dict)
    """What the policy did to a call, by wire name."""

    @property
    def was_sent(self) -> bool:
        """Whether a call came to the provider at all."""
        return self.controls.get(names.GUARD_ACTION) != "block" and names.CACHE_HIT not in self.controls


@dataclass(slots=True)
class Chance:
    """Reproducible choices."""

    key: str
    _random: random.Random = field(init=False)

    def __post_init__(self) -> None:
        self._random = random.Random(self.key)  # noqa: S311 - sample data

    def share(self) -> float:
        """Return a number in [0, 1)."""
        return self._random.random()

    def between(self, low: int, high: int) -> int:
        """Return a whole number from `low` to `high`, both included."""
        return low + int(self.share() * (high - low + 1))

    def pick(self, choices: tuple[Choice, ...], weight: Callable[[Choice], float]) -> Choice:
        """Return one of `choices`, likelier the more it weighs."""
        left = self.share() * sum(map(weight, choices))
        for choice in choices:
            left -= weight(choice)
            if left < 0:
                return choice
        return choices[-1]


@dataclass(slots=True)
class Request:
    """A request in the making: its spans so far, and the clock."""

    key: str
    """Every id is a hash of it."""
    chance: Chance
    tags: Mapping[str, str]
    clock_ns: int
    steps: list[Step] = field(default_factory=list)
    _agent: tuple[str, int] = ("", 0)
    _told: int = 0
    """Tokens of the conversation up to now, the last answer included."""
    _chain: list[int] = field(default_factory=list)

    def begin(self, name: str) -> None:
        """Open the agent's span, which all others stand below."""
        self._agent = (name, self.clock_ns)
        self.clock_ns += 2_000_000

    def tool(self, name: str, milliseconds: int) -> None:
        """Run a tool."""
        self._add("tool", name, milliseconds)

    def call(
        self,
        model: str,
        usage: Usage | None,
        *,
        stream: bool = False,
        attempts: int = 1,
        controls: Attributes | None = None,
    ) -> None:
        """Call a model; None for a call that fails. `controls` are attributes that say what the policy did to it."""
        output = usage.output_tokens if usage else 0
        milliseconds = 300 + output * 12 + self.chance.between(0, 400) + 700 * (attempts - 1)
        self._add("call", model, milliseconds, usage, stream, attempts, self._prompt(model, usage), controls or {})

    def finish(self) -> list[Step]:
        """Return the spans, the agent's first."""
        name, start_ns = self._agent
        trace_id, root_id = self._trace_id(), self._digest("agent")[:8]
        end_ns = self.clock_ns + 3_000_000
        agent = Step("agent", name, trace_id, root_id, b"", start_ns, end_ns, self.tags, ending=self._ending(name))
        return [agent, *self.steps]

    def _prompt(self, model: str, usage: Usage | None) -> Prompt | None:
        """Return what a call's prompt is made of; a model that is asked the same anew goes on from nothing."""
        tools, system = FRONTS[self._agent[0]]
        if usage is None or not usage.output_tokens or usage.input_tokens < tools + system:
            return None
        if not self._chain or self._chain[0] != self._hash(f"front/{model}"):
            self._chain, self._told = [self._hash(f"front/{model}")], 0
        history = max(0, min(self._told, usage.input_tokens) - tools - system)
        new = usage.input_tokens - tools - system - history
        self._told = usage.input_tokens + usage.output_tokens - usage.reasoning_tokens
        self._chain.append(self._hash(f"{self.key}/{len(self.steps)}"))
        result = new if self.steps and self.steps[-1].kind == "tool" else 0
        return Prompt(
            tools_size=_BYTES_A_TOKEN * tools,
            system_size=_BYTES_A_TOKEN * system,
            history_size=_BYTES_A_TOKEN * history,
            results_size=_BYTES_A_TOKEN * result,
            user_size=_BYTES_A_TOKEN * (new - result),
            chain=tuple(self._chain),
        )

    def _ending(self, name: str) -> Ending | None:
        if name not in ENDINGS or self.chance.share() > _SAID:
            return None
        outcome, often, value = ENDINGS[name]
        success = self.chance.share() < often
        return Ending(outcome, success, value if success else "0")

    def _hash(self, text: str) -> int:
        """Return a signed number of 64 bits; that of what opens a prompt is the same for every request of an agent."""
        told = f"{self._agent[0]}/{text}"
        return int.from_bytes(hashlib.sha256(told.encode()).digest()[:8], "little", signed=True)

    def _add(
        self,
        kind: Kind,
        name: str,
        milliseconds: int,
        usage: Usage | None = None,
        stream: bool = False,
        attempts: int = 1,
        prompt: Prompt | None = None,
        controls: Attributes | None = None,
    ) -> None:
        digest = self._digest(str(len(self.steps)))
        start_ns, self.clock_ns = self.clock_ns, self.clock_ns + milliseconds * 1_000_000
        self.steps.append(
            Step(
                kind,
                name,
                self._trace_id(),
                digest[:8],
                self._digest("agent")[:8],
                start_ns,
                self.clock_ns,
                self.tags,
                model=name if kind == "call" else "",
                usage=usage,
                response_id=digest[8:24].hex(),
                stream=stream,
                attempts=attempts,
                prompt=prompt,
                controls=controls or {},
            )
        )
        self.clock_ns += 1_000_000

    def _trace_id(self) -> bytes:
        return self._digest("trace")[:16]

    def _digest(self, part: str) -> bytes:
        return hashlib.sha256(f"{self.key}/{part}".encode()).digest()
