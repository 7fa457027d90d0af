"""The faults of all processes of a user, added up in one small file, where `spanledger doctor` finds them.

A process that is at fault keeps its own count and logs once; nobody looks into a worker's log, and the process that ran
last night is gone. Only what is new is added, by the ledger's thread or at exit, so a process without a fault never
touches the file.
"""

from __future__ import annotations

import json
import os
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from . import faults
from .locks import hold

FORGOTTEN_S: Final = 30 * 86_400
"""A fault that has not happened for so long is taken off the account."""
_PATIENCE_S: Final = 0.5
_MOST_KINDS: Final = 300


@dataclass(frozen=True, slots=True)
class Fault:
    """One kind of fault, in all processes together."""

    kind: str
    count: int
    last: datetime
    """UTC."""


def post(home: Path) -> None:
    """Add this process's new faults to the account; what cannot be written stays for the next time."""
    news = faults.news()
    if not news:
        return
    try:
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        with hold(home / "faults.lock", _PATIENCE_S) as held:
            if held:
                _write(home / "faults.json", _added(_read(home / "faults.json"), news))
                faults.told(news)
    except Exception as error:
        faults.report("faults not told to spanledger doctor", error, expected=isinstance(error, OSError))


def read(home: Path) -> list[Fault]:
    """Return the account, latest first; empty where nothing was ever at fault."""
    kinds = [
        Fault(kind, entry["count"], datetime.fromtimestamp(entry["last"], UTC))
        for kind, entry in _read(home / "faults.json").items()
    ]
    return sorted(kinds, key=lambda fault: fault.last, reverse=True)


def _added(account: dict[str, Any], news: dict[str, int]) -> dict[str, Any]:
    now = time.time()
    fresh = {kind: entry for kind, entry in account.items() if now - entry["last"] < FORGOTTEN_S}
    for kind, count in news.items():
        known = fresh.pop(kind, {"count": 0})
        fresh[kind] = {"count": known["count"] + count, "last": now}
    return dict(list(fresh.items())[-_MOST_KINDS:])


def _read(path: Path) -> dict[str, Any]:
    try:
        return {
            str(kind): {"count": int(entry["count"]), "last": float(entry["last"])}
            for kind, entry in json.loads(path.read_bytes()).items()
        }
    except (OSError, ValueError, TypeError, KeyError, AttributeError):  # none yet, or one that a full disk cut short
        return {}


def _write(path: Path, account: dict[str, Any]) -> None:
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    draft.touch(mode=0o600)
    try:
        draft.write_text(json.dumps(account), "utf-8")
        draft.replace(path)
    except OSError:
        draft.unlink(missing_ok=True)
        raise
