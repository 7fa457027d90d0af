"""`spanledger sql` as a user runs it: answers, formats, errors, and what it may not touch."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import polars as pl
import pyarrow as pa
import pytest

from spanledger_collector.lake import add_files, open_table, table_path, write_file
from spanledger_collector.row import SCHEMA

CALL = {
    "trace_id": "0" * 31 + "1",
    "span_id": "0" * 15 + "1",
    "start_time": datetime(2026, 11, 3, 9, 30, tzinfo=UTC),
    "role": "inference",
    "user_id": "u-1",
    "request_model": "gpt-4-turbo",
    "input_tokens": 5000,
    "output_tokens": 600,
    "cost_usd": Decimal("0.068000000000"),
    "tags": [("plan", "gold")],
}


@pytest.fixture
def lake(tmp_path: Path) -> Path:
    path = tmp_path / "lake"
    open_table(path)
    add_files(path, [write_file(path, "a", pa.Table.from_pylist([CALL], schema=SCHEMA))], writer="w", version=0)
    return path


def sql(lake: Path, query: str, *more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "spanledger_cli", "sql", query, "--lake", str(lake), *more],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=lake.parent,
        env={**os.environ, "COLUMNS": "100"},
    )


QUERY = "select user_id, request_model, input_tokens, output_tokens, cost_usd, start_time, tags from llm_calls"


def test_json_has_decimals_as_text_and_times_in_utc(lake: Path) -> None:
    done = sql(lake, QUERY, "--format", "json")
    assert json.loads(done.stdout) == [
        {
            "user_id": "u-1",
            "request_model": "gpt-4-turbo",
            "input_tokens": 5000,
            "output_tokens": 600,
            "cost_usd": "0.068000000000",
            "start_time": "2026-11-03T09:30:00Z",
            "tags": {"plan": "gold"},
        }
    ]


def test_csv_is_the_same_answer(lake: Path) -> None:
    done = sql(lake, "select user_id, cost_usd, start_time, feature from llm_calls", "--format", "csv")
    assert done.stdout == "user_id,cost_usd,start_time,feature\nu-1,0.068000000000,2026-11-03T09:30:00Z,\n"


def test_parquet_keeps_money_exact(lake: Path, tmp_path: Path) -> None:
    done = sql(lake, "select cost_usd from llm_calls", "--format", "parquet", "-o", "out.parquet")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert pl.read_parquet(tmp_path / "out.parquet").rows() == [(Decimal("0.068000000000"),)]


def test_a_table_lines_up(lake: Path) -> None:
    done = sql(lake, "select user_id, cost_usd from llm_calls")
    lines = [line.rstrip() for line in done.stdout.splitlines() if line.strip()]
    assert lines[0].split() == ["user_id", "cost_usd"]
    assert lines[2].split() == ["u-1", "0.068000000000"]
    assert len(lines[0]) == len(lines[2])


def test_a_typo_gives_duckdbs_message_and_exit_code_1(lake: Path) -> None:
    done = sql(lake, "select user_idd from llm_calls")
    assert done.returncode == 1
    assert done.stdout == ""
    assert "user_idd" in done.stderr
    assert "user_id" in done.stderr.replace("user_idd", "")
    assert "Traceback" not in done.stderr


def test_temporary_tables_may_be_made(lake: Path) -> None:
    done = sql(lake, "create temp table t as select 2 as a; select a from t", "--format", "csv")
    assert done.stdout == "a\n2\n"


@pytest.mark.parametrize(
    "query",
    [
        "select * from read_text('{outside}')",
        "select * from read_csv('{lake}/../secret.csv')",
        "copy (select 1) to '{folder}/new.csv'",
        "with x as (copy (select 1) to '{folder}/new.csv') select 1",
        "copy (select 1) to '{live}' (use_tmp_file false, format parquet)",
        "with x as (copy (select 1) to '{live}' (use_tmp_file false, format parquet)) select 1",
        "copy (select 1) to '{lake}/spans/dt=2026-11-03/new.parquet'",
        "attach '{folder}/new.db'",
        "export database '{folder}/new'",
        "install httpfs",
        "set enable_external_access = true",
    ],
)
def test_no_file_is_read_or_written_outside_the_lake(lake: Path, tmp_path: Path, query: str) -> None:
    outside = tmp_path / "secret.csv"
    outside.write_text("word\nswordfish\n", "utf-8")
    live = table_path(lake) / "dt=2026-11-03" / "a.parquet"
    before = fingerprint(tmp_path)
    done = sql(lake, query.format(outside=outside, lake=lake, folder=tmp_path, live=live))
    assert done.returncode == 1
    assert "swordfish" not in done.stdout
    assert fingerprint(tmp_path) == before


def fingerprint(folder: Path) -> dict[str, str]:
    """Return every file below `folder` with the hash of its bytes."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_an_output_that_cannot_be_written_is_a_sentence(lake: Path) -> None:
    done = sql(lake, QUERY, "-o", "no/such/folder/out.csv", "--format", "csv")
    assert done.returncode == 1
    assert "can't write no/such/folder/out.csv" in done.stderr
