"""A lake in a store that speaks S3 (moto's, on loopback): collected, asked, looked after, and left without answers."""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import json
import os
import time
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from collector_process import start_collector
from committing import NOON, PAID, Bench, rows
from lake_writers import expected, standing, write_together
from object_store import ADDRESS, BUCKET, ObjectStore, running_store
from otlp_bodies import request, span
from receiving import PROTOBUF, request as post
from spanledger.lake_path import LakePath, StorePath
from spanledger_analytics.connection import connect
from spanledger_analytics.verify import Subject, verify
from spanledger_cli import cli
from spanledger_collector import storage
from spanledger_collector.errors import LakeError, StoreAwayError
from spanledger_collector.jobs import Terms, run_jobs
from spanledger_collector.lake import (
    DataFile,
    append_files,
    append_unless_changed,
    file_path,
    live_files,
    open_table,
    replace_files,
    write_file,
)
from spanledger_collector.rewrite import rewrite_day
from spanledger_collector.store import explained, store as client
from waiting import wait_until

LAKE = StorePath(ADDRESS)
CALL: dict[str, str | int] = {
    "gen_ai.operation.name": "chat",
    "gen_ai.provider.name": "openai",
    "gen_ai.request.model": "gpt-4o-2024-08-06",
    "gen_ai.response.model": "gpt-4o-2024-08-06",
    "gen_ai.usage.input_tokens": 1000,
    "gen_ai.usage.output_tokens": 100,
}
COST = Decimal("0.0035")
"""Of CALL: 1000 tokens at $2.50 a million, 100 at $10."""


@pytest.fixture(scope="module")
def served() -> Iterator[ObjectStore]:
    with running_store() as running:
        yield running


@pytest.fixture
def store(served: ObjectStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ObjectStore]:
    """The store with nothing in it, as this process's environment has it."""
    for name, value in {**served.environment, "SPANLEDGER_HOME": str(tmp_path / "own")}.items():
        monkeypatch.setenv(name, value)
    for name in ("AWS_PROFILE", "AWS_ENDPOINT_URL_S3", "SPANLEDGER_LAKE"):
        monkeypatch.delenv(name, raising=False)
    client.cache_clear()
    yield served
    client.cache_clear()
    for key in served.kept():
        served.client().delete_object(Bucket=BUCKET, Key=key)


def ask(*arguments: str, code: int = 0) -> str:
    """Return what a command prints on stdout, or on stderr where it fails."""
    result = CliRunner().invoke(cli, [*arguments, "--lake", ADDRESS])
    assert result.exit_code == code, (result.output, result.exception)
    return f"{result.stderr}{result.exception}" if code else result.stdout


def answer(query: str, *arguments: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(ask("sql", query, "--format", "json", *arguments))
    return found


def written(name: str, *numbers: int) -> DataFile:
    return write_file(LAKE, name, pa.concat_tables(rows(range(one, one + 1), **PAID) for one in numbers))


def live() -> list[str]:
    return [file.path for file in live_files(open_table(LAKE))]


def send(port: int, numbers: range, start_ns: int, **more: str) -> None:
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=60)) as connection:
        spans = [
            span({**CALL, **more}, number=number, start_time_unix_nano=start_ns, end_time_unix_nano=start_ns + 1000)
            for number in numbers
        ]
        assert post(connection, request(*spans), PROTOBUF).status == 200


def test_what_is_collected_into_a_store_is_asked_and_looked_after_there(store: ObjectStore, tmp_path: Path) -> None:
    now = time.time_ns() + 3600 * 10**9  # whose day is not over before the test is
    with (tmp_path / "collector.log").open("ab") as errors:
        collector = start_collector(tmp_path / "home", LAKE, errors)
        try:
            send(collector.http_port, range(30), now, **{"team.id": "search"})
            send(collector.http_port, range(30, 40), now - 2 * 86_400 * 10**9, **{"team.id": "ads"})
            send(collector.http_port, range(5), now, **{"team.id": "search"})
            collector.wait_for_commit()
        finally:
            assert collector.stop() == 0
    total = "select count(*) as calls, sum(cost_usd)::varchar as usd from llm_calls"
    assert answer(total) == [{"calls": 40, "usd": str(40 * COST.quantize(Decimal("1e-12")))}]
    assert "1 days written anew" in ask("maintain")
    assert answer(total) == [{"calls": 40, "usd": str(40 * COST.quantize(Decimal("1e-12")))}]
    ads = answer(total, "--scope", "team_id=ads")
    assert ads == [{"calls": 10, "usd": str(10 * COST.quantize(Decimal("1e-12")))}]
    ask("export", "--format", "parquet", "-o", str(tmp_path / "spans.parquet"))
    assert pq.read_metadata(tmp_path / "spans.parquet").num_rows == 40
    assert ask("lake", "verify") == ""
    tables = {
        table["table"]: table["rows"] for table in json.loads(ask("lake", "status", "--format", "json"))["tables"]
    }
    assert tables["spans"] == 40
    assert "copy the lake to a folder" in ask("sql", "--safe", total, code=2)
    left = {path.name for path in (tmp_path / "own").rglob("*") if path.is_file()}
    assert left <= {"maintain.lock", "settle.lock", "rollup.lock"}  # drafts are gone


def test_files_whose_commit_nobody_answers_are_added_once(store: ObjectStore) -> None:
    table, file = open_table(LAKE), written("a", 1)
    store.served.lose("PUT", "spans/_delta_log/")
    append_files(table, [file], writer="w", version=1)
    assert not store.served.waits_to_lose()
    assert (live(), open_table(LAKE).version()) == ([file.path], 1)


def test_a_segment_whose_commit_nobody_answers_is_in_once(store: ObjectStore, tmp_path: Path) -> None:
    bench = Bench(tmp_path, LAKE)
    bench.seal(0)
    bench.stage(0, rows(range(5), **PAID))
    store.served.lose("PUT", "spans/_delta_log/")
    bench.commit_all()
    assert not store.served.waits_to_lose()
    assert (bench.span_ids(), bench.waiting(), bench.version()) == (dict.fromkeys(range(5), 1), [], 0)
    assert open_table(LAKE).version() == 1


def test_files_that_took_the_place_of_others_unanswered_are_not_deleted(store: ObjectStore) -> None:
    old = [written("a", 1), written("b", 2)]
    append_files(open_table(LAKE), old, writer="w", version=1)
    store.served.lose("PUT", "spans/_delta_log/")
    done = rewrite_day(LAKE, NOON.date())
    assert not store.served.waits_to_lose()
    assert done is not None
    assert live() == [file.path for file in done.new]
    assert all(storage.exists(file_path(LAKE, file)) for file in done.new)
    list(run_jobs(LAKE, Terms(all_due=True)))
    assert list(verify(Subject(LAKE))) == []


def test_files_of_which_one_has_gone_take_nobodys_place(store: ObjectStore) -> None:
    old = written("a", 1)
    append_files(open_table(LAKE), [old], writer="w", version=1)
    theirs, ours = written("theirs", 1), written("ours", 1)
    assert replace_files(open_table(LAKE), [old], [theirs], same_rows=True)
    assert not replace_files(open_table(LAKE), [old], [ours], same_rows=True)
    assert live() == [theirs.path]


def test_an_entry_of_the_log_is_written_by_one_alone(store: ObjectStore) -> None:
    first, second = open_table(LAKE), open_table(LAKE)
    files = [written("a", 1), written("b", 2)]
    assert append_unless_changed(first, files[:1], writer="a", version=1)
    assert not append_unless_changed(second, files[1:], writer="b", version=1)
    assert live() == [files[0].path]


def test_what_comes_while_the_store_is_away_is_kept_and_goes_in_later(store: ObjectStore, tmp_path: Path) -> None:
    with (tmp_path / "collector.log").open("ab") as errors, contextlib.ExitStack() as away:
        collector = start_collector(tmp_path / "home", LAKE, errors)
        try:
            send(collector.http_port, range(10), time.time_ns())
            collector.wait_for_commit()
            away.callback(store.served.come)
            store.served.go()
            send(collector.http_port, range(10, 20), time.time_ns())
            wait_until(
                lambda: b"can't be reached" in (tmp_path / "collector.log").read_bytes(),
                timeout_s=100,
                what="a stage to say so",
            )
            assert "can't be reached" in ask("sql", "select 1", code=1)
            away.close()
            collector.wait_for_commit()
        finally:
            collector.kill()
    assert b"Traceback" not in (tmp_path / "collector.log").read_bytes()
    assert answer("select count(*) as calls, count(distinct span_id) as spans from spans") == [
        {"calls": 20, "spans": 20}
    ]


@pytest.mark.parametrize("where", ["disk", "store"])
def test_writers_side_by_side_lose_nothing_and_double_nothing(store: ObjectStore, tmp_path: Path, where: str) -> None:
    writers, commits = (4, 500) if os.environ.get("SPANLEDGER_PROVE") else (2, 5)
    places: dict[str, LakePath] = {"disk": tmp_path / "lake", "store": LAKE}
    lake = places[where]
    seconds = write_together(tmp_path, lake, writers, commits)
    version, in_log, marks = standing(lake, writers)
    counted = Bench.span_ids(Bench(tmp_path / "reader", lake))
    assert counted == expected(writers, commits)
    assert (in_log, marks) == (len(counted), [commits - 1] * writers)
    told = {"writers": writers, "commits_each": commits, "seconds": round(seconds), "versions": version}
    print(f"evidence: {json.dumps({where: told | {'spans_once': len(counted)}})}")


def test_a_question_reads_the_parts_of_a_file_that_it_needs(store: ObjectStore) -> None:
    many = rows(range(100_000), **PAID)
    ids = pa.array([hashlib.sha256(str(number).encode()).hexdigest()[:32] for number in range(len(many))])
    file = write_file(LAKE, "large", many.set_column(many.schema.get_field_index("trace_id"), "trace_id", ids))
    append_files(open_table(LAKE), [file], writer="w", version=1)
    connection = connect(LAKE)
    store.served.asked()
    assert connection.execute("select sum(cost_usd) from llm_calls").fetchall() == [(100_000 * PAID["cost_usd"],)]
    asked = [
        sent.removeprefix("bytes=").split("-") for _, path, sent in store.served.asked() if file.path in path and sent
    ]
    read = sum(int(last) - int(first) + 1 for first, last in asked)
    assert (file.size > 1 << 20, read < file.size / 10) == (True, True)


def test_a_bucket_that_is_not_there_is_named(store: ObjectStore) -> None:
    result = CliRunner().invoke(cli, ["sql", "select 1", "--lake", "s3://nowhere/lake"])
    assert isinstance(result.exception, LakeError)
    assert "s3://nowhere/lake has no bucket at http://127.0.0.1" in str(result.exception)


@pytest.mark.parametrize(
    ("error", "words"),
    [
        ("AWS Error ACCESS_DENIED during ListObjectsV2 operation: Access Denied (HTTP status 403)", "s3:PutObject"),
        ("When getting information: AWS Error UNKNOWN (HTTP status 403) during HeadObject operation", "s3:PutObject"),
        ("The operation lacked the necessary privileges: 403 Forbidden", "s3:PutObject"),
        ("an error occurred while loading credentials: no providers in chain provided credentials", "AWS_PROFILE"),
        ("AWS Error NO_SUCH_BUCKET during PutObject operation: The specified bucket does not exist", "has no bucket"),
        ("AWS Error NETWORK_CONNECTION during HeadBucket operation: curlCode: 7", "can't be reached"),
    ],
)
def test_what_a_store_refuses_is_said_with_what_to_do(store: ObjectStore, error: str, words: str) -> None:
    said = explained(LAKE, error)
    assert words in str(said)
    assert isinstance(said, StoreAwayError) == (words == "can't be reached")
