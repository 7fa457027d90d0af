"""What one call used: the inclusive totals and the disjoint parts that add up to them.

Every dialect becomes this vector before anything is priced, because providers count in opposite directions:
OpenAI's input includes cached tokens, Anthropic's does not.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from operator import attrgetter
from typing import Final, Literal

UsageState = Literal["reported", "estimated", "missing", "inconsistent"]

INPUT_PARTS: Final = (
    "input_uncached_tokens",
    "cache_read_tokens",
    "cache_write_5m_tokens",
    "cache_write_1h_tokens",
    "cache_write_12h_tokens",
    "input_audio_tokens",
    "cache_read_audio_tokens",
    "input_image_tokens",
)
"""Disjoint; they add up to input_tokens."""
OUTPUT_PARTS: Final = (
    "output_text_tokens",
    "reasoning_tokens",
    "output_audio_tokens",
    "output_image_tokens",
)
"""Disjoint; they add up to output_tokens."""


@dataclass(frozen=True, slots=True)
class Usage:
    """The token vector of one call; counts are whole tokens, `units` whatever else is metered."""

    input_uncached_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_5m_tokens: int = 0
    cache_write_1h_tokens: int = 0
    cache_write_12h_tokens: int = 0
    input_audio_tokens: int = 0
    cache_read_audio_tokens: int = 0
    input_image_tokens: int = 0
    output_text_tokens: int = 0
    reasoning_tokens: int = 0
    output_audio_tokens: int = 0
    output_image_tokens: int = 0
    units: Mapping[str, Decimal] = field(default_factory=dict)
    state: UsageState = "reported"

    @property
    def input_tokens(self) -> int:
        """All input tokens, cached ones included."""
        return sum(_input_counts(self))

    @property
    def output_tokens(self) -> int:
        """All output tokens, reasoning included."""
        return sum(_output_counts(self))

    @classmethod
    def from_totals(
        cls,
        input_tokens: int,
        output_tokens: int,
        *,
        state: UsageState = "reported",
        units: Mapping[str, Decimal] | None = None,
        **parts: int,
    ) -> Usage:
        """Build the vector from inclusive totals and the parts that are known.

        What the named parts leave over is uncached text input and text output. Parts that exceed their total
        give `state="inconsistent"` and no parts at all: such a call is not priced, rather than priced wrongly.
        """
        rest_in, rest_out, sound = input_tokens, output_tokens, True
        for name, count in parts.items():
            sound = sound and count >= 0
            if name in _OUTPUT:
                rest_out -= count
            else:
                rest_in -= count
        if not sound or rest_in < 0 or rest_out < 0:
            return cls(
                input_uncached_tokens=max(input_tokens, 0),
                output_text_tokens=max(output_tokens, 0),
                units=units or {},
                state="inconsistent",
            )
        parts["input_uncached_tokens"] = rest_in + parts.get("input_uncached_tokens", 0)
        parts["output_text_tokens"] = rest_out + parts.get("output_text_tokens", 0)
        return cls(**parts, units=units or {}, state=state)


_input_counts = attrgetter(*INPUT_PARTS)
_output_counts = attrgetter(*OUTPUT_PARTS)
_OUTPUT: Final = frozenset(OUTPUT_PARTS)
