"""Every table of a lake, in the order in which a commit takes them.

`spans` comes last: whoever sees a commit's spans also sees what the commit says about others.
"""

from __future__ import annotations

from typing import Final

from spanledger.lake_path import LakePath

from .lake import committed_version, open_for_reading
from .tables import CORRECTIONS, OUTCOMES, READINGS, REVENUE, SETTLEMENTS, SPANS, SUPERSEDED, LakeTable

SIDE_TABLES: Final[tuple[LakeTable, ...]] = (SUPERSEDED, CORRECTIONS, OUTCOMES, READINGS, SETTLEMENTS, REVENUE)
TABLES: Final[tuple[LakeTable, ...]] = (*SIDE_TABLES, SPANS)


def committed_anywhere(lake: LakePath, writer: str) -> int:
    """Return the highest segment of `writer` that any table of the lake has, or -1."""
    tables = (open_for_reading(lake, table) for table in TABLES)
    return max((committed_version(table, writer) for table in tables if table), default=-1)
