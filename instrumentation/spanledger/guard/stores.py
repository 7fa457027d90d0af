"""Opening the store that a policy names."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any, Final, NoReturn, cast

from .fallback import FallbackStore
from .store import Store, StoreAwayError

FILE: Final = "guard.sqlite"


def open_store(name: str, home: Path) -> Store:
    """Open `memory`, `sqlite` (a file in the home folder) or an address of Redis, for calls of an application.

    One that needs a library which isn't installed is away, so that budgets hold by what the process knows, or refuse.
    """
    store: Store
    if name == "memory":
        store = import_module(".memory", __package__).MemoryStore()
        return store
    try:
        store = open_shared(name, home)
    except ImportError as error:
        store = cast(Store, _NoStore(str(error)))
    return FallbackStore(store, blocks=name != "sqlite")


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


class _NoStore:
    """A store that can't be asked at all."""

    def __init__(self, why: str) -> None:
        self._why = why

    def __getattr__(self, name: str) -> Any:
        return self._away

    def _away(self, *_: object, **__: object) -> NoReturn:
        raise StoreAwayError(self._why)

    def close(self) -> None:
        """Let go of nothing."""


def without_secret(url: str) -> str:
    """Return an address without the user and the password in it, which may be in its query, too."""
    scheme, found, rest = url.partition("?")[0].partition("://")
    return f"{scheme}{found}{rest.rpartition('@')[2]}"
