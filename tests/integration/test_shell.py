"""`spanledger sql --shell`: other programs' shells on our views."""

from __future__ import annotations

import importlib.util
import os
import signal
import stat
import subprocess
import sys
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import duckdb
import pytest

from ledger_rows import call, make_lake
from spanledger import contract
from spanledger.contract import Contract, Fee, Scope
from spanledger_analytics.connection import connect
from spanledger_analytics.snapshot import files_now
from spanledger_analytics.views import LAKE_NAMES
from spanledger_cli.errors import MissingExtraError
from spanledger_cli.shell import open_shell, script_of

START = datetime(2026, 11, 3, 9, 30, tzinfo=UTC)
DUCKDB = """#!{python}
import sys, duckdb
connection = duckdb.connect()
for statement in open(sys.argv[sys.argv.index("-init") + 1]).read().split(";"):
    if statement.strip():
        connection.execute(statement).fetchall()
open("{told}", "w").write(str(connection.sql("select user_id from llm_calls").fetchall()))
sys.exit(7)
"""
"""Reads its script as harlequin does, which cuts it at every semicolon."""


@pytest.fixture
def lake(tmp_path: Path) -> Path:
    return make_lake(tmp_path / "it's; a lake", [call(1, 1, START, user_id="u-1")])


def test_the_views_of_the_shell_are_those_of_the_question(
    lake: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fee = Fee("seats", Scope("*"), Decimal(20), "calls")
    monkeypatch.setattr(contract, "in_force", lambda: Contract(fees=(fee,)))
    shell = duckdb.connect()
    for statement in script_of(files_now(lake), tmp_path).split(";"):
        if statement.strip():
            shell.execute(statement)
    ours = connect(lake)
    for view in LAKE_NAMES:
        query = f"from {view} order by all"
        assert shell.sql(query).to_arrow_table() == ours.sql(query).to_arrow_table(), view
    assert (
        shell.sql("select comment from duckdb_columns() where table_name = 'spans' and comment is null").fetchall()
        == []
    )


def test_the_duckdb_command_is_opened_and_its_exit_code_is_ours(
    lake: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "bin" / "duckdb"
    program.parent.mkdir()
    program.write_text(DUCKDB.format(python=sys.executable, told=tmp_path / "told"), "utf-8")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    monkeypatch.setenv("PATH", str(program.parent))
    before = signal.getsignal(signal.SIGINT)
    assert open_shell(files_now(lake)) == 7
    assert (tmp_path / "told").read_text("utf-8") == "[('u-1',)]"
    assert signal.getsignal(signal.SIGINT) is before


def test_without_a_shell_it_is_said_what_to_install(lake: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    monkeypatch.setenv("PATH", "")
    with pytest.raises(MissingExtraError, match=r"pip install 'spanledger\[shell\]'"):
        open_shell(files_now(lake))


def test_a_shell_is_not_asked_and_not_confined(lake: Path) -> None:
    argv = [sys.executable, "-m", "spanledger_cli", "sql", "--shell", "--safe", "--lake", str(lake)]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=180, env=dict(os.environ))
    assert done.returncode == 2
    assert "--shell asks nothing itself, and confines nobody" in done.stderr
