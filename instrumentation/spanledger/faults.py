"""Faults of our own: counted, logged once each, and never passed on to the application.

Callers catch at their seam and name the fallback there; this module only keeps the account.
"""

from __future__ import annotations

import logging
import os
import threading
from collections import Counter
from typing import Final

LOGGER: Final = logging.getLogger("spanledger")
_MAX_KINDS: Final = 200

_counts: Counter[str] = Counter()
_told: Counter[str] = Counter()
"""What of them stands in the account that all processes share."""
_lock = threading.RLock()  # a finaliser may report a fault while this thread is reporting another


def report(where: str, error: BaseException | str, *, count: int = 1, expected: bool = False) -> None:
    """Count a fault at `where`; log it the first time this place reports this kind.

    `expected`: the world's doing, such as a collector that is down, so a traceback would say nothing.
    """
    kind = error if isinstance(error, str) else type(error).__name__
    key = f"{where}: {kind}"
    with _lock:
        if len(_counts) >= _MAX_KINDS and key not in _counts:
            key = "others"
        first = key not in _counts
        _counts[key] += count
    if first:
        trace = error if isinstance(error, BaseException) and not expected else None
        _log("%s: %s (reported once; the application is not affected)", where, error, trace)


def _log(words: str, where: str, error: BaseException | str, trace: BaseException | None) -> None:
    try:
        LOGGER.warning(words, where, error, exc_info=trace)
    except Exception:  # a filter of the application's, or an exception that cannot be shown
        with _lock:
            _counts["fault could not be logged"] += 1


def counts() -> dict[str, int]:
    """Return how often each fault has happened in this process."""
    with _lock:
        return dict(_counts)


def news() -> dict[str, int]:
    """Return what has been counted in this process since it was last told."""
    if _counts == _told:
        return {}
    with _lock:
        return dict(_counts - _told)


def told(these: dict[str, int]) -> None:
    """Note that `these` stand in the shared account."""
    with _lock:
        _told.update(these)


def _start_anew_in_child() -> None:
    """Leave the parent's faults to the parent to tell, and its lock, which another thread may have held, alone."""
    global _lock
    _lock = threading.RLock()
    _told.clear()
    _told.update(_counts)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_start_anew_in_child)
