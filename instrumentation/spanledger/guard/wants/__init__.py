"""What a request asks for, as far as a model may refuse it, and what is known of it before it is sent.

Each protocol has a reader of its own, and all give the same names to the same things, which are those of the table of
capabilities. A parameter that nobody here knows is a feature, too, so that no model is taken to support it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from spanledger.canonical import fields_of
from spanledger.texts import asked_texts

from .converse import read_converse
from .gemini import read_gemini
from .messages import is_answer, read_messages
from .wanted import CONVERSES, NOT_TEXT, THOUGHTS, Wants

__all__ = ["CONVERSES", "NOT_TEXT", "THOUGHTS", "Wants", "cached_share", "read_wants"]

_PROMPTS: Final = ("messages", "contents")
_CONVERSE: Final = frozenset({"modelId", "inferenceConfig", "toolConfig"})


def read_wants(body: Mapping[str, Any]) -> Wants:
    """Read the body of a request, in whatever protocol it is."""
    if "contents" in body:
        return read_gemini(body)
    return read_messages(body) if _CONVERSE.isdisjoint(body) else read_converse(body)


def cached_share(body: Mapping[str, Any]) -> tuple[int, int]:
    """Return the bytes of a prompt that the call before it had sent, at most, and those of all of it."""
    key = next((name for name in _PROMPTS if name in body), "input")
    listed = body.get(key)
    if not isinstance(listed, list | tuple):
        return 0, asked_texts(body).size
    last = max((place for place, one in enumerate(listed) if is_answer(fields_of(one) or {})), default=0)
    while last and is_answer(fields_of(listed[last - 1]) or {}):
        last -= 1
    before = asked_texts({**body, key: listed[:last]}).size if last else 0
    return before, asked_texts(body).size
