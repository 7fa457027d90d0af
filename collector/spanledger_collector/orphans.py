"""Files on disk that no commit names: what a merge, a conversion or a settler left that died before its commit.

Nobody sees them, they only take room. A file that a committer is yet to name looks the same, so the name decides where
it has a log and a segment in it (the table knows how far it is with each log), and else the age.
"""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import Final

from deltalake import DeltaTable

from spanledger.lake_path import LakePath

from .lake import committed_version, folder_of, live_files
from .storage import beside, files_in
from .tables import LakeTable

OLD_S: Final = 86_400.0
"""Nothing takes so long from its file to its commit, but for a segment of a log that waits."""
_SEGMENT: Final = re.compile(r"([0-9a-f]{32})-(\d{10})(?:-|$)")


def old_orphans(delta: DeltaTable, table: LakeTable) -> list[LakePath]:
    """Return what lies in the folder of a table for a day or longer, and is named by no commit, by name."""
    folder = folder_of(delta)
    before = time.time() - OLD_S
    found = [(path, at) for kind in ("parquet", "tmp") for path, at in files_in(folder, f"dt=*/*.{kind}")]
    old = [path for path, at in found if at < before and not _is_waiting(delta, path)]
    if not old:
        return []
    delta.update_incremental()
    named = {file.path for file in live_files(delta, table)}
    named.update(delta.vacuum(0, dry_run=True, enforce_retention_duration=False))
    return sorted(path for path in old if str(path.relative_to(folder)) not in named)


def old_drafts(lake: LakePath) -> list[Path]:
    """Return what lies on this machine's disk for a day or longer, of files that were to go to a store."""
    before = time.time() - OLD_S
    drafts = [] if isinstance(lake, Path) else beside(lake).glob("*.tmp")
    return [path for path in drafts if path.stat().st_mtime < before]


def _is_waiting(delta: DeltaTable, path: LakePath) -> bool:
    """Say whether a file is of a segment that the table is yet to take."""
    found = _SEGMENT.match(path.stem)
    return found is not None and int(found[2]) > committed_version(delta, found[1])
