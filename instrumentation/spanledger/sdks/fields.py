"""Reading a field of a response, whether it is a model of the SDK or parsed JSON."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

_ABSENT: Final = object()
_PLAIN: Final = frozenset({bool, float, int, str, type(None)})


def get(body: object, name: str) -> Any:
    """Return a field, or None where it is absent."""
    # An exact type, because asking an abstract one costs more than the reading, and this runs for every event.
    if type(body) is dict:
        return body.get(name)
    fields = getattr(body, "__dict__", None)
    if fields is not None:
        value = fields.get(name, _ABSENT)
        if value is not _ABSENT:
            return value
        # A field that a model does not have is dear to ask for: pydantic builds an exception for it.
        extra = getattr(body, "__pydantic_extra__", _ABSENT)
        if extra is not _ABSENT:
            return extra.get(name) if type(extra) is dict else None
    return getattr(body, name, None)


def fields(body: object) -> Mapping[str, Any]:
    """Return all fields of an object, to read several of them; what it has by inheritance is not among them."""
    if type(body) is dict:
        return body
    own: dict[str, Any] = getattr(body, "__dict__", {})
    extra = getattr(body, "__pydantic_extra__", None)
    return {**own, **extra} if extra else own


def text(body: object, name: str) -> str | None:
    """Return a field that is non-empty text, else None."""
    return as_text(get(body, name))


def as_text(value: object) -> str | None:
    """Return text that is not empty, else None."""
    return value if isinstance(value, str) and value else None


def count(body: object, name: str) -> int:
    """Return a field that is a whole number, else 0."""
    return whole(get(body, name))


def whole(value: object) -> int:
    """Return a whole number, which some servers write as 7.0; 0 for anything else."""
    if type(value) is int:
        return value
    return int(value) if type(value) is float and value.is_integer() else 0


def snapshot(body: Any) -> dict[str, Any]:
    """Copy a small object, as a usage is, to plain dictionaries, because the application may change it afterwards."""
    fields: dict[str, Any] = body.copy() if type(body) is dict else dict(body.__dict__)
    extra = getattr(body, "__pydantic_extra__", None)
    if extra:
        fields.update(extra)
    for name, value in fields.items():
        if type(value) not in _PLAIN and (type(value) is dict or hasattr(value, "__dict__")):
            fields[name] = snapshot(value)
    return fields
