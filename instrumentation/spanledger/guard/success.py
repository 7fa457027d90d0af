"""Whether work that was routed succeeds less often than work that was not: a one-sided test of two proportions.

Who looks after each outcome finds a difference sooner or later, where there is none. So it is looked at only when the
smaller side has `least` outcomes, twice, four times as many and so on, and each look has half the error that the one
before had: alpha/2, alpha/4, ... which add up to less than alpha, however long the rule goes on.
"""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, field, replace
from fractions import Fraction
from typing import Any, Final, TypeAlias

Counts: TypeAlias = tuple[int, int]
"""Pieces of work with an outcome, and those of them that succeeded."""
_SQRT_2: Final = math.sqrt(2)


def p_value(routed: Counts, control: Counts) -> float:
    """Return how likely so large a drop is by chance: (outcomes, successes) of each; 1 where nothing can be told.

    The pooled z-test of two proportions with Yates's correction, for without it a rule of few outcomes is stopped too
    often: z = (p2 - p1 - c / 2) / sqrt(p (1 - p) c) where c = 1/n1 + 1/n2, and the area above z.
    """
    (n_1, hits_1), (n_2, hits_2) = routed, control
    pooled = (hits_1 + hits_2) / (n_1 + n_2) if n_1 and n_2 else 0.0
    if not 0 < pooled < 1:
        return 1.0
    both = 1 / n_1 + 1 / n_2
    drop = hits_2 / n_2 - hits_1 / n_1 - both / 2
    return math.erfc(drop / math.sqrt(pooled * (1 - pooled) * both) / _SQRT_2) / 2


@dataclass(frozen=True, slots=True)
class Success:
    """What is known of a rule's arms, in all processes that share the store."""

    routed: Counts = (0, 0)
    control: Counts = (0, 0)
    """What the rule fits, and is left as it is: holdout, and what the percentage leaves."""
    looks: int = 0
    """How often they were compared."""
    stopped: str = ""
    """Why the rule routes no longer; empty while it does."""
    in_lake: tuple[Counts, Counts] = ((0, 0), (0, 0))
    """Both sides as the lake has them, which knows what other processes said of work that they didn't route."""
    since_ms: int = field(default=0, compare=False)
    """When counting began, Unix milliseconds."""

    def plus(self, arm: str, outcomes: int, successes: int) -> Success:
        """Return the counts with more on one side; fewer where an outcome was taken back."""
        side = "routed" if arm == "routed" else "control"
        before = getattr(self, side)
        counts = max(0, before[0] + outcomes), max(0, before[1] + successes)
        return replace(self, routed=counts) if side == "routed" else replace(self, control=counts)

    def by_lake(self, routed: Counts, control: Counts) -> Success:
        """Return the counts with what the lake has now in place of what it had."""
        return replace(self, in_lake=(routed, control))

    def looked_at(self, alpha: Fraction, least: int) -> Success:
        """Compare the arms if it is time to; the rule stops where the routed one is too far behind."""
        routed, control = max((self.routed, self.control), self.in_lake, key=_smaller)
        smaller = _smaller((routed, control))
        if self.stopped or smaller < least << self.looks:
            return self
        looks = self.looks
        allowed = alpha / 2 ** (looks + 1)
        while smaller >= least << looks:
            looks += 1
        p = p_value(routed, control)
        why = "" if p >= allowed else _words(routed, control, p)
        return replace(self, looks=looks, stopped=why)

    def to_json(self) -> str:
        """Return the text that a store keeps."""
        return json.dumps(asdict(self), separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str | None) -> Success:
        """Read what a store kept; nothing known where there is nothing."""
        told: dict[str, Any] = json.loads(text) if text else {}
        routed, control = (_counts(told.get(side)) for side in ("routed", "control"))
        in_lake = told.get("in_lake") or (None, None)
        return cls(
            routed,
            control,
            told.get("looks", 0),
            told.get("stopped", ""),
            (_counts(in_lake[0]), _counts(in_lake[1])),
            told.get("since_ms", 0),
        )


def _counts(told: Any) -> Counts:
    return (told[0], told[1]) if told else (0, 0)


def _smaller(sides: tuple[Counts, Counts]) -> int:
    return min(sides[0][0], sides[1][0])


def _words(routed: Counts, control: Counts, p: float) -> str:
    chance = "p < 0.001" if p < 0.001 else f"p = {p:.2g}"
    return f"{_share(routed)} of routed work succeeded, and {_share(control)} of the rest ({chance})"


def _share(counts: Counts) -> str:
    return f"{counts[1]:,} of {counts[0]:,} ({100 * counts[1] / counts[0]:.1f} %)"
