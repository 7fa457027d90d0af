"""Rules of the router: which calls go to another model, by facts that are known before they are made.

A rule is about what its `match` says and all its conditions; the first that fits decides, so their order in the file is
theirs in force. What a rule says of a call is a sentence of the facts that it looked at, so that it can be read on the
span why a call went where it went.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from hashlib import blake2b
from typing import Final, Literal, TypeAlias

from .policy import Match
from .wants import Wants

Arm: TypeAlias = Literal["shadow", "routed", "holdout"]
_BUCKETS: Final = 10_000


@dataclass(frozen=True, slots=True)
class Route:
    """One rule of the router."""

    name: str
    match: Match
    to: tuple[tuple[str, Callable[[str], object], str], ...]
    """Model or provider as written, what takes those that it means, and the model that stands in."""
    mode: Literal["shadow", "percentage"] = "shadow"
    percent: int = 0
    """Of the sessions that the rule fits, so many are routed."""
    holdout: int = 0
    """And so many never are, for comparison."""
    max_input_tokens: int | None = None
    max_turn: int | None = None
    max_output_tokens: int | None = None
    tools: bool | None = None
    tool_results: bool | None = None
    code: bool | None = None
    schema: bool | None = None
    images: bool | None = None
    budget: tuple[tuple[str, Fraction], ...] = ()
    """Name of a budget, and the share of it that has to be spent or held."""
    drop: tuple[str, ...] = ()
    supports: tuple[str, ...] = ()
    alpha: Fraction = Fraction(1, 20)
    least: int = 50
    """Outcomes on either side before they are compared."""
    given: str = field(default="", compare=False)
    """All that decides who is routed, as text: where that changes, counting begins anew."""
    key: str = field(init=False, compare=False)
    """What the rule counts for in the store."""

    def __post_init__(self) -> None:
        digest = blake2b(self.given.encode("utf-8", "surrogatepass"), digest_size=4).hexdigest()
        object.__setattr__(self, "key", f"route/{self.name}/{digest}")

    @property
    def shadow(self) -> bool:
        """Whether the rule only says what it would do."""
        return self.mode == "shadow"

    @property
    def does(self) -> str:
        """What the rule does, in words."""
        pairs = ", ".join(f"{written} -> {to}" for written, _, to in self.to)
        return pairs if self.shadow else f"{pairs} for {self.percent} % of sessions"

    def target(self, provider: str, model: str) -> str | None:
        """Return the model that stands in for one of a provider; None where the rule names none."""
        for written, takes, to in self.to:
            if to != model and (written == provider or takes(model)):
                return to
        return None

    def arm(self, unit: str) -> Arm:
        """Say what becomes of a session, or trace: the same whenever, and wherever, it is asked."""
        if self.shadow:
            return "shadow"
        digest = blake2b(f"{self.name}\0{unit}".encode("utf-8", "surrogatepass"), digest_size=8).digest()
        place = int.from_bytes(digest, "big") * _BUCKETS >> 64
        if place < self.holdout * (_BUCKETS // 100):
            return "holdout"
        # Beside the holdout, so that a larger percentage routes all that a smaller one did.
        return "routed" if place < (self.holdout + self.percent) * (_BUCKETS // 100) else "shadow"

    def facts(self, wants: Wants, into: int) -> list[str] | None:
        """Return the facts by which a call fits, in words; None where it doesn't."""
        found: list[str] = []
        for fits, words in self._facts(wants, into):
            if not fits:
                return None
            found.append(words)
        return found

    def _facts(self, wants: Wants, into: int) -> Iterator[tuple[bool, str]]:
        if self.max_input_tokens is not None:
            yield into <= self.max_input_tokens, f"{into:,} input tokens (at most {self.max_input_tokens:,})"
        if self.max_turn is not None:
            turn = wants.turn
            yield turn is not None and turn <= self.max_turn, f"turn {turn} (at most {self.max_turn})"
        if self.max_output_tokens is not None:
            most = wants.most
            fits = most is not None and most <= self.max_output_tokens
            yield fits, f"at most {most} output tokens asked for (at most {self.max_output_tokens:,})"
        features = wants.features
        asked: Mapping[str, tuple[bool | None, bool]] = {
            "tools": (self.tools, wants.tools),
            "tool results": (self.tool_results, wants.tool_results),
            "code": (self.code, wants.code),
            "a schema": (self.schema, "json_schema" in features or "json_object" in features),
            "images": (self.images, "images" in features),
        }
        for what, (wanted, has) in asked.items():
            if wanted is not None:
                yield wanted is has, what if has else f"no {what.removeprefix('a ')}"


def what_decides(given: Mapping[str, object]) -> str:
    """Return what a rule says, but for what only concerns the comparison, in a form that is equal where it is."""
    return json.dumps({key: value for key, value in given.items() if key not in ("alpha", "least")}, sort_keys=True)
