"""What agents' own metrics say beside what the rows say, over the latest days only: a look, not a report.

Rows and metrics of one call come up to a minute apart, so that small differences say nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from spanledger.lake_path import LakePath
from spanledger_collector.tables import READINGS

from .connection import connect_files, load_query
from .snapshot import Snapshots


@dataclass(frozen=True, slots=True)
class CrossCheck:
    """One metric of one service, and the rows that it should agree with."""

    service_name: str
    metric: str
    side: str
    """input, output: tokens; cost: US dollars."""
    metered: Decimal
    """By the metric; more than 0."""
    booked: Decimal
    """By the rows."""

    @property
    def share(self) -> Decimal:
        """Return how much of what was metered the rows have; 1 where they agree."""
        return self.booked / self.metered


def cross_checks(lake: LakePath, since: datetime) -> list[CrossCheck]:
    """Compare what came since the beginning of an hour; nothing where no agent sends metrics."""
    # A call that is metered after midnight may have begun before.
    files = Snapshots(lake).now().files(since.date() - timedelta(days=1))
    readings = files.beside[READINGS.name]
    if len(readings) == 1:
        return []
    parameters = {"readings": readings, "files": files.spans, "since": since}
    return [CrossCheck(*row) for row in connect_files(files).execute(load_query("cross_checks"), parameters).fetchall()]
