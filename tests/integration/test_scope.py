"""With a scope, the box sees what is about it and nothing else, by whatever way it is looked at."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from forked_boxes import ForkedBoxes
from ledger_rows import call
from spanledger import contract
from spanledger_analytics import box, extract as extracting
from spanledger_analytics.box_process import Limits
from spanledger_analytics.connection import connect_files
from spanledger_analytics.errors import QueryError, ScopeError, StoppedError
from spanledger_analytics.extract import extract
from spanledger_analytics.scope import SCOPES, Scope, parse_scope, scope_of_teams
from spanledger_analytics.snapshot import LakeFiles, files_now
from spanledger_analytics.views import LAKE_NAMES
from spanledger_collector.lake import add_files, write_days, write_file
from spanledger_collector.row import SCHEMA
from spanledger_collector.tables import (
    CORRECTIONS,
    OUTCOMES,
    READINGS,
    SETTLED,
    SETTLEMENTS,
    SUPERSEDED,
    LakeTable,
)
from two_teams import HIDDEN as TOLD_APART, NOBODY, two_teams, words_in

START = datetime(2026, 11, 3, 9, 30, tzinfo=UTC)
LATER = START + timedelta(hours=1)
SCOPE = scope_of_teams(["search"])
HIDDEN = ("growth", "u-hidden", "f-hidden", "m-hidden", "o-hidden", "fee-hidden", "7.77", "1234567")
"""What stands in rows that are outside, and nowhere else."""
OURS = call(1, 1, START, team_id="search", user_id="u-1")
THEIRS = call(
    1,
    2,
    START,
    "m-hidden",
    1234567,
    team_id="growth",
    user_id="u-hidden",
    feature="f-hidden",
    cost_usd=Decimal("7.77"),
    unpriced_reason=None,
)
INHERITING = call(2, 1, START, user_id="u-2")
BEFORE = call(3, 1, START, team_id="growth", user_id="u-hidden")
FULLER = call(3, 1, START, team_id="search", user_id="u-3", ingested_at=LATER)


def key(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: row[name] for name in ("trace_id", "span_id", "ingested_at")} | {"dt": START.date()}


def add(lake: Path, table: LakeTable, *rows: Mapping[str, Any]) -> None:
    made = pa.Table.from_pylist([{"dt": START.date(), **row} for row in rows], schema=table.full_schema)
    add_files(lake, write_days(lake, "a", made, table), writer="w", version=0, table=table)


def outcome(name: str, **columns: Any) -> dict[str, Any]:
    return {"outcome_id": name, "name": name, "occurred_at": START, "ingested_at": START} | columns


@pytest.fixture
def files(tmp_path: Path) -> LakeFiles:
    lake = tmp_path / "lake"
    settled = {name: INHERITING.get(name) for name in SETTLED} | {"team_id": "search"}
    when = {"start_time": START, "settled_at": LATER}
    add(lake, SETTLEMENTS, {**key(INHERITING), **settled, **when, "reason": "inherited"})
    add(
        lake,
        SUPERSEDED,
        {**key(BEFORE), "start_time": START, "superseded_by": LATER, "writer": "w", "segment": 0, "written_at": LATER},
    )
    add(
        lake,
        CORRECTIONS,
        *(
            {**key(row), "reason": "resent", "priced_at": LATER, "old_cost_usd": row["cost_usd"]}
            for row in (OURS, THEIRS)
        ),
    )
    add(
        lake,
        OUTCOMES,
        outcome("o-team", team_id="search"),
        outcome("o-span", **{name: OURS[name] for name in ("trace_id", "span_id")}),
        outcome("o-trace", trace_id=FULLER["trace_id"]),
        outcome("o-hidden-team", team_id="growth", trace_id=FULLER["trace_id"]),
        outcome("o-hidden-trace", trace_id=OURS["trace_id"]),
    )
    reading = {"metric": "m-hidden", "series": "s", "since": START, "time": START, "ingested_at": START}
    add(lake, READINGS, reading)
    rows = pa.Table.from_pylist([OURS, THEIRS, INHERITING, BEFORE, FULLER], schema=SCHEMA)
    add_files(lake, [write_file(lake, "a", rows)], writer="w", version=0)
    return files_now(lake)


def asked(files: LakeFiles, query: str) -> list[dict[str, Any]]:
    table = box.ask(files, query, scope=SCOPE).table
    assert table is not None
    rows: list[dict[str, Any]] = table.to_pylist()
    return rows


def test_what_is_inside_is_what_it_is_settled_as_and_whole(files: LakeFiles) -> None:
    query = "select * from spans order by trace_id, span_id"
    everything = connect_files(files).sql(query).to_arrow_table()
    inside = everything.filter(pa.compute.equal(everything["team_id"], "search"))
    assert [row["user_id"] for row in inside.to_pylist()] == ["u-1", "u-2", "u-3"]
    assert box.ask(files, query, scope=SCOPE).table == inside
    assert asked(files, "select sum(cost_usd) as usd, count(*) as calls from llm_calls") == [
        {"usd": sum(row["cost_usd"] for row in (OURS, INHERITING, FULLER)), "calls": 3}
    ]


def test_what_was_said_later_comes_with_its_span(files: LakeFiles) -> None:
    query = """
        select
            (select list(user_id order by user_id) from spans_as_booked) as booked,
            (select list(old_cost_usd) from corrections) as corrected,
            (select list(reason) from settlements) as settled,
            (select list(name order by name) from outcomes) as outcomes,
            (select count(*) from superseded) as superseded
    """
    assert asked(files, query) == [
        {
            "booked": ["u-1", "u-2", "u-3"],
            "corrected": [OURS["cost_usd"]],
            "settled": ["inherited"],
            "outcomes": ["o-span", "o-team", "o-trace"],
            "superseded": 1,
        }
    ]


LOOKS = (
    f"select {', '.join(f'(select list({view})::varchar from {view})' for view in LAKE_NAMES)}",
    "summarize llm_calls",
    "select sql from duckdb_views()",
    "from duckdb_columns()",
    "from duckdb_tables()",
    "from duckdb_variables()",
    "from duckdb_settings()",
    "from duckdb_functions() where not internal",
    "from duckdb_logs",
    "from agreed_fees",
    "from parquet_metadata(getvariable('live_files'))",
    "from parquet_metadata(getvariable('touched_files'))",
    "from parquet_file_metadata(getvariable('live_files'))",
    "from parquet_kv_metadata(getvariable('live_files'))",
    "from parquet_schema(getvariable('live_files'))",
    "from parquet_bloom_probe(getvariable('live_files'), 'team_id', 'growth')",
    "select content::varchar from read_blob(getvariable('touched_files'))",
    "from files_in(getvariable('touched_files'))",
    "from read_parquet(getvariable('outcomes_files'), file_row_number = true, filename = true)",
    "select stats(team_id), stats(user_id), stats(cost_usd) from spans",
    "set variable as_of = null; from spans_as_booked",
    "set variable superseded_files = [getvariable('superseded_files')[1]]; from spans",
    "set variable settlements_files = [getvariable('settlements_files')[1]]; from spans",
    "explain analyze select * from spans where user_id like 'u%'",
    "select error(list(user_id)::varchar) from spans",
    "select user_id::int from spans",
)


def test_nothing_outside_is_seen_by_any_look(files: LakeFiles) -> None:
    lake = str(Path(files.touched[-1]).parents[2])
    users = box.users_for(files)[:1]
    with extract(files, SCOPE, users[0] if users else None) as extracted, ForkedBoxes() as boxes:
        for look in LOOKS:
            request = box.make_request(extracted, look, contract.NONE, users, Limits())
            seen = (boxes.said(request, 0) or b"").decode("utf-8", "replace")
            assert look is not LOOKS[0] or '"kind": "answer"' in seen, seen
            assert {word for word in (lake, *HIDDEN) if word in seen} <= {word for word in HIDDEN if word in look}, look


def test_what_is_looked_for_is_there_without_a_scope(files: LakeFiles, monkeypatch: pytest.MonkeyPatch) -> None:
    fee = contract.Fee("fee-hidden", contract.Scope("*"), Decimal("7.77"), "cost")
    monkeypatch.setattr(contract, "in_force", lambda: contract.Contract(fees=(fee,)))
    connection = connect_files(files)
    there = str([connection.sql(f"from {view}").fetchall() for view in LAKE_NAMES])
    assert {word for word in HIDDEN if word in there} == set(HIDDEN)
    assert asked(files, "from fees") == []


def test_the_lake_itself_is_out_of_reach(files: LakeFiles) -> None:
    with pytest.raises(QueryError, match="Permission Error"):
        box.ask(files, f"from read_parquet('{files.touched[-1]}')", scope=SCOPE)
    with extract(files, SCOPE) as extracted:
        assert not {path for path in extracted.paths() if "none.parquet" not in path} & set(files.paths())


def test_the_copy_is_private_and_gone_at_the_end(files: LakeFiles) -> None:
    with extract(files, SCOPE) as extracted:
        copies = [Path(path) for path in extracted.paths() if "spanledger-scope-" in path]
        folders = {path.parents[2] for path in copies}
        assert {oct(folder.stat().st_mode & 0o777) for folder in folders} == {"0o700"}
    assert [path for path in (*copies, *folders) if path.exists()] == []


def test_values_of_one_column_are_alternatives_and_columns_are_not() -> None:
    words = ("team_id=search", "team_id=a=b", "environment=production")
    assert parse_scope(words) == Scope((("team_id", ("search", "a=b")), ("environment", ("production",))))
    assert set(SCOPES) <= set(SCHEMA.names)
    with pytest.raises(ScopeError, match="'team_id' is no scope; write it as team_id=search"):
        parse_scope(["team_id"])
    with pytest.raises(ScopeError, match="no scope can be told by cost_usd; there are team_id, "):
        parse_scope(["cost_usd=1"])


def test_a_scope_by_several_columns_takes_the_rows_that_are_inside_by_each(files: LakeFiles) -> None:
    scope = parse_scope(["user_id=u-1", "user_id=u-hidden", "team_id=search", "environment=production"])
    assert box.ask(files, "select user_id from spans", scope=scope).table == pa.table({"user_id": ["u-1"]})


def test_of_a_lake_of_two_teams_every_view_shows_one_of_them_alone(tmp_path: Path) -> None:
    files = files_now(two_teams(tmp_path, START))
    seen = {view: str(connect_files(files).sql(f"from {view}").fetchall()) for view in ("spans", "outcomes")}
    assert words_in(str(seen)) == set(TOLD_APART)
    shown = box.ask(files, LOOKS[0], scope=scope_of_teams(["amber"])).table
    assert shown is not None
    # A call that was booked without a team, and is settled as theirs, was theirs then, too.
    assert words_in(str(shown.to_pylist()), ("amber", *TOLD_APART)) == {"amber", NOBODY}
    for nothing in (scope_of_teams([]), scope_of_teams(["nobody-has-it"])):
        assert box.ask(files, "select count(*) as rows from spans", scope=nothing).table == pa.table({"rows": [0]})


@pytest.fixture
def temporary(files: LakeFiles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where temporary files are; the lake is there already."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


@pytest.mark.parametrize(
    ("limits", "wanted", "told"),
    [
        (Limits(seconds=0), True, "stopped after 0 s, {first}; ask with a smaller scope"),
        (Limits(), False, "stopped before it was asked"),
        (Limits(memory_mb=1), True, "stopped, {first}; these take more memory than 1 MB; ask with a smaller scope"),
    ],
)
def test_copying_ends_with_its_time_its_memory_and_with_who_waits_for_it(
    files: LakeFiles, temporary: Path, monkeypatch: pytest.MonkeyPatch, limits: Limits, wanted: bool, told: str
) -> None:
    monkeypatch.setattr(extracting, "_LOOK_S", 0.0001)
    with pytest.raises(StoppedError) as error, extract(files, SCOPE, limits=limits, is_wanted=lambda: wanted):
        pytest.fail("it was copied")
    assert str(error.value) == told.format(first="while the rows of the scope were copied, which is done first")
    assert list(temporary.iterdir()) == []


def test_copies_that_a_process_died_over_are_taken_away(files: LakeFiles, temporary: Path) -> None:
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    with extract(files, SCOPE):
        (ours,) = temporary.iterdir()
        left = temporary / ours.name.replace(f"-{os.getpid()}-", f"-{dead.pid}-")
        (left / "spans").mkdir(parents=True)
        with extract(files, SCOPE):
            assert (ours.exists(), left.exists()) == (True, False)
    assert list(temporary.iterdir()) == []
