"""Lengths of time and counts in a file of rules."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Final

from spanledger.entries import Entry

_LENGTH: Final = re.compile(r"(\d{1,6})\s*(s|m|h|d)")
_SECONDS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


def length(entry: Entry, key: str, default: timedelta) -> timedelta:
    """Return a length of time, as `"90s"`, `"5m"`, `"4h"` or `"2d"`."""
    if key not in entry.given:
        return default
    found = parse_length(entry.given[key])
    if found is None:
        raise entry.refuse(key, 'expected a length of time in quotes, as "90s", "5m", "4h" or "2d"')
    return found


def parse_length(value: object) -> timedelta | None:
    """Return `90s`, `5m`, `4h` or `2d` as a length of time; None where it is none."""
    found = _LENGTH.fullmatch(value.strip()) if isinstance(value, str) else None
    return timedelta(seconds=int(found[1]) * _SECONDS[found[2]]) if found else None


def whole(entry: Entry, key: str, default: int) -> int:
    """Return a whole number above 0."""
    value = entry.given.get(key, default)
    if type(value) is not int or value < 1:
        raise entry.refuse(key, "expected a whole number above 0")
    return value
