"""Keys of large days, on disk: read from the lake once, then only mapped into memory.

The files are derived and may be deleted at any time. Beside the sorted keys of a day stands which data files they are
of; what has been added since is read from the lake. The keys are on disk before that list is, so a crash leaves at
worst a list that is too short.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Collection, Iterator
from datetime import date
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from .disk import publish
from .worker import LOG

Keys = npt.NDArray[np.uint64]
MOST_BYTES: Final = 2 << 30
"""On disk; the days that were longest unused are deleted first."""
_PART: Final = 1_000_000
"""Keys that are merged at once."""


class KeyFiles:
    """A folder with two files a day."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def load(self, dt: date) -> tuple[Keys, set[str]] | None:
        """Return the sorted keys of a day and the data files that they are of, or None where they aren't kept."""
        path = self._keys(dt)
        try:
            kept = json.loads(path.with_suffix(".json").read_bytes())
            keys: Keys = np.load(path, mmap_mode="r")
            if len(keys) < kept["keys"]:
                return None
            os.utime(path)
        except (OSError, ValueError, EOFError, KeyError):  # damaged, or not there
            return None
        return keys, set(kept["files"])

    def save(self, dt: date, kept: Keys, more: Keys, files: Collection[str]) -> Keys:
        """Keep the keys of a day, of which `kept` and `more` are sorted parts, and return them sorted and mapped.

        They go through memory a part at a time. Where the disk won't have them they are returned as they are.
        """
        path = self._keys(dt)
        draft = path.with_suffix(".tmp")
        count = len(kept) + len(more)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._make_room(8 * len(more))
            with draft.open("wb") as handle:
                np.lib.format.write_array_header_1_0(
                    handle, {"descr": more.dtype.str, "fortran_order": False, "shape": (count,)}
                )
                for part in merged(kept, more):
                    handle.write(part.tobytes())
                handle.flush()
                os.fsync(handle.fileno())
            draft.rename(path)
            publish(path.with_suffix(".json"), json.dumps({"keys": count, "files": sorted(files)}).encode())
            mapped: Keys = np.load(path, mmap_mode="r")
        except OSError as error:
            LOG.warning("the keys of %s can't be kept in %s (%s); they are read from the lake", dt, path.parent, error)
            with contextlib.suppress(OSError):
                draft.unlink(missing_ok=True)
            return np.concatenate(list(merged(kept, more)))
        return mapped

    def _keys(self, dt: date) -> Path:
        return self._folder / f"{dt.isoformat()}.npy"

    def _make_room(self, wanted: int) -> None:
        kept = sorted((path.stat().st_mtime, path.stat().st_size, path) for path in self._folder.glob("*.npy"))
        excess = wanted + sum(size for _, size, _ in kept) - MOST_BYTES
        for _, size, path in kept:
            if excess <= 0:
                return
            path.with_suffix(".json").unlink(missing_ok=True)
            path.unlink(missing_ok=True)
            excess -= size


def merged(one: Keys, other: Keys) -> Iterator[Keys]:
    """Yield the keys of two sorted arrays in order, a part at a time."""
    done = 0
    for start in range(0, len(one), _PART):
        part = one[start : start + _PART]
        end = int(np.searchsorted(other, part[-1], side="right"))
        yield np.sort(np.concatenate([part, other[done:end]]), kind="stable")  # which goes through sorted runs once
        done = end
    yield other[done:]
