"""A record that kills the converter itself, so that not even an exception is left: found by halving, and set aside.

Before a stretch of a segment is converted, a small file says so. The file is still there when the process died of it;
the next process tries the halves, and the one record that is left in the end is given up, whole, to `dead/`. A process
that was killed for another reason costs nothing but a stretch that is tried in two halves.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NamedTuple

from .disk import Disk

DEATHS: Final = 3
"""A record of which this many processes died, alone or in company, is given up."""


class Stretch(NamedTuple):
    """Records `first` up to before `end` of a segment."""

    first: int
    end: int


@dataclass(slots=True)
class Trial:
    """What earlier processes learned about the segment that is being converted."""

    path: Path
    segment: int
    stretches: list[Stretch]
    """In order; together the whole segment."""
    deaths: int = 0
    deadly: set[int] = field(default_factory=set)
    """Records that are given up."""

    def attempt(self, index: int) -> None:
        """Say that the stretch with this index is tried next."""
        said = {
            "segment": self.segment,
            "stretches": self.stretches,
            "deaths": self.deaths,
            "deadly": sorted(self.deadly),
            "index": index,
        }
        Disk().replace(self.path, json.dumps(said))

    def over(self) -> None:
        """Say that nobody is dying: the segment is done, or failed in a way that leaves the process alive."""
        self.path.unlink(missing_ok=True)


def open_trial(home: Path, segment: int, records: int) -> Trial:
    """Return how to convert a segment, with what the last process left if it died of it."""
    path = home / "converting"
    try:
        said = json.loads(path.read_bytes())
        if said["segment"] != segment or said["stretches"][-1][1] != records:
            raise ValueError(segment)
    except (FileNotFoundError, ValueError, LookupError, TypeError):
        return Trial(path, segment, [Stretch(0, records)])
    stretches = [Stretch(*pair) for pair in said["stretches"]]
    trial = Trial(path, segment, stretches, said["deaths"] + 1, set(said["deadly"]))
    first, end = stretches[said["index"]]
    if end - first > 1:
        middle = (first + end) // 2
        stretches[said["index"] : said["index"] + 1] = [Stretch(first, middle), Stretch(middle, end)]
    elif trial.deaths >= DEATHS:
        trial.deadly.add(first)
    return trial
