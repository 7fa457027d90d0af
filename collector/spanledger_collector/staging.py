"""Where a converted segment waits for its commit: data files in the lake, and one manifest that names them.

The manifest is the marker. It is renamed into place after every file that it names is on disk, so a segment is
either staged whole or not at all; a converter that dies half-way simply does the segment again.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path

from .disk import publish
from .lake import DataFile
from .tables import SPANS, LakeTable


@dataclass(frozen=True, slots=True)
class Staged:
    """A converted segment: files written to the lake, not yet part of their tables."""

    segment: int
    files: tuple[DataFile, ...]
    """Of all tables."""

    def files_of(self, table: LakeTable) -> list[DataFile]:
        """Return the files of one table."""
        return [file for file in self.files if file.table == table.name]


def staging_folder(home: Path) -> Path:
    """Return the folder of manifests, making it where needed."""
    folder = home / "staged"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def manifest_path(home: Path, segment: int) -> Path:
    """Return where the manifest of a segment stands once it is staged."""
    return staging_folder(home) / f"{segment:010d}.json"


def write_manifest(home: Path, segment: int, files: Sequence[DataFile]) -> None:
    """Publish that a segment is converted; `files`, of whatever tables, are on disk."""
    final = manifest_path(home, segment)
    publish(final, json.dumps([_to_json(file) for file in files], indent=1).encode())


def read_manifest(home: Path, segment: int) -> Staged | None:
    """Return what a segment was converted to, or None while it isn't."""
    try:
        entries = json.loads(manifest_path(home, segment).read_bytes())
    except FileNotFoundError:
        return None
    return Staged(segment, tuple(_from_json(entry) for entry in entries))


def _to_json(file: DataFile) -> dict[str, str | int]:
    return {
        "path": file.path,
        "dt": file.dt.isoformat(),
        "rows": file.rows,
        "size": file.size,
        "start_min": file.start_min.isoformat(),
        "start_max": file.start_max.isoformat(),
        "table": file.table,
    }


def _from_json(entry: dict[str, str | int]) -> DataFile:
    return DataFile(
        path=str(entry["path"]),
        dt=date.fromisoformat(str(entry["dt"])),
        rows=int(entry["rows"]),
        size=int(entry["size"]),
        start_min=datetime.fromisoformat(str(entry["start_min"])),
        start_max=datetime.fromisoformat(str(entry["start_max"])),
        table=str(entry.get("table", SPANS.name)),  # manifests of 0.1 are of spans alone
    )
