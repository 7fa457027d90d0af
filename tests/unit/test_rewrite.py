"""Days that are over are written anew, and every question about them has the answer that it had."""

from __future__ import annotations

import random
import tempfile
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings, strategies as st

from settled_rows import DAY, NOON, Row, agent, booked, metered, span, traces
from spanledger_analytics.connection import connect
from spanledger_analytics.snapshot import files_now
from spanledger_collector import dayfiles
from spanledger_collector.folding import is_older, mark_in
from spanledger_collector.keys import KeyIndex
from spanledger_collector.lake import (
    DataFile,
    add_files,
    file_path,
    live_files,
    open_table,
    replace_files,
    table_path,
    write_days,
)
from spanledger_collector.rewrite import days_to_rewrite, rewrite_day
from spanledger_collector.settling import settle_again
from spanledger_collector.supersede import sift, superseded_rows
from spanledger_collector.tables import SETTLEMENTS, SUPERSEDED

FIRST, TODAY = NOON.date() - DAY, NOON.date()
QUESTIONS = (
    "from spans order by trace_id, span_id, ingested_at",
    "from spans_as_booked order by trace_id, span_id, ingested_at",
    "from llm_calls order by trace_id, span_id, ingested_at",
)


class Lake:
    """A lake that takes rows as a committer does."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._segments = 0

    def book(self, rows: Sequence[Row]) -> None:
        """Commit rows as one segment."""
        self._segments += 1
        files = write_days(self.path, f"w-{self._segments}", booked(rows))
        sifted = sift(self.path, files, self.files(), KeyIndex(self.path))
        if sifted.replaced:
            said = superseded_rows(sifted.replaced, "w", self._segments)
            name = f"w-{self._segments}"
            add_files(
                self.path,
                write_days(self.path, name, said, SUPERSEDED),
                writer="w",
                version=self._segments,
                table=SUPERSEDED,
            )
        if sifted.files:
            add_files(self.path, sifted.files, writer="w", version=self._segments)

    def settle(self) -> None:
        settle_again(self.path, FIRST)

    def rewrite(self) -> None:
        for dt in {file.dt for file in self.files()}:
            assert rewrite_day(self.path, dt) is not None

    def files(self) -> list[DataFile]:
        return live_files(open_table(self.path))

    def answers(self, as_of: datetime | None = None) -> list[list[Row]]:
        """Return what every question is answered, without what only says how the row is stored."""
        connection = connect(self.path, as_of=as_of)
        relations = [connection.sql(question).to_arrow_table() for question in QUESTIONS]
        return [relation.drop_columns(["as_booked"]).to_pylist() for relation in relations]


def thin(row: Row) -> Row:
    """Return the copy of a span that is sent while it is under way."""
    unknown = dict.fromkeys(("duration_us", "input_tokens", "output_tokens", "usage_state", "response_id"))
    return row | unknown | {"ingested_at": row["ingested_at"] - timedelta(seconds=1)}


@settings(max_examples=3, deadline=None)
@given(traces(), st.integers(0, 2**16))
def test_whenever_a_day_is_written_anew_no_answer_changes(rows: list[Row], seed: int) -> None:
    chance = random.Random(seed)
    with tempfile.TemporaryDirectory() as folder:
        anew, plain = Lake(Path(folder, "anew")), Lake(Path(folder, "plain"))
        todo = [thin(row) for row in rows if chance.random() < 0.2] + chance.sample(rows, len(rows))
        while todo:
            cut = chance.randint(1, len(todo))
            for lake in (anew, plain):
                lake.book(todo[:cut])
            todo = todo[cut:]
            if not todo or chance.random() < 0.7:
                anew.settle()
                plain.settle()
            if todo and chance.random() < 0.5:
                before = anew.answers()
                anew.rewrite()
                assert anew.answers() == before
        moments = moments_of(anew.path)
        then = [anew.answers(moment) for moment in moments]
        anew.rewrite()
        assert [anew.answers(moment) for moment in moments] == then
        assert anew.answers() == plain.answers()
        assert not files_now(anew.path).touched[1:]


def moments_of(lake: Path) -> list[datetime]:
    """Return a moment before everything, one between spans and settlements, and one for each settlement."""
    said = connect(lake).execute("select distinct settled_at from settlements order by settled_at").fetchall()
    return [NOON, NOON + 5 * DAY, *(moment for (moment,) in said)]


def test_rows_are_sorted_and_files_are_few_full_and_read_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dayfiles, "ROW_GROUP_ROWS", 100)
    monkeypatch.setattr(dayfiles, "MOST_BYTES", 60_000)
    lake, chance = Lake(tmp_path), random.Random(7)
    midnight = datetime(2026, 11, 3, tzinfo=UTC)
    starts = [midnight + timedelta(microseconds=chance.randrange(86_400_000_000)) for _ in range(1000)]
    rows = [span(n, trace=n, start_time=at, user_id=chance.choice("abc")) for n, at in enumerate(starts, 1)]
    for part in range(10):
        lake.book(rows[part::10])
    done = rewrite_day(tmp_path, date(2026, 11, 3))
    assert done is not None
    assert (done.rows, len(done.gone)) == (1000, 10)
    assert lake.files() == done.new
    found: list[Row] = []
    for file in done.new:
        path = file_path(tmp_path, file)
        assert path.stat().st_mode & 0o777 == 0o444
        with pq.ParquetFile(path) as parquet:
            groups = [parquet.metadata.row_group(group).num_rows for group in range(parquet.num_row_groups)]
            assert groups[:-1] == [100] * (len(groups) - 1)
            found += parquet.read(["start_time", "user_id", "span_id"]).to_pylist()
        starts = [row["start_time"] for row in found[-file.rows :]]
        assert (file.start_min, file.start_max) == (min(starts), max(starts))
    assert 2 <= len(done.new) <= 8
    assert found == sorted(found, key=lambda row: (row["start_time"].hour, row["user_id"], row["start_time"]))
    assert not list(tmp_path.glob("**/.rewrite-*"))


def test_a_trace_is_ruled_out_of_a_closed_day_without_reading_its_ids(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    midnight = datetime(2026, 11, 3, tzinfo=UTC)
    lake.book([span(n, trace=n, start_time=midnight + timedelta(seconds=n)) for n in range(1, 501)])
    written = files_now(tmp_path).spans[1]
    done = rewrite_day(tmp_path, date(2026, 11, 3))
    assert done is not None
    closed = str(file_path(tmp_path, done.new[0]))
    ids = [str(row[0]) for row in duckdb.execute("select trace_id from read_parquet(?)", [closed]).fetchall()]
    others = ["beef" + trace[4:] for trace in ids]
    assert _ruled_out(closed, ids) == 0
    assert 0.8 * len(others) < _ruled_out(closed, others) < len(others)
    assert _ruled_out(written, others) == 0


def test_ids_and_money_are_written_the_way_that_is_small_and_quick_to_read(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    midnight = datetime(2026, 11, 3, tzinfo=UTC)
    lake.book([span(n, trace=n, start_time=midnight + timedelta(seconds=n)) for n in range(1, 51)])
    assert _stored(files_now(tmp_path).spans[1]) == SMALL
    done = rewrite_day(tmp_path, date(2026, 11, 3))
    assert done is not None
    assert _stored(str(file_path(tmp_path, done.new[0]))) == SMALL


SMALL = {
    "trace_id": ("BYTE_ARRAY", "DELTA_LENGTH_BYTE_ARRAY"),
    "span_id": ("BYTE_ARRAY", "DELTA_LENGTH_BYTE_ARRAY"),
    "ingested_at": ("INT64", "DELTA_BINARY_PACKED"),
    "start_time": ("INT64", "PLAIN"),
    "cost_usd": ("INT64", "PLAIN"),
    "cost_input": ("INT64", "RLE_DICTIONARY"),
}


def _stored(file: str) -> dict[str, tuple[str, str]]:
    with pq.ParquetFile(file) as parquet:
        group = parquet.metadata.row_group(0)
        chunks = [group.column(place) for place in range(group.num_columns)]
    kinds = {chunk.path_in_schema: (chunk.physical_type, set(chunk.encodings)) for chunk in chunks}
    return {name: (kinds[name][0], way if way in kinds[name][1] else "") for name, (_, way) in SMALL.items()}


def _ruled_out(file: str, traces: Sequence[str]) -> int:
    query = "select bloom_filter_excludes from parquet_bloom_probe(?, 'trace_id', ?)"
    return sum(found[0] for trace in traces for found in duckdb.execute(query, [file, trace]).fetchall())


def test_what_was_replaced_stands_apart_and_what_was_booked_beside(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    call = metered(2, 1)
    lake.book([thin(call)])
    lake.book([span(1, user_id="u"), call])
    lake.settle()
    lake.rewrite()
    kinds = {Path(file.path).name.split("-")[0]: file for file in lake.files()}
    assert {kind: file.rows for kind, file in kinds.items()} == {"day": 2, "older": 1}
    assert is_older(kinds["older"].path)
    rows = pq.read_table(file_path(tmp_path, kinds["day"]), partitioning=None).to_pylist()
    assert {row["span_id"][-1]: (row["user_id"], row["as_booked"]) for row in rows} == {
        "1": ("u", None),
        "2": ("u", [("user_id", None)]),
    }


def test_a_day_is_due_when_it_is_over_and_quiet_and_again_when_more_is_said(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    lake.book([agent(1, user_id="u"), metered(2, 1)])
    now = datetime.now(UTC)
    assert days_to_rewrite(tmp_path, now) == []
    later = now + timedelta(hours=2)
    assert days_to_rewrite(tmp_path, later) == [TODAY]
    assert rewrite_day(tmp_path, TODAY) is not None
    assert days_to_rewrite(tmp_path, later) == []
    lake.settle()
    assert days_to_rewrite(tmp_path, later) == [TODAY]
    assert len(files_now(tmp_path).touched) == 2
    assert rewrite_day(tmp_path, TODAY) is not None
    assert len(files_now(tmp_path).touched) == 1
    lake.book([metered(3, 1)])
    assert days_to_rewrite(tmp_path, later) == [TODAY]


def test_the_day_that_is_under_way_stays_as_it_is(tmp_path: Path) -> None:
    now = datetime.now(UTC)
    Lake(tmp_path).book([span(1, start_time=now)])
    assert days_to_rewrite(tmp_path, now) == []


def test_rows_that_come_meanwhile_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lake = Lake(tmp_path)
    lake.book([span(1)])

    def late(*arguments: Any, **options: Any) -> bool:
        lake.book([span(2)])
        return replace_files(*arguments, **options)

    monkeypatch.setattr("spanledger_collector.rewrite.replace_files", late)
    assert rewrite_day(tmp_path, TODAY) is not None
    assert sorted(mark_in(file.path) is None for file in lake.files()) == [False, True]
    assert connect(tmp_path).execute("select count(*) from spans").fetchall() == [(2,)]


def test_what_others_have_replaced_meanwhile_is_left_to_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lake = Lake(tmp_path)
    lake.book([span(1)])
    lake.book([span(2)])
    open_table(tmp_path).optimize.compact()
    merged = lake.files()
    open_table(tmp_path).restore(1)  # as a reader sees it that looked before
    monkeypatch.setattr(
        "spanledger_collector.rewrite.replace_files",
        lambda spans, gone, new, **options: replace_files(spans, [*gone, *merged], new, **options),
    )
    before = lake.files()
    assert rewrite_day(tmp_path, TODAY) is None
    assert lake.files() == before
    assert not list(table_path(tmp_path).glob("dt=*/day-*"))


def test_a_day_waits_for_the_commit_that_replaces_some_of_it(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    lake.book([thin(metered(1))])
    said = superseded_rows([], "w", 7)
    row = {
        "trace_id": f"{1:032x}",
        "span_id": f"{1:016x}",
        "ingested_at": NOON,
        "start_time": NOON,
        "dt": TODAY,
        "writer": "w",
        "segment": 7,
    }
    files = write_days(tmp_path, "said", pa.Table.from_pylist([row], schema=said.schema), SUPERSEDED)
    add_files(tmp_path, files, writer="w", version=7, table=SUPERSEDED)
    assert rewrite_day(tmp_path, TODAY) is None


def test_a_day_with_a_file_that_is_gone_stays_as_it_is(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    lake.book([span(1)])
    lake.book([span(2)])
    file_path(tmp_path, lake.files()[0]).unlink()
    before = lake.files()
    assert rewrite_day(tmp_path, TODAY) is None
    assert lake.files() == before
    assert live_files(open_table(tmp_path, SETTLEMENTS), SETTLEMENTS) == []
