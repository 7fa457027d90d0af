"""Opening the store that a policy names."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Final

from .fallback import FallbackStore
from .store import Store

FILE: Final = "guard.sqlite"


def open_store(name: str, home: Path) -> Store:
    """Open `memory`, `sqlite` (a file in the home folder) or an address of Redis, for calls of an application.

    Raises:
        ImportError: it needs a library that isn't installed.
    """
    store: Store
    if name == "memory":
        store = import_module(".memory", __package__).MemoryStore()
    else:
        store = FallbackStore(open_shared(name, home), blocks=name != "sqlite")
    return store


def open_shared(name: str, home: Path, patience_s: float | None = None) -> Store:
    """Open `sqlite` or an address of Redis as it is, for those who look after it: it raises where it is away.

    `patience_s` is how long it is waited for; None: as long as a call may be held up.

    Raises:
        ImportError: it needs a library that isn't installed.
    """
    store: Store
    if name == "sqlite":
        found = import_module(".sqlite", __package__)
        store = found.SqliteStore(home / FILE, found.PATIENCE_S if patience_s is None else patience_s)
    else:
        found = import_module(".redis_store", __package__)
        store = found.RedisStore(name, timeout_s=found.TIMEOUT_S if patience_s is None else patience_s)
    return store


def without_secret(url: str) -> str:
    """Return an address without the user and the password in it, which may be in its query, too."""
    scheme, found, rest = url.partition("?")[0].partition("://")
    return f"{scheme}{found}{rest.rpartition('@')[2]}"
