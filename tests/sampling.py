"""Looking at something again and again while something else goes on."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from typing import TypeVar

Seen = TypeVar("Seen")


@contextlib.contextmanager
def sampling(look: Callable[[], Seen], every_s: float) -> Iterator[list[Seen]]:
    """Keep what `look` returns every so many seconds, while the block runs."""
    seen: list[Seen] = []
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(every_s):
            seen.append(look())

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield seen
    finally:
        ended.set()
        watcher.join()
