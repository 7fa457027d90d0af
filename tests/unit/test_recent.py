"""One call of which two emitters tell in different commits: the later row is known, and has no money."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from committing import NOON, Bench, rows
from spanledger_analytics.connection import connect
from spanledger_collector import recent
from spanledger_collector.commit import Committer
from spanledger_collector.lake import DataFile, write_file
from spanledger_collector.recent import RecentCalls

USD = Decimal("0.010000000000")
CALL: dict[str, Any] = {
    "response_id": "chatcmpl-0123456789abcdef",
    "provider": "openai",
    "response_model": "gpt-5",
    "input_tokens": 10,
    "output_tokens": 20,
    "usage_state": "reported",
    "duration_us": 1_000_000,
}
OURS: dict[str, Any] = {**CALL, "dialect": "spanledger", "scope_name": "spanledger", "trace_id": "a" * 32}
GATEWAY: dict[str, Any] = {**CALL, "dialect": "openinference", "scope_name": "gateway", "trace_id": "b" * 32}


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def commit(bench: Bench, *commits: tuple[pa.Table, ...]) -> list[tuple[object, ...]]:
    """Commit by one committer, and return number, duplicate_of and cost of every row."""
    committer = Committer(bench.home, bench.lake)
    for segment, table in enumerate([table for tables in commits for table in tables]):
        bench.seal(segment)
        bench.stage(segment, table)
        if any(table is tables[-1] for tables in commits):
            assert committer.step()
    query = "select ('0x' || span_id)::bigint, duplicate_of, cost_usd, price_id from spans order by all"
    return connect(bench.lake).execute(query).fetchall()


@pytest.mark.parametrize("together", [True, False])
def test_a_second_sight_in_a_later_segment_is_charged_where_the_first_is(bench: Bench, together: bool) -> None:
    first = rows(range(1, 2), price_id="base:x", **OURS)
    second = pa.concat_tables([rows(range(2, 3), price_id="base:x", **GATEWAY), rows(range(5, 6))])
    seen = commit(bench, (first, second)) if together else commit(bench, (first,), (second,))
    assert seen == [(1, None, USD, "base:x"), (2, f"{1:016x}", None, None), (5, None, USD, None)]


def test_a_third_sight_names_the_span_that_has_the_money(bench: Bench) -> None:
    marked: dict[str, Any] = GATEWAY | {"duplicate_of": "e" * 16, "cost_usd": None}
    third: dict[str, Any] = GATEWAY | {"scope_name": "framework", "dialect": "one-of-tomorrow"}
    seen = commit(bench, (rows(range(2, 3), **marked),), (rows(range(3, 4), NOON + timedelta(seconds=1), **third),))
    assert [row[:3] for row in seen] == [(2, "e" * 16, None), (3, "e" * 16, None)]


@pytest.mark.parametrize(
    "other",
    [
        pytest.param({"response_id": "short"}, id="an id that is no proof"),
        pytest.param({"input_tokens": 11}, id="other tokens"),
        pytest.param({"scope_name": "spanledger"}, id="the same emitter"),
        pytest.param({"start_time": NOON + timedelta(minutes=1)}, id="another time"),
        pytest.param({"role": "tool"}, id="no call"),
    ],
)
def test_what_is_not_the_same_call_keeps_its_money(bench: Bench, other: dict[str, Any]) -> None:
    ours: dict[str, Any] = OURS | ({"response_id": "short"} if other.get("response_id") else {})
    seen = commit(bench, (rows(range(1, 2), **ours),), (rows(range(2, 3), **(GATEWAY | other)),))
    assert [row[:3] for row in seen] == [(1, None, USD), (2, None, USD)]


def test_a_better_witness_that_comes_later_is_left_to_settling(bench: Bench) -> None:
    seen = commit(bench, (rows(range(2, 3), **GATEWAY),), (rows(range(1, 2), **OURS),))
    assert [row[:3] for row in seen] == [(1, None, USD), (2, None, USD)]


def test_calls_are_forgotten_after_a_time_and_beyond_a_number(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recent, "MOST_CALLS", 4)
    now = 0.0
    calls = RecentCalls(bench.lake, lambda: now)

    def see(number: int) -> DataFile:
        ours = write_file(bench.lake, f"{number}", rows(range(number, number + 1), **(OURS | id_of(number))))
        return calls.mark(ours, [])

    def is_known(number: int, first: DataFile) -> bool:
        gateway = write_file(bench.lake, "gateway", rows(range(99, 100), **(GATEWAY | id_of(number))))
        return calls.mark(gateway, [first]).path.endswith("/gateway-known.parquet")

    def id_of(number: int) -> dict[str, Any]:
        return {"response_id": f"chatcmpl-{number:016}"}

    first = see(0)
    now += recent.KEPT_S - 1
    assert is_known(0, first)
    now += recent.KEPT_S + 1
    assert not is_known(0, first)
    now += recent.KEPT_S + 1
    second = see(1)
    for number in range(2, 7):
        now += 301
        see(number)
    assert not is_known(1, second)
