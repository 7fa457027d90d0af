"""Answers of prompts that mean nearly the same: an index of the last user texts of calls that are otherwise equal.

All of a request but the text of its last user message has to be equal to the letter, so that only questions are
compared and never the instructions, documents or turns before them. The index is in memory, of one process, and is
forgotten with it; answers are where the exact cache keeps them. In shadow all of it happens on the ledger's thread.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import Any, Final, NamedTuple

from .lexical import disagreement
from .rule import Semantic

MOST_BUCKETS: Final = 256
"""Kinds of requests that are remembered, those used last."""
MOST_CHARACTERS: Final = 4000
"""A longer question is not compared: embedders cut it, and what they cut may be what matters."""
_HERE: Final = "\0"
"""In place of the text that is compared."""


class Near(NamedTuple):
    """The prompt that is most alike."""

    key: bytes
    similarity: float
    """Cosine, as the embedder has it; of no money."""
    refused: str | None
    """Why it may not have the same answer; None where it may."""


def split_question(body: Mapping[str, Any]) -> tuple[dict[str, Any], str] | None:
    """Return a request without its last user text, and that text; None where it doesn't end with one."""
    for key in ("messages", "input", "prompt"):
        said = body.get(key)
        if isinstance(said, str):
            return ({**body, key: _HERE}, said) if said else None
        if isinstance(said, list) and said:
            found = _split_message(said[-1])
            return ({**body, key: [*said[:-1], found[0]]}, found[1]) if found is not None else None
    return None


def _split_message(message: object) -> tuple[dict[str, Any], str] | None:
    if not isinstance(message, dict) or message.get("role") != "user":
        return None
    content = message.get("content")
    if isinstance(content, str) and content:
        return {**message, "content": _HERE}, content
    if not isinstance(content, list) or len(content) != 1 or not isinstance(content[0], dict):
        return None
    text = content[0].get("text")
    if not isinstance(text, str) or not text:
        return None
    return {**message, "content": [{**content[0], "text": _HERE}]}, text


class Prompts:
    """The index of one rule; threads share it."""

    def __init__(self, semantic: Semantic) -> None:
        self.semantic = semantic
        self._embed: Callable[[str], Sequence[float]] | None = None
        self._lock = threading.Lock()
        self._buckets: OrderedDict[bytes, _Bucket] = OrderedDict()

    def vector(self, text: str) -> Any:
        """Return a text as a vector of length 1.

        Raises:
            Exception: whatever the embedder raises, or importing it.
        """
        import numpy

        embed = self._embed
        if embed is None:
            module, _, name = self.semantic.embedder.partition(":")
            embed = self._embed = getattr(import_module(module), name)
        found = numpy.asarray(embed(text), dtype=numpy.float32).ravel()
        length = float(numpy.linalg.norm(found))
        if not length > 0:
            raise ValueError(f"{self.semantic.embedder} returned no direction")
        return found / length

    def nearest(self, bucket: bytes, vector: Any, text: str) -> Near | None:
        """Return what is most alike, if that is as alike as the rule wants."""
        with self._lock:
            known = self._buckets.get(bucket)
            found = known.nearest(vector) if known is not None else None
        if found is None:
            return None
        similarity, key, other = found
        if similarity < float(self.semantic.threshold):
            return None
        return Near(key, similarity, disagreement(text, other))

    def add(self, bucket: bytes, vector: Any, text: str, key: bytes) -> None:
        """Remember a prompt whose answer is kept."""
        with self._lock:
            known = self._buckets.get(bucket)
            if known is None:
                known = self._buckets[bucket] = _Bucket(self.semantic.entries)
            self._buckets.move_to_end(bucket)
            if len(self._buckets) > MOST_BUCKETS:
                self._buckets.popitem(last=False)
            known.add(vector, text, key)


class _Bucket:
    """Prompts of calls that are otherwise equal; the oldest make room."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._rows: Any = None
        self._told: list[tuple[bytes, str]] = []
        self._next = 0

    def nearest(self, vector: Any) -> tuple[float, bytes, str] | None:
        if self._rows is None or self._rows.shape[1] != vector.shape[0]:
            return None
        alike = self._rows[: len(self._told)] @ vector
        place = int(alike.argmax())
        return float(alike[place]), *self._told[place]

    def add(self, vector: Any, text: str, key: bytes) -> None:
        import numpy

        if self._rows is None or self._rows.shape[1] != vector.shape[0]:
            self._rows = numpy.zeros((min(64, self._most), vector.shape[0]), dtype=numpy.float32)
            self._told, self._next = [], 0
        if self._next >= self._rows.shape[0] and self._rows.shape[0] < self._most:
            more = min(self._rows.shape[0], self._most - self._rows.shape[0])
            self._rows = numpy.vstack((self._rows, numpy.zeros((more, vector.shape[0]), dtype=numpy.float32)))
        place = self._next % self._rows.shape[0]
        self._rows[place] = vector
        if place == len(self._told):
            self._told.append((key, text))
        else:
            self._told[place] = key, text
        self._next = place + 1


class Question:
    """One call's question among those that were asked before."""

    def __init__(self, prompts: Prompts, bucket: bytes, text: str, key: bytes) -> None:
        self._prompts = prompts
        self._bucket = bucket
        self._text = text
        self._key = key
        self._vector: Any = None
        self.near: Near | None = None

    @property
    def serves(self) -> bool:
        """Whether answers are given, and not only looked for."""
        return self._prompts.semantic.serve

    def look(self) -> Near | None:
        """Find the question that is most alike.

        Raises:
            Exception: whatever the embedder raises.
        """
        self._vector = self._prompts.vector(self._text)
        self.near = self._prompts.nearest(self._bucket, self._vector, self._text)
        return self.near

    def learn(self) -> None:
        """Remember this one, whose answer is kept."""
        if self._vector is not None:
            self._prompts.add(self._bucket, self._vector, self._text, self._key)
