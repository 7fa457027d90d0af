"""Days that are too old leave the lake, and never because a clock is wrong."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from committing import rows
from spanledger_analytics.connection import connect
from spanledger_collector import retention
from spanledger_collector.jobs import Did, Terms, run_jobs
from spanledger_collector.lake import (
    add_files,
    live_files,
    open_table,
    read_rows,
    replace_files,
    table_path,
    write_days,
)
from spanledger_collector.retention import why_unsure
from spanledger_collector.settling import Settled, settle_new
from spanledger_collector.tables import CORRECTIONS, SPANS, SUPERSEDED
from spanledger_collector.upkeep import merge_small_files

TODAY = date(2026, 11, 28)
NOW = datetime.combine(TODAY, time(12), UTC)
TERMS = Terms(NOW, keep_days=10)
TABLES = (SPANS, CORRECTIONS, SUPERSEDED)
ATTRIBUTES: dict[str, Any] = {"attributes": [("a", "1")], "resource": [("host", "h")], "events": "[]"}


def ago(days: int) -> date:
    return TODAY - timedelta(days=days)


def fill(lake: Path, *days_ago: int) -> None:
    """Put a span of each day into the lake, and what two side tables say of it."""
    for version, days in enumerate(days_ago):
        start = datetime.combine(ago(days), time(9), UTC)
        files = write_days(lake, f"{days}", rows(range(days, days + 1), start, **ATTRIBUTES))
        add_files(lake, files, writer="w", version=version)
        about = {"dt": ago(days), "start_time": start, "priced_at": start, "writer": "w", "segment": 0}
        for table in (SUPERSEDED, CORRECTIONS):
            said = pa.Table.from_pylist([about], schema=table.full_schema)
            add_files(lake, write_days(lake, f"{days}", said, table), writer="w", version=version, table=table)


def days_of(lake: Path) -> dict[str, list[int]]:
    return {
        table.name: [(TODAY - dt).days for dt in sorted(set(read_rows(lake, table)["dt"].to_pylist()), reverse=True)]
        for table in TABLES
    }


def test_days_that_are_too_old_leave_every_table(tmp_path: Path) -> None:
    fill(tmp_path, 0, 9, 10, 11, 12)
    settle_new(tmp_path, timedelta(0))
    would = [
        Did("retention", name, f"2 days until {ago(11)} with 2 rows to be dropped")
        for name in ("spans", "corrections", "superseded")
    ]
    assert list(run_jobs(tmp_path, Terms(NOW, keep_days=10, dry_run=True), ["retention"])) == would
    assert days_of(tmp_path) == {table.name: [0, 9, 10, 11, 12] for table in TABLES}
    did = [Did(one.job, one.table, one.words.replace("to be ", "")) for one in would]
    assert list(run_jobs(tmp_path, TERMS, ["retention"])) == did
    assert days_of(tmp_path) == {table.name: [0, 9, 10] for table in TABLES}
    assert list(run_jobs(tmp_path, TERMS, ["retention"])) == []
    assert settle_new(tmp_path, timedelta(0)) == Settled(0, 0, False)


def test_a_day_that_was_dropped_takes_late_spans_and_loses_them_again(tmp_path: Path) -> None:
    fill(tmp_path, 0, 12)
    list(run_jobs(tmp_path, TERMS))
    late = write_days(tmp_path, "late", rows(range(5), datetime.combine(ago(12), time(9), UTC)))
    add_files(tmp_path, late, writer="w", version=9)
    assert days_of(tmp_path)["spans"] == [0, 12]
    assert [did.table for did in run_jobs(tmp_path, TERMS)] == ["spans"]
    assert days_of(tmp_path)["spans"] == [0]


def test_days_that_others_add_to_meanwhile_are_dropped_whole_by_the_next_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(tmp_path, 0, 12)
    late = write_days(tmp_path, "late", rows(range(5), datetime.combine(ago(12), time(9), UTC)))

    def racing(*args: Any, **kwargs: Any) -> bool:
        monkeypatch.setattr(retention, "replace_files", replace_files)
        add_files(tmp_path, late, writer="w", version=9)
        merge_small_files(open_table(tmp_path))
        return replace_files(*args, **kwargs)

    monkeypatch.setattr(retention, "replace_files", racing)
    assert [did.words for did in run_jobs(tmp_path, TERMS, ["retention"]) if did.table == "spans"] == [
        f"1 days until {ago(12)} with 6 rows dropped"
    ]
    assert days_of(tmp_path)["spans"] == [0]


def test_attributes_go_before_their_rows(tmp_path: Path) -> None:
    fill(tmp_path, 0, 3, 4, 12)
    terms = Terms(NOW, keep_days=10, keep_attributes_days=2)
    asked = "select cost_usd, attributes, resource, events from spans_as_booked order by start_time desc"
    before = connect(tmp_path).execute(asked).fetchall()
    assert [did.words for did in run_jobs(tmp_path, terms) if did.table == "spans"] == [
        f"1 days until {ago(12)} with 1 rows dropped; attributes of 2 days until {ago(3)} dropped"
    ]
    after = connect(tmp_path).execute(asked).fetchall()
    assert after == [before[0], *[(Decimal("0.01"), None, None, None)] * 2]
    assert list(run_jobs(tmp_path, terms)) == []
    files = [table_path(tmp_path) / file.path for file in live_files(open_table(tmp_path))]
    assert {pq.read_schema(path) for path in files} == {pq.read_schema(files[-1])}
    assert {path.stat().st_mode & 0o777 for path in files} == {0o444}


@pytest.mark.parametrize(
    ("days", "now", "why"),
    [
        pytest.param(range(13), NOW, "", id="a lake in use"),
        pytest.param([0, 30, 60], NOW, "", id="a lake that is seldom in use"),
        pytest.param([0, 1, 45, 80], NOW, "nothing is there between 2026-10-14 and 2026-11-27", id="a pause"),
        pytest.param([0, 9, 10, 45], NOW, "nothing is there between 2026-10-14 and 2026-11-18", id="older rows"),
        pytest.param([0, 9, 11, 80], NOW, "", id="a pause among what is too old"),
        pytest.param(range(13), NOW.replace(year=2040), "nothing is there of the 7 days before 2040-11-28", id="2040"),
        pytest.param([], NOW, "nothing is there of the 7 days before 2026-11-28", id="nothing"),
    ],
)
def test_the_clock_is_trusted_where_the_days_lead_up_to_it(days: list[int], now: datetime, why: str) -> None:
    assert why_unsure([ago(number) for number in days], now, ago(10)) == why


def test_a_clock_that_is_years_ahead_drops_nothing_though_rows_come_by_it(tmp_path: Path) -> None:
    fill(tmp_path, 0, 1, 2)
    ahead = NOW.replace(year=2040)
    for day in range(3):
        table = rows(range(day, day + 1), ahead - timedelta(days=day))
        add_files(tmp_path, write_days(tmp_path, f"ahead-{day}", table), writer="x", version=day)
    assert list(run_jobs(tmp_path, Terms(ahead, keep_days=10))) == []
    assert len(days_of(tmp_path)["spans"]) == 6
    assert [did.table for did in run_jobs(tmp_path, Terms(ahead, keep_days=10, trust_clock=True), ["retention"])] == [
        "spans",
        "corrections",
        "superseded",
    ]
