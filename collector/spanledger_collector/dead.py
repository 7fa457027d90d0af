"""The folder `dead/`: what will never become rows, kept whole with its reason: nothing is thrown away unseen.

It is not trimmed, neither by age nor by size: what lies here was acknowledged, and whoever knows why it died may still
be able to book it (`replay`). Its size is a figure of /metrics, and counts against the disk reserve that makes the
collector refuse new spans with a retryable code.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Final

from .bodies import Body, count_items, read_request, signal_of
from .disk import publish
from .errors import MalformedError
from .wal import Signal

_BODY: Final = ".pb"
_WORDS: Final = ".json"
UNKNOWN_REASON: Final = "no reason is written beside it"


@dataclass(frozen=True, slots=True)
class Letter:
    """One file of `dead/`."""

    name: str
    path: Path
    """Its bytes; the reason stands beside them."""
    buried_at: datetime
    """When it came here, UTC."""
    reason: str
    size: int
    """Bytes."""
    signal: Signal | None
    """None where the bytes can't be read."""
    items: int
    """Spans, log records or metrics in it; 0 where the bytes can't be read."""


def dead_dir(home: Path) -> Path:
    """Return the folder of what could not be converted."""
    return home / "dead"


def bury(folder: Path, name: str, dead: Sequence[tuple[bytes, str]]) -> None:
    """Keep what can't be converted: the bytes, and beside them why."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, (data, reason) in enumerate(dead):
        put(folder / f"{name}-{number:04d}{_BODY}", data, reason)


def put(path: Path, data: bytes, reason: str) -> None:
    """Write one letter, or put another in its place."""
    publish(path, data)
    publish(path.with_suffix(_WORDS), json.dumps({"reason": reason}).encode())


def remove(path: Path) -> None:
    """Take a letter out; the bytes go first, because words alone are no letter."""
    path.unlink(missing_ok=True)
    path.with_suffix(_WORDS).unlink(missing_ok=True)


def letters(folder: Path, name: str = "*", reason: str = "") -> Iterator[Letter]:
    """Yield the letters whose name fits the pattern and whose reason has the words, oldest first, read one by one."""
    found = []
    for path in folder.glob(f"*{_BODY}"):
        if fnmatchcase(path.stem, name):
            with contextlib.suppress(FileNotFoundError):
                found.append((path.stat().st_mtime_ns, path))
    for _, path in sorted(found):
        words = _reason_of(path)
        if reason.lower() in words.lower():
            with contextlib.suppress(FileNotFoundError):  # a replay took it meanwhile
                yield _letter(path, words)


def body_of(letter: Letter) -> Body | None:
    """Return what a letter holds, None where it can't be read."""
    return _body(letter.path.read_bytes())


def _letter(path: Path, reason: str) -> Letter:
    seen = path.stat()
    body = _body(path.read_bytes())
    return Letter(
        name=path.stem,
        path=path,
        buried_at=datetime.fromtimestamp(seen.st_mtime, UTC),
        reason=reason,
        size=seen.st_size,
        signal=body.signal if body else None,
        items=count_items(body) if body else 0,
    )


def _body(data: bytes) -> Body | None:
    signal = signal_of(data)
    if signal is None:
        return None
    try:
        return Body(signal, data, read_request(signal, data))
    except MalformedError:
        return None


def _reason_of(path: Path) -> str:
    try:
        return str(json.loads(path.with_suffix(_WORDS).read_bytes())["reason"])
    except (OSError, ValueError, LookupError, TypeError):
        return UNKNOWN_REASON
