"""Reading a field of a response, whether it is a model of the SDK or parsed JSON."""

from __future__ import annotations

from typing import Any


def get(body: object, name: str) -> Any:
    """Return a field, or None where it is absent."""
    # An exact type, because asking an abstract one costs more than the reading, and this runs for every event.
    return body.get(name) if type(body) is dict else getattr(body, name, None)


def text(body: object, name: str) -> str | None:
    """Return a field that is non-empty text, else None."""
    value = get(body, name)
    return value if isinstance(value, str) and value else None


def count(body: object, name: str) -> int:
    """Return a field that is a whole number, else 0."""
    value = get(body, name)
    return value if isinstance(value, int) and not isinstance(value, bool) else 0
