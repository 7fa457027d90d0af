"""Whether a commit that looks like a failure is in the log all the same.

An answer can be lost when the work is done: the connection is cut after the store has put the entry, or the disk says
no when the file is there already. To commit again would put rows in twice, and to give up would delete files that are
live. So whoever failed looks for its own words in the log: the files that a commit adds and takes out have names that
nobody else gives, and what has no files says the same whoever says it.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import count
from typing import Any
from urllib.parse import unquote

from spanledger.lake_path import LakePath

from .storage import read_bytes


@dataclass(frozen=True, slots=True)
class Said:
    """What one commit says."""

    added: frozenset[str]
    """Paths of files, relative to the table."""
    removed: frozenset[str]
    marks: frozenset[tuple[str, int]]
    """Each `txn`: writer and version."""

    @classmethod
    def of(cls, added: Iterable[str], removed: Iterable[str], marks: Mapping[str, int]) -> Said:
        """Return what a commit with these would say."""
        return cls(frozenset(added), frozenset(removed), frozenset(marks.items()))


def has_landed(log: LakePath, after: int, said: Said) -> bool:
    """Say whether a commit after version `after` says just this; `log` is the folder of a table's log."""
    for version in count(after + 1):
        try:
            if _said_in(_entry(log, version)) == said:
                return True
        except FileNotFoundError:
            return False
    raise AssertionError  # a log has an end


def is_marked(log: LakePath, versions: Iterable[int], writer: str, version: int) -> bool:
    """Say whether one of the commits that made `versions` has `txn` = (writer, version)."""
    for made in versions:
        with contextlib.suppress(FileNotFoundError):
            if (writer, version) in _said_in(_entry(log, made)).marks:
                return True
    return False


def _entry(log: LakePath, version: int) -> list[dict[str, Any]]:
    return [json.loads(line) for line in read_bytes(log / f"{version:020d}.json").decode().splitlines()]


def _said_in(actions: list[dict[str, Any]]) -> Said:
    added, removed, marks = (
        [action[kind] for action in actions if kind in action] for kind in ("add", "remove", "txn")
    )
    now, before = ([unquote(file["path"]) for file in files] for files in (added, removed))
    return Said.of(now, before, {mark["appId"]: mark["version"] for mark in marks})
