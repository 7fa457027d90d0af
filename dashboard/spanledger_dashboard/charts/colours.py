"""One colour per entity on every page: the Okabe-Ito palette, tints of one hue inside a provider's family.

A model's colour depends on all models known, not on those in one chart, so it does not change from page to page.
Grey is for tools and for "other"; red is for failures only.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Mapping
from typing import Final

BLUE: Final = "#0072B2"
SKY: Final = "#56B4E9"
GREEN: Final = "#009E73"
ORANGE: Final = "#E69F00"
VERMILLION: Final = "#D55E00"
OLIVE: Final = "#B9A300"
PURPLE: Final = "#7E57A0"
BROWN: Final = "#A84300"
GREY: Final = "#8A94A0"
PALE: Final = "#B9C1C9"
RED: Final = "#D92D20"
WHITE: Final = "#FFFFFF"
DARK: Final = "#14202B"

INK: Final = {"light": "#4A5866", "dark": "#C5D0DA"}
"""Of a figure's words, by theme: Streamlit's own grey is too pale to read on white."""
PAPER: Final = {"light": "#FFFFFF", "dark": "#0E151C"}
"""Of pages, by theme."""
LINE: Final = {"light": "#DFE5EA", "dark": "#2A3743"}
"""Of borders, by theme."""

_ANTHROPIC: Final = ("#D55E00", "#E69F00", "#F3C766", "#A84300", "#F08A3C", "#8C6A1A")
_OPENAI: Final = ("#0072B2", "#56B4E9", "#A9D6F2", "#3D5FC4", "#3F8FD0", "#7C9CC9")
_GOOGLE: Final = ("#007A5A", "#009E73", "#7CCFB4", "#00563F")
_EMBEDDINGS: Final = ("#CC79A7", "#E3B3CE", "#9E4F7C")
_REST: Final = ("#7E57A0", "#B9A300", "#A58ACB", "#6B5B2A", "#C9A6D8", "#5B6F2A")

# What a name holds -> (ramp, place in it); the first that fits.
_RULES: Final[tuple[tuple[str, tuple[str, ...], int], ...]] = (
    ("embed", _EMBEDDINGS, 0),
    ("opus", _ANTHROPIC, 0),
    ("sonnet", _ANTHROPIC, 1),
    ("haiku", _ANTHROPIC, 2),
    ("claude", _ANTHROPIC, 3),
    ("nano", _OPENAI, 2),
    ("gpt-4-turbo", _OPENAI, 3),
    ("gemini", _GOOGLE, 0),
    ("mini", _OPENAI, 1),
    ("gpt", _OPENAI, 0),
    ("o1", _OPENAI, 4),
    ("o3", _OPENAI, 4),
    ("o4", _OPENAI, 4),
)


def palette(models: Iterable[str]) -> Mapping[str, str]:
    """Give each model a colour; within a family the next free tint, so that no two there look alike."""
    colours: dict[str, str] = {}
    for model in sorted(set(models)):
        ramp, place = _preferred(model)
        taken = set(colours.values())
        tints = [*ramp[place:], *ramp[:place], *_REST]
        colours[model] = next((tint for tint in tints if tint not in taken), tints[0])
    return colours


def _preferred(model: str) -> tuple[tuple[str, ...], int]:
    name = model.lower()
    for part, ramp, place in _RULES:
        if part in name:
            return ramp, place
    return _REST, zlib.crc32(name.encode()) % len(_REST)
