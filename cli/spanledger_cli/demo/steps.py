"""Spans of the demo's history before they are on the wire, and the reproducible chance that shapes them.

Only `Random.random` is used: its sequence is the one that Python promises not to change.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeVar

from spanledger.usage import Usage

Kind = Literal["agent", "tool", "call"]
Choice = TypeVar("Choice")


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

    def begin(self, name: str) -> None:
        """Open the agent's span, which all others stand below."""
        self._agent = (name, self.clock_ns)
        self.clock_ns += 2_000_000

    def tool(self, name: str, milliseconds: int) -> None:
        """Run a tool."""
        self._add("tool", name, milliseconds)

    def call(self, model: str, usage: Usage | None, *, stream: bool = False, attempts: int = 1) -> None:
        """Call a model; None for a call that fails."""
        output = usage.output_tokens if usage else 0
        milliseconds = 300 + output * 12 + self.chance.between(0, 400) + 700 * (attempts - 1)
        self._add("call", model, milliseconds, usage, stream, attempts)

    def finish(self) -> list[Step]:
        """Return the spans, the agent's first."""
        name, start_ns = self._agent
        trace_id, root_id = self._trace_id(), self._digest("agent")[:8]
        agent = Step("agent", name, trace_id, root_id, b"", start_ns, self.clock_ns + 3_000_000, self.tags)
        return [agent, *self.steps]

    def _add(
        self,
        kind: Kind,
        name: str,
        milliseconds: int,
        usage: Usage | None = None,
        stream: bool = False,
        attempts: int = 1,
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
            )
        )
        self.clock_ns += 1_000_000

    def _trace_id(self) -> bytes:
        return self._digest("trace")[:16]

    def _digest(self, part: str) -> bytes:
        return hashlib.sha256(f"{self.key}/{part}".encode()).digest()
