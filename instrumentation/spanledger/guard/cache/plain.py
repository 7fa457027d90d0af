"""Values that JSON gives back as they were: what a step takes and returns, if it is to be kept."""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256
from json import dumps
from types import CodeType
from typing import Any, Final

_SIMPLE: Final = frozenset({str, int, bool, type(None)})


def is_plain(value: object) -> bool:
    """Tell whether JSON gives a value back as it is: dictionaries with text as keys, lists, text, numbers, None."""
    kind = type(value)
    if kind in _SIMPLE:
        return True
    if isinstance(value, float):
        return kind is float and value - value == 0  # neither infinite nor no number
    if isinstance(value, dict):
        return kind is dict and all(type(key) is str and is_plain(one) for key, one in value.items())
    return isinstance(value, list) and kind is list and all(map(is_plain, value))


def argument(value: object) -> object:
    """Return an argument as JSON can tell it from any other.

    Raises:
        TypeError: nobody can tell whether it is the same another time.
    """
    if type(value) is tuple:
        return {"tuple": [argument(one) for one in value]}
    if type(value) is list:
        return [argument(one) for one in value]
    if type(value) is dict and all(type(key) is str for key in value):
        return {"dict": {key: argument(one) for key, one in value.items()}}
    if not is_plain(value):
        raise TypeError(f"an argument is of {type(value).__qualname__}; only what JSON can hold tells it from others")
    return value


def code_digest(function: Callable[..., Any]) -> str:
    """Return a digest of a function's own code, so that a changed one is not answered by what it was before."""
    code = getattr(function, "__code__", None)
    return sha256(dumps(_code(code)).encode()).hexdigest() if isinstance(code, CodeType) else ""


def _code(code: CodeType) -> list[object]:
    return [code.co_code.hex(), code.co_names, [_constant(one) for one in code.co_consts]]


def _constant(value: object) -> object:
    if isinstance(value, CodeType):
        return _code(value)
    # Sets come in another order in every process.
    return sorted(map(repr, value)) if isinstance(value, frozenset) else repr(value)
