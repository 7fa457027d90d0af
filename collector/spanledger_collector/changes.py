"""What came into the table `spans` since a version of it, by its log: where a stage that comes later goes on.

The log is kept for half an hour (see `lake`). Where it doesn't reach back to the version any more, the files that are
live now tell by the time at which they were added; one that Delta merged meanwhile counts as added then, so that
more is named than was added, never less.
"""

from __future__ import annotations

import contextlib
import json
from collections import defaultdict
from dataclasses import dataclass
from datetime import date, datetime
from functools import partial
from typing import Any, Final
from urllib.parse import unquote

import pyarrow as pa
from deltalake import DeltaTable

from spanledger.lake_path import LakePath

from .lake import DataFile, file_path, live_files, log_of
from .row import PARTITION
from .storage import each, exists, files_in, read_bytes
from .tables import SPANS

_SLACK_MS: Final = 60_000
"""Between the clocks of two hosts that write to one lake."""


@dataclass(frozen=True, slots=True)
class Mark:
    """A version of `spans` up to which all was looked at."""

    version: int
    at_ms: int
    """When it was committed, or earlier; milliseconds since 1970."""


START: Final = Mark(-1, 0)


@dataclass(frozen=True, slots=True)
class Changes:
    """What was added between two marks."""

    until: Mark
    files: list[DataFile]
    """Files on disk that hold what was added; some may have been merged since, and are no longer live."""
    newer: list[DataFile]
    """Files that were added after `until`."""


@dataclass(frozen=True, slots=True)
class Rewrite:
    """Files of one day that took the place of others, as when small ones are merged: no row is new."""

    dt: date
    gone: frozenset[str]
    new: frozenset[str]


def changes_since(lake: LakePath, spans: DeltaTable, mark: Mark, until_ms: int) -> Changes | None:
    """Return what commits after `mark` and not after `until_ms` added; None where there is none."""
    since = mark if mark.version <= spans.version() else START  # another table stands there now
    entries = _entries(log_of(spans), since.version, spans.version())
    old = [entry for entry in entries if entry.mark.at_ms <= until_ms]
    if not old:
        return None
    until = max((entry.mark for entry in old), key=lambda mark: mark.version)
    added = [file for entry in entries if entry.mark.version <= until.version for file in entry.added]
    newer = [file for entry in entries if entry.mark.version > until.version for file in entry.added]
    whole = len(entries) == spans.version() - since.version
    if not whole or not all(each(lake, exists, [file_path(lake, file) for file in added])):
        live = live_files(spans)
        after = _added_after(spans, since.at_ms - _SLACK_MS)
        added = [file for file in live if file.path in after.difference(file.path for file in newer)]
    return Changes(until, added, newer)


def rewrites_since(delta: DeltaTable, version: int) -> list[Rewrite]:
    """Return what was rewritten after a version, in order; nothing of commits that the log has no more."""
    log = log_of(delta)
    rewrites = []
    for number in range(version + 1, delta.version() + 1):
        with contextlib.suppress(FileNotFoundError):
            text = read_bytes(log / f"{number:020d}.json").decode()
            if '"dataChange":false' in text:
                rewrites += _rewrites([json.loads(line) for line in text.splitlines()])
    return rewrites


def _rewrites(actions: list[dict[str, Any]]) -> list[Rewrite]:
    """Return by day what one commit rewrote; nothing of days for which it also has new rows."""
    files = [(kind, action[kind]) for action in actions for kind in ("add", "remove") if kind in action]
    days = defaultdict[str, list[tuple[str, dict[str, Any]]]](list)
    for kind, file in files:
        days[file["partitionValues"][PARTITION]].append((kind, file))
    return [
        Rewrite(
            date.fromisoformat(dt),
            *(
                frozenset(unquote(file["path"]) for kind, file in told if kind == wanted)
                for wanted in ("remove", "add")
            ),
        )
        for dt, told in days.items()
        if not any(file["dataChange"] for _, file in told)
    ]


@dataclass(frozen=True, slots=True)
class _Entry:
    mark: Mark
    added: list[DataFile]


def _entries(log: LakePath, since: int, last: int) -> list[_Entry]:
    """Read the commits after `since` that the log still has."""
    first = max(since, last - len(files_in(log, "*.json"))) + 1
    found = each(log, partial(_read_entry, log), range(first, last + 1))
    return [entry for entry in found if entry is not None]


def _read_entry(log: LakePath, version: int) -> _Entry | None:
    try:
        text = read_bytes(log / f"{version:020d}.json").decode()
    except FileNotFoundError:
        return None
    return _entry(version, [json.loads(line) for line in text.splitlines()])


def _entry(version: int, actions: list[dict[str, Any]]) -> _Entry:
    added = [_file(action["add"]) for action in actions if action.get("add", {}).get("dataChange")]
    times = [action["commitInfo"]["timestamp"] for action in actions if "commitInfo" in action]
    return _Entry(Mark(version, max(times, default=0)), added)


def _file(add: dict[str, Any]) -> DataFile:
    stats = json.loads(add["stats"])
    low, high = (datetime.fromisoformat(stats[bound][SPANS.clock]) for bound in ("minValues", "maxValues"))
    dt = date.fromisoformat(add["partitionValues"][PARTITION])
    return DataFile(unquote(add["path"]), dt, stats["numRecords"], add["size"], low, high)


def _added_after(spans: DeltaTable, moment_ms: int) -> set[str]:
    actions = pa.table(spans.get_add_actions(flatten=True))
    times = actions["modification_time"].to_pylist()
    return {path for path, at in zip(actions["path"].to_pylist(), times, strict=True) if at > moment_ms}
