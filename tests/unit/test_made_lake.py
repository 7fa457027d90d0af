"""The lake that benchmarks are run on says what a real one says: trees, prices, and tags that settlements hand down."""

from __future__ import annotations

from contextlib import closing
from datetime import date
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pytest

from made.files import LAST, Made, made_lake
from made.population import populate
from made.rows import day_rows
from made.traces import make_day
from spanledger_analytics.connection import connect
from spanledger_collector.pricing import price_rows
from spanledger_collector.row import MONEY_PARTS

DAY = date(2026, 10, 6)
PEOPLE = populate(1_000_000)


@pytest.fixture(scope="module")
def rows() -> pa.Table:
    return day_rows(PEOPLE, make_day(PEOPLE, DAY.toordinal(), 300, 0.0), DAY, fingerprints=True)


def answer(lake: Path, query: str) -> list[tuple[object, ...]]:
    with closing(connect(lake)) as connection:
        return connection.execute(query).fetchall()


def test_spans_of_a_trace_hang_together(rows: pa.Table) -> None:
    spans = {(row["trace_id"], row["span_id"]): row for row in rows.to_pylist()}
    assert len(spans) == rows.num_rows
    for (trace, _), row in spans.items():
        if row["parent_span_id"] is not None:
            above = spans[trace, row["parent_span_id"]]
            assert above["role"] in ("agent", "other")
            assert above["start_time"] <= row["start_time"]
            assert above["session_id"] == row["session_id"]


def test_money_is_that_of_the_price_book(rows: pa.Table) -> None:
    filled = ("cost_usd", *MONEY_PARTS, "unpriced_reason", "cost_source", "price_id", "matched_model")
    failed = pa.array([reason == "error" for reason in rows["unpriced_reason"].to_pylist()])
    bare = rows.filter(pa.compute.invert(failed))
    for name in filled:
        index = bare.schema.get_field_index(name)
        bare = bare.set_column(index, bare.schema.field(index), pa.nulls(bare.num_rows, bare.schema.field(index).type))
    assert price_rows(bare).equals(rows.filter(pa.compute.invert(failed)))
    assert pa.compute.sum(rows["cost_usd"]).as_py() > Decimal(1)


def test_what_rules_did_is_as_the_collector_books_it_and_leaves_other_lakes_as_they_are(
    rows: pa.Table, tmp_path: Path
) -> None:
    controlled = day_rows(PEOPLE, make_day(PEOPLE, DAY.toordinal(), 300, 0.0), DAY, fingerprints=True, controlled=0.3)
    plain = pa.compute.is_null(controlled["guard_policy"])
    assert controlled.filter(plain).equals(rows.filter(plain))
    lake = made_lake(tmp_path, Made(4_000, 2, controlled=0.3, maintained=False))
    done = (
        "select rule, kind, action, shadow, bool_or(refused), count(*) > 20 from guard_events group by all order by all"
    )
    assert answer(lake, done) == [
        ("a team's month", "budget", "degrade", False, False, True),
        ("a user's day", "budget", "block", False, True, True),
        ("short questions", "route", "allow", False, False, True),
        ("short questions", "route", "allow", True, False, True),
        ("the same again", "cache", "allow", False, False, True),
    ]
    free = "select distinct cost_usd, unpriced_reason from spans where cache_hit or guard_action = 'block'"
    assert answer(lake, free) == [(Decimal(0), None)]


def test_the_same_seed_makes_the_same_rows(rows: pa.Table) -> None:
    again = day_rows(PEOPLE, make_day(PEOPLE, DAY.toordinal(), 300, 0.0), DAY, fingerprints=True)
    assert again.equals(rows)


def test_settlements_hand_down_what_the_root_alone_says(tmp_path: Path) -> None:
    plain, at_root = (made_lake(tmp_path, Made(4_000, 2, share, maintained=False)) for share in (0.0, 0.3))
    who = (
        "select user_id, team_id, customer_id, feature, session_id, count(*), sum(input_tokens), sum(cost_usd)"
        " from llm_calls group by all order by all"
    )
    maintained = made_lake(tmp_path, Made(4_000, 2, 0.3))
    assert answer(at_root, who) == answer(plain, who) == answer(maintained, who)
    settled = "select round(count(*) / (select count(*) from llm_calls), 1) from settlements"
    assert answer(at_root, settled) == [(0.3,)]
    ends = "select max(dt), count(distinct dt) from spans"
    assert answer(plain, ends) == [(LAST, 2)]


def test_a_lake_is_kept_until_what_it_is_made_of_changes(tmp_path: Path) -> None:
    made = Made(2_000, 1, maintained=False)
    lake = made_lake(tmp_path, made)
    before = sorted((lake / "spans").rglob("*.parquet"))
    written = [file.stat().st_mtime_ns for file in before]
    assert [
        file.stat().st_mtime_ns for file in sorted((made_lake(tmp_path, made) / "spans").rglob("*.parquet"))
    ] == written
