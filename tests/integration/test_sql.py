"""`spanledger sql` as a user runs it: answers, formats, errors, and what it may not touch."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import pty
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
        timeout=180,
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


@pytest.mark.parametrize(("form", "said"), [("csv", "never\ninfinity\n"), ("json", '[\n{"never": "infinity"}\n]\n')])
def test_a_day_that_never_comes_is_an_answer_too(lake: Path, form: str, said: str) -> None:
    assert sql(lake, "select date 'infinity' as never", "--format", form).stdout == said


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


def test_a_typo_is_marked_and_the_name_that_was_meant_is_proposed(lake: Path) -> None:
    for confined in ((), ("--safe",)):
        done = sql(lake, "select\n  user_idd\nfrom llm_calls", *confined)
        assert done.returncode == 1
        assert done.stderr.splitlines()[0] == (
            'spanledger: Binder Error: Referenced column "user_idd" not found in FROM clause!'
        )
        assert done.stderr.splitlines()[1].startswith("Did you mean user_id, ")
        assert done.stderr.splitlines()[3:] == ["LINE 2:   user_idd", "          ^^^^^^^^"]


def test_a_plan_is_drawn_over_lines(lake: Path) -> None:
    assert "\n╰────────┬───────╯\n" in sql(lake, "explain select 1").stdout


def test_a_confined_question_has_the_same_answer_as_any(lake: Path) -> None:
    for form in ("csv", "json"):
        assert sql(lake, QUERY, "--safe", "--format", form).stdout == sql(lake, QUERY, "--format", form).stdout


def test_a_scope_shows_its_rows_alone(lake: Path) -> None:
    query = "select user_id from spans"
    assert sql(lake, query, "--scope", "user_id=u-1", "--format", "csv").stdout == "user_id\nu-1\n"
    assert sql(lake, query, "--scope", "user_id=u-2", "--format", "csv").stdout == "user_id\n"
    done = sql(lake, query, "--scope", "user=u-1")
    assert done.returncode == 2
    assert "no scope can be told by user; there are team_id, customer_id, " in done.stderr


def test_a_confined_answer_is_cut_and_says_so(lake: Path) -> None:
    done = sql(lake, "from range(9)", "--safe", "--max-rows", "2", "--format", "csv")
    assert (done.stdout, done.stderr) == ("range\n0\n1\n", "spanledger: truncated at 2 rows\n")


def test_a_confined_question_is_stopped_in_time(lake: Path) -> None:
    done = sql(lake, "select length(repeat('x', 2000000000))", "--safe", "--max-seconds", "1")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "spanledger: stopped after 1 s; ask for fewer days, or for less at once\n"


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
    assert done.stderr == (
        "spanledger: no/such/folder/out.csv can't be written: No such file or directory; name another file with -o\n"
    )


def test_the_ending_of_the_output_decides_the_format(lake: Path, tmp_path: Path) -> None:
    query = "select user_id, tags from llm_calls"
    for name in ("a.csv", "a.json", "a.parquet", "a.txt"):
        assert sql(lake, query, "-o", name).returncode == 0
    assert (tmp_path / "a.csv").read_text() == 'user_id,tags\nu-1,"{""plan"": ""gold""}"\n'
    assert json.loads((tmp_path / "a.json").read_text()) == [{"user_id": "u-1", "tags": {"plan": "gold"}}]
    assert pl.read_parquet(tmp_path / "a.parquet")["user_id"].to_list() == ["u-1"]
    assert (tmp_path / "a.txt").read_text().split()[:2] == ["user_id", "tags"]


def test_an_empty_query_is_a_usage_error(lake: Path) -> None:
    done = sql(lake, " ")
    assert (done.returncode, done.stdout) == (2, "")
    assert "the query is empty; try: spanledger sql" in done.stderr


def test_an_unknown_table_is_answered_with_the_names_of_the_views(lake: Path) -> None:
    done = sql(lake, "select * from calls")
    assert done.returncode == 1
    assert "The views are spans, llm_calls, traces, sessions, " in done.stderr


def test_a_question_to_a_lake_without_calls_is_told_so(tmp_path: Path) -> None:
    done = sql(tmp_path / "nowhere", "select count(*) calls from llm_calls", "--format", "csv")
    assert (done.returncode, done.stdout) == (0, "calls\n0\n")
    assert f"nothing is collected in {tmp_path / 'nowhere'} yet; `spanledger up` fills it" in done.stderr
    assert not (tmp_path / "nowhere").exists()


def test_a_lake_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    done = sql(tmp_path / "file", "select 1")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"spanledger: {tmp_path / 'file'} is a file; name the folder of a lake with --lake\n"


def on_terminal(lake: Path, query: str) -> tuple[list[str], str]:
    """Return the lines and the words that a terminal of 80 columns is given."""
    ours, theirs = pty.openpty()
    argv = [sys.executable, "-m", "spanledger_cli", "sql", query, "--lake", str(lake)]
    process = subprocess.Popen(
        argv, stdout=theirs, stderr=subprocess.PIPE, text=True, env=os.environ | {"COLUMNS": "80"}
    )
    os.close(theirs)
    shown = b""
    with contextlib.suppress(OSError):  # the end of a terminal is an error on Linux
        while piece := os.read(ours, 65536):
            shown += piece
    os.close(ours)
    words = process.communicate(timeout=180)[1]
    assert process.returncode == 0, words
    return shown.decode().splitlines(), words


def test_a_row_wider_than_the_terminal_is_shown_a_line_a_column(lake: Path) -> None:
    lines, words = on_terminal(lake, "select * from llm_calls")
    filled = [*CALL, "dt", "provisional", "estimated"]
    assert lines[0].startswith("── row 1 ──")
    assert sorted(line.split()[0] for line in lines[1:]) == sorted(filled)
    assert "input_tokens   5000" in [" ".join(line.split()).replace(" ", "   ") for line in lines]
    assert f"{len(SCHEMA) + 3 - len(filled)} columns that are NULL left out" in words
    assert max(map(len, lines)) <= 80


def test_a_row_that_fits_the_terminal_is_a_table(lake: Path) -> None:
    lines, words = on_terminal(lake, "select user_id, cost_usd from llm_calls")
    assert [line.split() for line in lines[::2]] == [["user_id", "cost_usd"], ["u-1", "0.068000000000"]]
    assert words == ""


def test_a_long_table_is_cut_and_says_so(lake: Path) -> None:
    done = sql(lake, "select * from range(2000) t(number) order by number desc")
    assert [line.strip() for line in done.stdout.splitlines()[2:]] == [str(1999 - row) for row in range(500)]
    assert done.stderr == "spanledger: the first 500 rows are shown; --format csv, json or parquet gives all\n"
    assert sql(lake, "select * from range(2000)", "--format", "csv").stdout.count("\n") == 2001


def test_a_name_cannot_steer_the_terminal(lake: Path) -> None:
    done = sql(lake, "select 'a' || chr(27) || '[2J' || chr(10) || 'b' as name")
    assert done.stdout.splitlines()[2] == "a\\x1b[2J\\nb"
