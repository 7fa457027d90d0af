"""DuckDB over the lake: live files only, pruned by day, with today's columns."""

from __future__ import annotations

import json
import shutil
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import write_deltalake

from spanledger_analytics.connection import Ledger, connect, connect_files
from spanledger_analytics.scope import EVERYTHING
from spanledger_analytics.snapshot import files_now
from spanledger_analytics.views import NAMES
from spanledger_collector.catalog import SIDE_TABLES
from spanledger_collector.errors import LakeError
from spanledger_collector.lake import add_files, open_table, read_rows, table_path, write_days, write_file
from spanledger_collector.row import SCHEMA
from spanledger_collector.tables import CORRECTIONS, SPANS, SUPERSEDED, LakeTable


def rows(day: int, spans: int) -> pa.Table:
    """Build `spans` priced calls on the given day of November 2026, one cent each."""
    return pa.Table.from_pylist(
        [
            {
                "trace_id": f"{day:032x}",
                "span_id": f"{day * 1000 + number:016x}",
                "start_time": datetime(2026, 11, day, 12, tzinfo=UTC),
                "role": "inference",
                "cost_usd": Decimal("0.010000000000"),
            }
            for number in range(spans)
        ],
        schema=SCHEMA,
    )


@pytest.fixture
def lake(tmp_path: Path) -> Path:
    path = tmp_path / "lake"
    (table_path(path)).mkdir(parents=True)
    files = [write_file(path, "a", rows(3, 2)), write_file(path, "a", rows(4, 5))]
    add_files(path, files, writer="w", version=0)
    return path


def test_views_hold_every_committed_span_once(lake: Path) -> None:
    write_file(lake, "not-added", rows(3, 7))
    answer = connect(lake).execute("select dt, count(*), sum(cost_usd) from llm_calls group by dt order by dt")
    assert answer.fetchall() == [
        (date(2026, 11, 3), 2, Decimal("0.020000000000")),
        (date(2026, 11, 4), 5, Decimal("0.050000000000")),
    ]


def test_a_lake_that_does_not_exist_answers_with_no_rows(tmp_path: Path) -> None:
    missing = tmp_path / "nothing"
    assert connect(missing).execute("select count(*) from spans").fetchall() == [(0,)]
    assert Ledger(missing, EVERYTHING).version() == -1
    assert not missing.exists()


def test_a_lake_that_is_deleted_and_made_again_is_read_anew(lake: Path) -> None:
    ledger = Ledger(lake, EVERYTHING)
    add_files(lake, [write_file(lake, "b", rows(5, 1))], writer="w", version=8)
    before = ledger.version()
    shutil.rmtree(lake)
    gone = ledger.version()
    open_table(lake)
    again = ledger.version()
    add_files(lake, [write_file(lake, "c", rows(6, 1))], writer="w", version=1)
    assert (before, gone, again, ledger.version()) == (2, -1, 0, 1)

    made_twice = Ledger(lake, EVERYTHING)
    assert made_twice.version() == 1
    shutil.rmtree(lake)
    open_table(lake)
    assert made_twice.version() == 0


def test_a_file_from_before_a_column_existed_reads_as_null(lake: Path) -> None:
    old = write_file(lake, "old", rows(5, 1))
    path = table_path(lake) / old.path
    path.unlink()
    pq.write_table(rows(5, 1).drop_columns(["cost_usd", "simhash"]), path)
    add_files(lake, [old], writer="w", version=1)
    answer = connect(lake).execute("select cost_usd, simhash from spans where dt = '2026-11-05'").fetchall()
    assert answer == [(None, None)]
    run = connect(lake).execute("select calls, unpriced_calls, cost_usd from traces where dt = '2026-11-05'").fetchall()
    assert run == [(1, 1, None)]
    asked = Ledger(lake, EVERYTHING).ask("coverage", first=date(2026, 11, 4))
    assert asked.select("spans", "unpriced_calls").rows() == [(6, 1)]


def test_locked_sql_reads_and_writes_no_file_outside_the_lake(lake: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secret.csv"
    secret.write_text("a\n1\n", "utf-8")
    connection = connect_files(files_now(lake), locked=True)
    refused = (
        f"select * from '{secret}'",
        f"select * from read_text('{lake}/../secret.csv')",
        f"copy (select 1) to '{tmp_path}/out.csv'",
        f"with x as (copy (select 1) to '{tmp_path}/out.csv') select 1",
        f"attach '{tmp_path}/out.db'",
        "install httpfs",
        "set enable_external_access = true",
        "set allowed_paths = ['/etc/passwd']",
    )
    for statement in refused:
        with pytest.raises(duckdb.Error):
            connection.execute(statement)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["lake", "secret.csv"]
    assert connection.execute("select count(*) from spans").fetchall() == [(7,)]


def test_every_view_can_be_asked_before_its_table_is_there(tmp_path: Path) -> None:
    connection = connect(tmp_path)
    of_lake = [view for view in NAMES if view != "prices"]
    assert {view: connection.execute(f"select * from {view}").fetchall() for view in of_lake} == {
        view: [] for view in of_lake
    }
    assert {table.name for table in SIDE_TABLES} <= set(NAMES)


def test_a_view_beside_the_spans_has_their_days(lake: Path) -> None:
    row = {
        "dt": date(2026, 11, 3),
        "trace_id": "a" * 32,
        "span_id": "b" * 16,
        "ingested_at": datetime(2026, 11, 3, 12, tzinfo=UTC),
        "start_time": datetime(2026, 11, 3, 11, tzinfo=UTC),
        "superseded_by": datetime(2026, 11, 5, 12, tzinfo=UTC),
        "writer": "w",
        "segment": 0,
        "written_at": datetime(2026, 11, 5, 13, tzinfo=UTC),
    }
    for version, day in enumerate((3, 4)):
        rows = pa.Table.from_pylist([row | {"dt": date(2026, 11, day)}], schema=SUPERSEDED.full_schema)
        add_files(lake, write_days(lake, f"{day}", rows, SUPERSEDED), writer="w", version=version, table=SUPERSEDED)
    query = f"select {', '.join(row)} from superseded order by dt"
    asked = connect_files(files_now(lake), locked=True).execute(query).fetchall()
    assert asked == [tuple(row.values()), tuple((row | {"dt": date(2026, 11, 4)}).values())]
    assert read_rows(lake, SUPERSEDED, last=date(2026, 11, 3)).to_pylist() == [row]
    assert read_rows(lake, CORRECTIONS).num_rows == 0


def test_days_outside_the_bounds_are_not_read(lake: Path) -> None:
    (table_path(lake) / "dt=2026-11-03" / "a.parquet").unlink()
    answer = Ledger(lake, EVERYTHING).ask("coverage", first=date(2026, 11, 4), last=date(2026, 11, 4))
    assert answer.select("spans", "days", "calls", "unpriced_calls").rows() == [(5, 1, 5, 0)]


def test_another_programs_table_is_refused_in_a_sentence(tmp_path: Path) -> None:
    write_deltalake(str(table_path(tmp_path)), pa.table({"a": [1]}))
    with pytest.raises(LakeError, match="another program's table `spans`; choose another folder with --lake"):
        connect(tmp_path)


MAPPED = {"delta.columnMapping.mode": "name"}


@pytest.mark.parametrize("table", [SPANS, SUPERSEDED], ids=lambda table: table.name)
@pytest.mark.parametrize(
    ("feature", "versions", "configuration"),
    [
        ("deletionVectors", (3, 7), {"delta.enableDeletionVectors": "true"}),
        ("columnMapping", (3, 7), MAPPED),
        ("columnMapping", (2, 5), MAPPED),
    ],
)
def test_a_table_that_plain_readers_would_get_wrong_is_refused_by_the_features_name(
    tmp_path: Path, table: LakeTable, feature: str, versions: tuple[int, int], configuration: dict[str, str]
) -> None:
    open_table(tmp_path, table)
    log = table_path(tmp_path, table) / "_delta_log" / f"{0:020d}.json"
    actions = [json.loads(line) for line in log.read_text("utf-8").splitlines()]
    for action in actions:
        if "protocol" in action:
            named = {f"{who}Features": [feature] for who in ("reader", "writer")} if versions[0] == 3 else {}
            action["protocol"] = {"minReaderVersion": versions[0], "minWriterVersion": versions[1], **named}
        if "metaData" in action:
            action["metaData"]["configuration"] |= configuration
            schema = json.loads(action["metaData"]["schemaString"])
            for number, field in enumerate(schema["fields"], 1):
                field["metadata"] = {"delta.columnMapping.id": number, "delta.columnMapping.physicalName": f"c{number}"}
            action["metaData"]["schemaString"] = json.dumps(schema)
    log.write_text("\n".join(map(json.dumps, actions)) + "\n", "utf-8")
    for opened in (open_table, lambda lake, _: connect(lake)):
        with pytest.raises(LakeError, match=f"a table `{table.name}` with the Delta feature {feature}, which readers"):
            opened(tmp_path, table)
