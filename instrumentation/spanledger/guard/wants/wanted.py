"""What is read of a request, whatever its protocol."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, NamedTuple

from spanledger.canonical import fields_of
from spanledger.instead import parameter

CONVERSES: Final = frozenset({"chat", "generate_content"})
"""Operations by which a session goes on."""
NOT_TEXT: Final = frozenset({"images", "audio", "files", "video"})
"""Features whose tokens no bytes tell."""
THOUGHTS: Final = "thinking of earlier turns"
"""What a model thought is sent along; only the one that thought it is known to take it."""


class Wants(NamedTuple):
    """What a request asks for."""

    features: Mapping[str, str]
    """Feature to the parameter that it comes from: `json_schema` to `response_format`."""
    turn: int | None
    """1 and one more for each answer of the model that is sent along; None where the provider keeps them."""
    most: int | None
    """Tokens that the answer may have."""
    tools: bool
    """Tools are offered."""
    tool_results: bool
    code: bool
    """There is a code fence in a message."""
    is_chat: bool
    """Of chat completions, which some models take less with."""
    marks_cache: bool
    """Parts are marked to be cached by the provider."""


def count_runs(are_answers: Iterable[bool]) -> int:
    """Count the model's answers; several items in a row are one."""
    count, before = 0, False
    for answers in are_answers:
        count += answers and not before
        before = answers
    return count


def named(value: object) -> Iterator[tuple[str, Any]]:
    """Give the fields of a place by the names that Python has for them; nothing where it has none."""
    for key, inner in (fields_of(value) or {}).items():
        yield parameter(str(key)), inner


def listed(value: object) -> Iterable[object]:
    """Give the items of a list; nothing where it is none."""
    return value if isinstance(value, list | tuple) else ()
