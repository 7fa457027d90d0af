"""What one call used: the inclusive totals and the disjoint parts that add up to them.

Every dialect becomes this vector before anything is priced, because providers count in opposite directions:
OpenAI's input includes cached tokens, Anthropic's does not.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from types import MappingProxyType
from typing import Final, Literal, NamedTuple

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
_INPUTS: Final = len(INPUT_PARTS)
_TOKENS: Final = _INPUTS + len(OUTPUT_PARTS)


_NO_UNITS: Final[Mapping[str, Decimal]] = MappingProxyType({})


class Usage(NamedTuple):
    """The token vector of one call; counts are whole tokens, `units` whatever else is metered.

    A named tuple, as is all of which every call makes one: it costs a quarter of a frozen dataclass.
    """

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
    units: Mapping[str, Decimal] = _NO_UNITS
    state: UsageState = "reported"

    @property
    def counts(self) -> tuple[int, ...]:
        """The token parts, in the order of INPUT_PARTS + OUTPUT_PARTS."""
        return self[:_TOKENS]  # type: ignore[return-value]

    @property
    def input_tokens(self) -> int:
        """All input tokens, cached ones included."""
        return sum(self[:_INPUTS])  # type: ignore[arg-type]

    @property
    def output_tokens(self) -> int:
        """All output tokens, reasoning included."""
        return sum(self[_INPUTS:_TOKENS])  # type: ignore[arg-type]

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
        vector, rest_in, rest_out, sound = [0] * _TOKENS, input_tokens, output_tokens, True
        for name, count in parts.items():
            if count:
                place = _PLACES[name]
                vector[place] = count
                sound = sound and count > 0
                if place < _INPUTS:
                    rest_in -= count
                else:
                    rest_out -= count
        if not sound or rest_in < 0 or rest_out < 0:
            return cls(
                input_uncached_tokens=max(input_tokens, 0),
                output_text_tokens=max(output_tokens, 0),
                units=units or _NO_UNITS,
                state="inconsistent",
            )
        vector[0] += rest_in
        vector[_INPUTS] += rest_out
        return cls._make((*vector, units or _NO_UNITS, state))


_PLACES: Final = {name: place for place, name in enumerate(INPUT_PARTS + OUTPUT_PARTS)}
