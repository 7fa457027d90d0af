"""What a rule finds when it looks at one value of what it is by: a number, and where it trips."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final

NOT_SAID: Final = "(none)"
"""Label of calls that don't say the dimension: an empty label is none at all for Alertmanager."""
_RESOLVES_BELOW: Final = Decimal("0.8")
"""Of the trip level."""


@dataclass(frozen=True, slots=True)
class Reading:
    """One number that a rule looked at."""

    value: Decimal
    trip: Decimal
    """Above that it trips."""
    summary: str
    """One sentence that says what is the case."""
    scope: Mapping[str, str] = field(default_factory=dict)
    """Labels that tell it from the rule's other readings."""
    at_trip: bool = False
    """Whether it trips at the level itself, too."""
    quiet: bool = False
    """Kept, but not told: something above it says more."""
    unit: str = "USD"
    """Of both numbers."""

    @property
    def is_over(self) -> bool:
        """Whether it trips."""
        return self.value >= self.trip if self.at_trip else self.value > self.trip

    @property
    def is_under(self) -> bool:
        """Whether it is so far below that an alert is over."""
        return self.value < self.trip * _RESOLVES_BELOW


def scope_of(by: str | None, value: str | None) -> dict[str, str]:
    """Return the labels of a value of what a rule is by; without a rule's `by` there are none."""
    return {} if by is None else {label_name(by): value or NOT_SAID}


def label_name(dimension: str) -> str:
    """Return a dimension as a label may be called."""
    return re.sub(r"\W", "_", dimension)


def fingerprint(labels: Mapping[str, str]) -> str:
    """Return what an alert is known by: 16 hexadecimal digits of its labels."""
    said = "\x1e".join(f"{name}\x1f{labels[name]}" for name in sorted(labels))
    return hashlib.blake2b(said.encode(), digest_size=8).hexdigest()
