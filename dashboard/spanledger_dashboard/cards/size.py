"""What cards beside each other have in common."""

from __future__ import annotations

from typing import Final

NUMBER_PX: Final = 158
"""Height of a number with its picture and what is said under it."""
