"""A fuller copy of a span counts in place of an older one, at any moment once, and closed days say what changed."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from committing import NOON, Bench, rows
from spanledger_analytics.connection import Ledger, connect
from spanledger_analytics.drill import trace
from spanledger_analytics.scope import EVERYTHING
from spanledger_collector import commit, maintain
from spanledger_collector.commit import Committer
from spanledger_collector.errors import LakeError
from spanledger_collector.jobs import Terms, run_jobs
from spanledger_collector.lake import (
    DataFile,
    add_files,
    append_unless_changed,
    live_files,
    open_table,
    read_rows,
    write_days,
)
from spanledger_collector.tables import CORRECTIONS, SUPERSEDED, LakeTable

LATER = NOON + timedelta(minutes=7)
ENDED: dict[str, Any] = {"duration_us": 5_000_000, "input_tokens": 10, "output_tokens": 20, "usage_state": "reported"}
OPEN: dict[str, Any] = {"cost_usd": None, "unpriced_reason": "no_usage"}
Answer = list[tuple[object, ...]]


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def spans(bench: Bench) -> Answer:
    """Return number, output_tokens and cost of every row of the view."""
    query = "select ('0x' || span_id)::bigint, output_tokens, cost_usd from spans order by all"
    return connect(bench.lake).execute(query).fetchall()


def test_a_fuller_copy_that_comes_later_counts_alone(bench: Bench) -> None:
    ledger = Ledger(bench.lake, EVERYTHING)
    bench.commit(rows(range(4), **OPEN))
    before = ledger.ask("coverage").select("spans", "unpriced_calls").rows()
    bench.commit(rows(range(2, 3), taken=LATER, **ENDED), rows(range(8, 9)))
    usd = Decimal("0.010000000000")
    assert spans(bench) == [(0, None, None), (1, None, None), (2, 20, usd), (3, None, None), (8, None, usd)]
    assert (before, ledger.ask("coverage").select("spans", "unpriced_calls").rows()) == ([(4, 4)], [(5, 3)])
    assert trace(ledger, NOON.date(), f"{0:032x}")["cost_usd"].to_list() == [None, None, usd]
    assert [tuple(row.values())[:6] for row in read_rows(bench.lake, SUPERSEDED).to_pylist()] == [
        (f"{0:032x}", f"{2:016x}", NOON + timedelta(minutes=1), NOON, LATER, bench.wal_id)
    ]


def test_a_repeat_or_a_poorer_copy_is_dropped(bench: Bench) -> None:
    bench.commit(rows(range(3), **ENDED))
    bench.commit(rows(range(3), taken=LATER, **ENDED), rows(range(2), taken=LATER, **OPEN))
    assert open_table(bench.lake).version() == 1
    assert [row[0] for row in spans(bench)] == [0, 1, 2]


@pytest.mark.parametrize("together", [True, False])
def test_of_many_versions_the_fullest_counts(bench: Bench, together: bool) -> None:
    copies: list[dict[str, Any]] = [OPEN, OPEN | {"duration_us": 9}, ENDED, OPEN, ENDED | {"duration_us": 10}]
    versions = [
        rows(range(3), taken=NOON + timedelta(minutes=minutes), **columns) for minutes, columns in enumerate(copies)
    ]
    for tables in [versions] if together else [[version] for version in versions]:
        bench.commit(*tables)
    assert spans(bench) == [(number, 20, Decimal("0.010000000000")) for number in range(3)]


def test_versions_taken_at_the_same_moment_are_told_apart(bench: Bench) -> None:
    bench.commit(rows(range(3), **OPEN))
    bench.commit(rows(range(3), **ENDED))
    assert spans(bench) == [(number, 20, Decimal("0.010000000000")) for number in range(3)]


def test_a_span_of_another_trace_with_the_same_id_stays(bench: Bench) -> None:
    bench.commit(pa.concat_tables([rows(range(1), **OPEN), rows(range(1), trace_id="f" * 32, **OPEN)]))
    bench.commit(rows(range(1), taken=LATER, **ENDED))
    assert spans(bench) == [(0, 20, Decimal("0.010000000000")), (0, None, None)]


def test_a_fuller_copy_is_charged_where_the_older_one_was(bench: Bench) -> None:
    bench.commit(rows(range(1), cost_usd=None, duplicate_of="e" * 16))
    bench.commit(rows(range(1), taken=LATER, cost_input=Decimal(1), cost_source="list", **ENDED))
    query = "select output_tokens, duplicate_of, cost_usd, cost_input, cost_source from spans"
    assert connect(bench.lake).execute(query).fetchall() == [(20, "e" * 16, None, None, None)]


def test_only_files_around_a_superseded_row_are_read_with_care(bench: Bench) -> None:
    bench.commit(rows(range(1), NOON + timedelta(hours=3)), rows(range(4, 8), **OPEN))
    bench.commit(rows(range(4, 5), taken=LATER, **ENDED))
    files = Ledger(bench.lake, EVERYTHING)._snapshots.now().files()
    assert (len(files.spans), len(files.touched)) == (2, 3)


def test_a_correction_says_what_a_resent_span_changed_of_a_closed_day(bench: Bench) -> None:
    began = datetime.now(UTC)
    today = began.replace(microsecond=0) + timedelta(hours=1)  # a day that is not over before the test is
    priced = {"price_id": "base:x", "cost_output": Decimal("0.01"), **ENDED}
    for day in (NOON, today):
        bench.commit(rows(range(2), day, day, **OPEN), rows(range(5, 6), day, day, price_id="base:old"))
        bench.commit(rows(range(1), day, day + timedelta(hours=1), **priced))
        bench.commit(rows(range(5, 6), day, day + timedelta(hours=1), price_id="base:old", **ENDED))
    (correction,) = read_rows(bench.lake, CORRECTIONS).to_pylist()
    assert correction.pop("priced_at") >= began
    assert correction == {
        "trace_id": f"{0:032x}",
        "span_id": f"{0:016x}",
        "ingested_at": NOON,
        "reason": "resent",
        "corrected_by": NOON + timedelta(hours=1),
        "old_price_id": None,
        "price_id": "base:x",
        "old_cost_usd": None,
        "cost_usd": Decimal("0.010000000000"),
        "cost_input": None,
        "cost_cache_read": None,
        "cost_cache_write": None,
        "cost_output": Decimal("0.010000000000"),
        "cost_other": None,
        "unpriced_reason": None,
        "dt": NOON.date(),
    }


def test_what_is_superseded_by_a_commit_that_is_not_there_yet_counts(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.commit(rows(range(3), **OPEN))
    looks: list[Answer] = []

    def look(*arguments: object, **named: object) -> bool:
        looks.append(spans(bench))
        return plain(*arguments, **named)  # type: ignore[arg-type]

    plain = append_unless_changed
    monkeypatch.setattr(commit, "append_unless_changed", look)
    bench.commit(rows(range(3), taken=LATER, **ENDED))
    assert read_rows(bench.lake, SUPERSEDED).num_rows == 3
    assert looks == [[(number, None, None) for number in range(3)]]
    assert [row[1] for row in spans(bench)] == [20, 20, 20]


def test_what_others_commit_between_check_and_commit_is_checked_against(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.commit(rows(range(3), **OPEN))
    plain = append_unless_changed

    def after_another(delta: object, files: Sequence[DataFile], **named: object) -> bool:
        monkeypatch.setattr(commit, "append_unless_changed", plain)
        others = pa.concat_tables([rows(range(10, 12)), rows(range(12, 13), taken=LATER, **OPEN)])
        add_files(bench.lake, write_days(bench.lake, "other", others), writer="other", version=0)
        return plain(delta, files, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(commit, "append_unless_changed", after_another)
    bench.commit(rows(range(2), taken=LATER, **ENDED), rows(range(10, 16), **ENDED))
    assert [row[:2] for row in spans(bench)] == [
        *((number, 20) for number in (0, 1)),
        (2, None),
        *((number, 20) for number in range(10, 16)),
    ]


def test_a_commit_that_others_always_outrun_ends_with_advice(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commit, "append_unless_changed", lambda *_, **__: False)
    with pytest.raises(LakeError, match="it is tried again"):
        bench.commit(rows(range(1)))
    monkeypatch.undo()
    committer = Committer(bench.home, bench.lake)
    assert committer.step()
    assert [row[0] for row in spans(bench)] == [0]


@pytest.mark.parametrize("table", [SUPERSEDED, CORRECTIONS])
def test_tables_beside_the_spans_stay_few_files(
    bench: Bench, table: LakeTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(maintain, "MOST_SMALL_FILES", 3)
    monkeypatch.setattr(commit, "MOST_SEGMENTS", 1)
    bench.commit(*(rows(range(n, n + 1), cost_usd=None) for n in range(9)))
    bench.commit(*(rows(range(n, n + 1), taken=LATER, **ENDED) for n in range(9)))
    assert ("merge", table.name) in [(did.job, did.table) for did in run_jobs(bench.lake, Terms())]
    live = read_rows(bench.lake, table)
    assert live.num_rows == 9
    assert len(list((bench.lake / table.name).glob("dt=*/merged-*.parquet"))) > 0
    assert all(file.start_min <= file.start_max for file in live_files(open_table(bench.lake, table), table))
    assert {row[1:] for row in spans(bench)} == {(20, Decimal("0.010000000000"))}
