"""Queries that people keep: files of SQL in the home folder, beside the ten that ship.

A query is a file so that it can be read, copied, put under version control, and asked by `spanledger sql - < FILE`.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Final

from .errors import SavedQueryError

FOLDER: Final = "queries"
"""In the home folder."""
MOST_CHARACTERS: Final = 100_000
_NAME: Final = re.compile(r"[\w][\w ()+,.-]{0,59}")
_ENDING: Final = ".sql"
_COMMENT: Final = "-- "


@dataclass(frozen=True, slots=True)
class SavedQuery:
    """One query."""

    name: str
    """Of an example, the question that it answers."""
    query: str


def examples() -> list[SavedQuery]:
    """Return the queries that ship, which any lake answers."""
    folder = resources.files("spanledger_analytics").joinpath("examples")
    files = sorted(folder.iterdir(), key=lambda file: file.name)
    return [_example(file.read_text("utf-8")) for file in files if file.name.endswith(_ENDING)]


def _example(text: str) -> SavedQuery:
    return SavedQuery(text.partition("\n")[0].removeprefix(_COMMENT), text.strip())


def saved(home: Path) -> list[SavedQuery]:
    """Return the queries that were kept, by name; see `unread` for what can't be read."""
    return [found for _, found in _kept(home) if isinstance(found, SavedQuery)]


def unread(home: Path) -> list[tuple[Path, str]]:
    """Return the files among them that can't be read, each with why."""
    return [(path, found) for path, found in _kept(home) if isinstance(found, str)]


def _kept(home: Path) -> Iterator[tuple[Path, SavedQuery | str]]:
    for path in sorted((home / FOLDER).glob(f"*{_ENDING}")):
        try:
            yield path, SavedQuery(path.stem, path.read_text("utf-8")[:MOST_CHARACTERS].strip())
        except OSError as error:
            yield path, error.strerror or str(error)
        except ValueError:
            yield path, "it is no text in UTF-8"


def save(home: Path, name: str, query: str) -> Path:
    """Keep a query under a name, in place of the one of that name, and return its file.

    Raises:
        SavedQueryError: no file can have that name, there is no query, or it can't be written.
    """
    path = _path(home, name)
    if not query.strip():
        raise SavedQueryError("there is no query to save; write one first")
    if len(query) > MOST_CHARACTERS:
        raise SavedQueryError(f"the query is longer than {MOST_CHARACTERS:,} characters")
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        draft.write_text(query.strip() + "\n", "utf-8")
        draft.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            draft.unlink()
        raise SavedQueryError(f"{path} can't be written: {error.strerror}") from None
    return path


def remove(home: Path, name: str) -> None:
    """Take a kept query away.

    Raises:
        SavedQueryError: there is none of that name, or it can't be removed.
    """
    path = _path(home, name)
    try:
        path.unlink()
    except OSError as error:
        raise SavedQueryError(f"{path} can't be removed: {error.strerror}") from None


def _path(home: Path, name: str) -> Path:
    wanted = name.strip()
    if not _NAME.fullmatch(wanted):
        raise SavedQueryError(
            f"no query can be called {wanted!r}; a name begins with a letter or digit and has at most 60 of them, with"
            " spaces and ( ) + , . - between"
        )
    return home / FOLDER / f"{wanted}{_ENDING}"
