"""A home and a lake whose segments are staged by hand, for tests of the committer."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, cast

import pyarrow as pa

from spanledger.lake_path import LakePath
from spanledger_analytics.connection import connect
from spanledger_collector.commit import Committer
from spanledger_collector.lake import committed_version, open_table, write_days
from spanledger_collector.row import SCHEMA
from spanledger_collector.staging import write_manifest
from spanledger_collector.wal import segments

NOON = datetime(2026, 11, 3, 12, tzinfo=UTC)
WAL_ID = "0f0e0d0c0b0a49088070605040302010"
PAID: dict[str, Any] = {
    "cost_usd": Decimal("0.03"),
    "cost_input": Decimal("0.01"),
    "cost_output": Decimal("0.02"),
    **dict.fromkeys(("cost_cache_read", "cost_cache_write", "cost_other"), Decimal(0)),
}
"""What a call cost, with its parts."""


def rows(numbers: range, start: datetime = NOON, taken: datetime | None = None, **columns: object) -> pa.Table:
    """Build one priced call for each number, which is its span id; other columns as said."""
    return pa.Table.from_pylist(
        [
            {
                "trace_id": f"{number // 3:032x}",
                "span_id": f"{number:016x}",
                "start_time": start,
                "ingested_at": taken or start + timedelta(minutes=1),
                "role": "inference",
                "cost_usd": Decimal("0.010000000000"),
                **columns,
            }
            for number in numbers
        ],
        schema=SCHEMA,
    )


class Bench:
    """A home and a lake, with segments sealed and staged by hand."""

    def __init__(self, folder: Path, lake: LakePath | None = None, wal_id: str = WAL_ID) -> None:
        self.home, self.wal_id = folder / "home", wal_id
        self.lake = cast(Path, lake or folder / "lake")
        """Or an address in a store."""
        (self.home / "wal").mkdir(parents=True)
        (self.home / "wal" / "id").write_text(wal_id, "ascii")
        open_table(self.lake)

    def seal(self, segment: int) -> None:
        (self.home / "wal" / f"{segment:010d}.wal").touch()

    def stage(self, segment: int, table: pa.Table) -> None:
        files = write_days(self.lake, f"{self.wal_id}-{segment:010d}", table)
        write_manifest(self.home, segment, files)

    def commit(self, *tables: pa.Table) -> None:
        """Commit the tables, a segment each, in one go."""
        first = self.version() + 1
        for segment, table in enumerate(tables, first):
            self.seal(segment)
            self.stage(segment, table)
        self.commit_all()

    def commit_all(self) -> None:
        committer = Committer(self.home, self.lake)
        while committer.step():
            pass

    def span_ids(self) -> Counter[int]:
        answer = connect(self.lake).execute("select span_id from spans").fetchall()
        return Counter(int(span_id, 16) for (span_id,) in answer)

    def waiting(self) -> list[int]:
        return [segment.number for segment in segments(self.home / "wal")]

    def version(self) -> int:
        return committed_version(open_table(self.lake), self.wal_id)
