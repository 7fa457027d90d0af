"""The latest few thousand of something, by key; what was put first goes first."""

from __future__ import annotations

import contextlib
from collections import OrderedDict
from typing import Final, Generic, TypeVar

V = TypeVar("V")
MOST: Final = 10_000


class Recent(Generic[V]):
    """A dictionary that forgets; shared by threads, where one that is lost early does no harm."""

    __slots__ = ("_kept",)

    def __init__(self) -> None:
        self._kept: OrderedDict[str, V] = OrderedDict()  # a plain one takes longer and longer to find its first

    def get(self, key: str) -> V | None:
        """Return what was put last; None where nothing was, or that is too long ago."""
        return self._kept.get(key)

    def put(self, key: str, value: V) -> None:
        """Keep a value."""
        if key not in self._kept and len(self._kept) >= MOST:
            with contextlib.suppress(KeyError):
                self._kept.popitem(last=False)
        self._kept[key] = value

    def drop(self, key: str) -> None:
        """Forget a value, if there is one."""
        self._kept.pop(key, None)
