"""`spanledger export`: what another lake takes in gives the same rows; Parquet has the view's columns."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from otlp_bodies import recorded_bodies, request, span
from spanledger_analytics.connection import connect

ROWS = "select * exclude (ingested_at) from spans order by trace_id, span_id, name, start_time"


def run(command: str, *arguments: str | Path) -> subprocess.CompletedProcess[bytes]:
    argv = [sys.executable, "-m", "spanledger_cli", command, *map(str, arguments)]
    return subprocess.run(argv, capture_output=True, timeout=120, check=False)


def rows(lake: Path, query: str = ROWS) -> list[tuple[Any, ...]]:
    return connect(lake).execute(query).fetchall()


def taken_in(folder: Path, files: Sequence[Path], name: str) -> Path:
    done = run("import", *files, "--home", folder / f"{name}-home", "--lake", folder / name)
    assert done.returncode == 0, done.stderr.decode()
    return folder / name


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A lake of all recorded bodies, and of three spans on three days."""
    folder = tmp_path_factory.mktemp("lake")
    day_ns = 86_400 * 10**9
    apart = [
        span({"team.id": "shop"}, number=number, start_time_unix_nano=1_795_000_000_000_000_000 - number * day_ns)
        for number in (1, 2, 3)
    ]
    bodies = [*recorded_bodies().values(), request(*apart)]
    file = folder / "bodies.proto"
    file.write_bytes(b"".join(len(body).to_bytes(4, "big") + body for body in bodies))
    return taken_in(folder, [file], "lake")


@pytest.mark.parametrize(
    ("form", "name"), [("otlp-json", "spans.jsonl"), ("otlp-proto", "spans.proto.zst"), ("otlp-json", "spans.json.gz")]
)
def test_another_lake_has_the_same_rows(form: str, name: str, lake: Path, tmp_path: Path) -> None:
    done = run("export", "--format", form, "-o", tmp_path / name, "--lake", lake)
    assert (done.returncode, done.stdout) == (0, b""), done.stderr.decode()
    other = taken_in(tmp_path, [tmp_path / name], "other")
    assert rows(other) == rows(lake)


def test_parquet_has_the_rows_and_columns_of_the_view(lake: Path, tmp_path: Path) -> None:
    file = tmp_path / "spans.parquet"
    assert run("export", "--format", "parquet", "-o", file, "--lake", lake).returncode == 0
    described = [name for name, *_ in rows(lake, "describe spans")]
    assert pq.read_schema(file).names == described
    here = connect(lake).execute(ROWS.replace("from spans", f"from read_parquet('{file}')")).fetchall()
    assert here == rows(lake)


def test_a_folder_has_a_file_a_day(lake: Path, tmp_path: Path) -> None:
    folder = tmp_path / "by-day"
    done = run("export", "--format", "parquet", "-o", f"{folder}/", "--lake", lake, "--where", "team_id = 'shop'")
    assert done.returncode == 0, done.stderr.decode()
    files = {path.parent.name: pq.read_metadata(path).num_rows for path in folder.rglob("*.parquet")}
    assert files == {"dt=2026-11-15": 1, "dt=2026-11-16": 1, "dt=2026-11-17": 1}
    again = ("export", "--format", "parquet", "-o", f"{folder}/", "--lake", lake, "--to", "2026-11-15", "--where")
    refused = run(*again, "team_id = 'shop'")
    assert (refused.returncode, b"--force replaces it" in refused.stderr) == (1, True)
    assert run(*again, "team_id = 'shop'", "--force").returncode == 0
    assert [path.parent.name for path in folder.rglob("*.parquet")] == ["dt=2026-11-15"]
    (folder / "notes.txt").write_text("mine")
    assert run(*again, "true", "--force").returncode == 1
    assert (folder / "notes.txt").exists()


def test_days_and_conditions_choose(lake: Path, tmp_path: Path) -> None:
    flags = ("--lake", lake, "--from", "2026-11-16", "--to", "2026-11-17", "--where", "team_id = 'shop'")
    done = run("export", "--format", "otlp-json", "-o", "-", *flags)
    assert done.returncode == 0
    assert done.stdout.count(b'"spanId"') == 2


def test_a_file_is_never_written_over_without_force(lake: Path, tmp_path: Path) -> None:
    file = tmp_path / "a.jsonl"
    file.write_text("mine")
    flags = ("export", "--format", "otlp-json", "-o", file, "--lake", lake)
    refused = run(*flags)
    assert (refused.returncode, file.read_text()) == (1, "mine")
    assert run(*flags, "--force").returncode == 0
    assert file.stat().st_size > 10_000


@pytest.mark.parametrize(
    "where", ["no such column", "1 = 1; drop view spans", "user_id in (select * from '/etc/passwd')"]
)
def test_a_wrong_condition_leaves_nothing_behind(where: str, lake: Path, tmp_path: Path) -> None:
    done = run("export", "--format", "otlp-json", "-o", tmp_path / "a", "--lake", lake, "--where", where)
    assert (done.returncode, done.stderr.startswith(b"spanledger: ")) == (1, True), done.stderr.decode()
    assert list(tmp_path.iterdir()) == []


def test_an_empty_lake_is_said_to_be(tmp_path: Path) -> None:
    done = run("export", "--format", "otlp-proto", "-o", tmp_path / "a", "--lake", tmp_path / "lake")
    assert (done.returncode, (tmp_path / "a").read_bytes()) == (0, b"")
    assert b"nothing is collected" in done.stderr
