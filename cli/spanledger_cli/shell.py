"""`spanledger sql --shell`: a shell of others over our views, harlequin or the duckdb command.

Both run a script when they start, and the script makes the views over the files that are live then. They get the script
and no database file of ours, because one is readable only by the version of DuckDB that wrote it.
"""

from __future__ import annotations

import importlib.util
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Final, cast

import pyarrow.parquet as pq

from spanledger import contract
from spanledger_analytics.box import Script
from spanledger_analytics.box_process import Step
from spanledger_analytics.connection import prepare
from spanledger_analytics.snapshot import LakeFiles

from .errors import MissingExtraError

_SCRIPT: Final = "views.sql"
_OF_PROGRAMS: Final = ("python_enable_replacements", "errors_as_json")
"""Settings that are for our own connections."""


def open_shell(files: LakeFiles, as_of: datetime | None = None) -> int:
    """Run the shell that is installed until its user leaves it; return its exit code.

    Raises:
        MissingExtraError: neither is installed.
    """
    with tempfile.TemporaryDirectory(prefix="spanledger-shell-") as named:
        script = Path(named) / _SCRIPT
        argv = _program(script)
        script.write_text(script_of(files, script.parent, as_of), "utf-8")
        before = signal.signal(signal.SIGINT, lambda *_: None)  # Ctrl-C is the shell's
        try:
            return subprocess.run(argv, check=False).returncode  # noqa: S603 - the shell that was asked for
        finally:
            signal.signal(signal.SIGINT, before)


def script_of(files: LakeFiles, folder: Path, as_of: datetime | None = None) -> str:
    """Return the SQL that makes the views in any DuckDB; tables of a contract are written into `folder` for it.

    A semicolon stands in it at ends of statements alone, because harlequin cuts it there.
    """
    script = Script()
    prepare(script, files, contract.in_force(), as_of=as_of, described=True)
    return "".join(f"{_sql_of(step, folder / f'{number}.parquet')};\n" for number, step in enumerate(script.steps))


def _sql_of(step: Step, path: Path) -> str:
    if step.kind == "register":
        pq.write_table(step.value, path)
        return f"create or replace table {step.text} as from read_parquet({_literal(str(path))})"
    if step.kind == "unregister":
        return f"drop table {step.text}"
    text = step.text
    for name, value in cast("Mapping[str, object]", step.value or {}).items():
        text = text.replace(f"${name}", _literal(value))
    if any(setting in text for setting in _OF_PROGRAMS):
        return ""
    lines = [_plain(line) for line in text.splitlines() if not line.lstrip().startswith("--")]
    return "\n".join(lines).rstrip().removesuffix(";")


def _plain(line: str) -> str:
    """Return a line without semicolons in a comment's text."""
    return line.rstrip(";").replace(";", ",") + ";" if line.startswith("comment on ") else line


def _literal(value: object) -> str:
    if value is None:
        return "null"
    if isinstance(value, list):
        return f"[{', '.join(map(_literal, value))}]::varchar[]"
    text = value.isoformat() if isinstance(value, datetime) else str(value)
    quoted = "'" + text.replace("'", "''") + "'"
    return "e" + quoted.replace("\\", "\\\\").replace(";", "\\x3b") if ";" in text else quoted


def _program(script: Path) -> list[str]:
    if importlib.util.find_spec("harlequin") is not None:
        return [sys.executable, "-m", "harlequin", "--adapter", "duckdb", "--init-path", str(script)]
    for name, flag in (("harlequin", "--init-path"), ("duckdb", "-init")):
        if found := shutil.which(name):
            return [found, flag, str(script)]
    raise MissingExtraError("sql --shell", "harlequin or the duckdb command", "shell")
