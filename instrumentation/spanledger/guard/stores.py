"""Opening the store that a policy names."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Final

from .fallback import FallbackStore
from .store import Store

FILE: Final = "guard.sqlite"


def open_store(name: str, home: Path) -> Store:
    """Open `memory`, `sqlite` (a file in the home folder) or an address of Redis.

    Raises:
        SpanledgerError: it needs a library that isn't installed.
    """
    if name == "memory":
        store: Store = import_module(".memory", __package__).MemoryStore()
    elif name == "sqlite":
        home.mkdir(parents=True, exist_ok=True)
        store = FallbackStore(import_module(".sqlite", __package__).SqliteStore(home / FILE))
    else:
        store = FallbackStore(import_module(".redis_store", __package__).RedisStore(name), blocks=True)
    return store
