"""Reading a field of a response, whether it is a model of the SDK or parsed JSON."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def get(body: object, name: str) -> Any:
    """Return a field, or None where it is absent."""
    if isinstance(body, Mapping):
        return body.get(name)
    return getattr(body, name, None)


def text(body: object, name: str) -> str | None:
    """Return a field that is non-empty text, else None."""
    value = get(body, name)
    return value if isinstance(value, str) and value else None


def count(body: object, name: str) -> int:
    """Return a field that is a whole number, else 0."""
    value = get(body, name)
    return value if isinstance(value, int) and not isinstance(value, bool) else 0
