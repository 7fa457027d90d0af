"""The latest few thousand of something, by key; what was put first goes first."""

from __future__ import annotations

import contextlib
from typing import Final, Generic, TypeVar

V = TypeVar("V")
MOST: Final = 10_000


class Recent(Generic[V]):
    """A dictionary that forgets; shared by threads, where one that is lost early does no harm."""

    __slots__ = ("_kept",)

    def __init__(self) -> None:
        self._kept: dict[str, V] = {}

    def get(self, key: str) -> V | None:
        """Return what was put last; None where nothing was, or that is too long ago."""
        return self._kept.get(key)

    def put(self, key: str, value: V) -> None:
        """Keep a value."""
        if key not in self._kept and len(self._kept) >= MOST:
            with contextlib.suppress(KeyError, RuntimeError, StopIteration):
                del self._kept[next(iter(self._kept))]
        self._kept[key] = value
