"""Lengths of time as people write them: 500ms, 2s, 1h."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Final

_TEXT: Final = re.compile(r"(\d+(?:\.\d{1,3})?)\s*(ms|s|m|h|d)")
_UNITS_MS: Final = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
EXPECTED: Final = 'expected a length of time, as "500ms", "2s", "1h"'


def read_ms(text: str) -> int | None:
    """Return a length of time in milliseconds; None where the text is none."""
    found = _TEXT.fullmatch(text)
    return int(Decimal(found[1]) * _UNITS_MS[found[2]]) if found is not None else None
