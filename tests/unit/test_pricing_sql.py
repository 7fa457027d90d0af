"""Pricing in SQL: one by one, as a batch and in SQL a call costs the same, to the pico-dollar.

The short form prices a few thousand random calls; with SPANLEDGER_PROVE set, a million.
"""

from __future__ import annotations

import json
import os
import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from price_cases import Call, random_calls
from price_rows import FILLED, broken, filled, row_of
from spanledger import contract
from spanledger.contract_file import read_contract
from spanledger.pricing import PriceContext, price
from spanledger.rates import TOKEN_METERS
from spanledger.usage import Usage
from spanledger_analytics.connection import open_connection
from spanledger_analytics.pricing import priced
from spanledger_collector.pricing import price_rows
from spanledger_collector.row import MONEY_PARTS, SCHEMA

PROVE = bool(os.environ.get("SPANLEDGER_PROVE"))
CHUNKS, CALLS, SHARING = (20, 50_000, 50) if PROVE else (1, 4_000, 8)
CONTRACT = """
[[price]]
provider = "openai"
model = "gpt-4o"
match = ["gpt-4o*"]
from = 2025-01-01
usd_per_million = { input_tokens = "1.0000001", output_tokens = "3" }

[[price]]
provider = "*"
model = "dear"
match = ["text-embedding*", "claude-3-h*"]
usd_per_million = { input_tokens = "900000000000", output_tokens = "8000000000" }
usd_per_unit = { web_searches = "0.000000000000000001", input_characters = "99999999" }

[[discount]]
name = "cache"
provider = "*"
account = "org-7"
meters = ["cache_read_tokens", "web_searches"]
percent = "33.3"
from = 2024-03-01T07:00:00Z

[[discount]]
name = "all"
provider = "*"
models = ["claude*", "gemini*", "gpt*"]
percent = "12.5"
to = 2026-11-15
"""


@pytest.fixture
def connection() -> Iterator[duckdb.DuckDBPyConnection]:
    with open_connection() as opened:
        yield opened


@pytest.fixture
def contract_in_force(tmp_path: Path) -> Iterator[None]:
    (tmp_path / "contract.toml").write_text(CONTRACT, "utf-8")
    contract.use(read_contract(tmp_path / "contract.toml"))
    yield
    contract.use(contract.NONE)


def test_a_call_costs_the_same_one_by_one_as_a_batch_and_in_sql(connection: duckdb.DuckDBPyConnection) -> None:
    seen: Counter[str] = Counter()
    for chunk in range(CHUNKS):
        calls = list(random_calls(CALLS, seed=100 + chunk, sharing=SHARING))
        batch = price_rows(_table([row_of(call) for call in calls]))
        columns = [batch[name].to_pylist() for name in FILLED]
        for call, ours in zip(calls, zip(*columns, strict=True), strict=True):
            expected = price(call.provider, call.model, call.usage, call.at_ns, call.context)
            assert ours == tuple(filled(expected).values()), call
            seen[expected.unpriced_reason or "priced"] += 1
        _assert_same(_in_sql(connection, [row_of(call) for call in calls]), batch)
    assert set(seen) == {"priced", "no_price"}
    print(f"evidence: {json.dumps({'calls_priced_three_ways': seen.total(), 'of_them': seen})}")


def test_broken_rows_say_the_same_in_sql_as_in_a_batch(connection: duckdb.DuckDBPyConnection) -> None:
    seen: Counter[str] = Counter()
    for chunk in range(CHUNKS if PROVE else 1):
        chance = random.Random(chunk)
        calls = random_calls(CALLS // 2, seed=200 + chunk, sharing=SHARING)
        rows = [broken(row_of(call), chance) for call in calls]
        batch = price_rows(_table(rows))
        _assert_same(_in_sql(connection, rows), batch)
        seen.update(batch["unpriced_reason"].to_pylist())
    assert set(seen) >= {None, "no_usage", "inconsistent", "unknown_provider", "unknown_model", "no_price", "error"}
    told = {reason or "priced": count for reason, count in seen.items()}
    print(f"evidence: {json.dumps({'broken_rows_priced_two_ways': seen.total(), 'broken': told})}")


@pytest.mark.usefixtures("contract_in_force")
def test_under_a_contract_a_call_costs_the_same_in_sql(connection: duckdb.DuckDBPyConnection) -> None:
    chance, rows = random.Random(7), []
    for number, call in enumerate(random_calls(CALLS // 2, seed=14, sharing=SHARING)):
        row = row_of(replace(call, context=call.context._replace(account="org-7" if number % 2 else None)))
        rows.append(broken(row, chance) if number % 5 == 0 else row)

    batch = price_rows(_table(rows))

    _assert_same(_in_sql(connection, rows), batch)
    assert Counter(batch["cost_source"].to_pylist())["contract"] > CALLS // 20


def test_no_row_is_lost_or_doubled_and_columns_stay_as_they_are(connection: duckdb.DuckDBPyConnection) -> None:
    rows = [row_of(call) for call in random_calls(500, seed=3)] * 3
    answer = _in_sql(connection, rows)

    kept = [name for name in SCHEMA.names if name not in FILLED]
    assert answer.column_names == SCHEMA.names
    assert answer.select(kept).equals(_numbered(_table(rows)).select(kept))


def test_parts_add_up_and_more_tokens_of_a_meter_are_never_cheaper(connection: duckdb.DuckDBPyConnection) -> None:
    """Within a tier, which total input decides: more output, and input beyond 600,000 tokens where no tier begins."""
    chance, rows = random.Random(5), []
    for call in random_calls(CALLS // 4, seed=21, sharing=SHARING):
        usage = call.usage._replace(input_uncached_tokens=600_000 + chance.randrange(1000))
        meter = chance.choice(TOKEN_METERS)
        more = usage._replace(**{meter: getattr(usage, meter) + chance.randrange(1, 5000)})
        rows += [row_of(replace(call, usage=one)) for one in (usage, more)]

    answer = _in_sql(connection, rows).select(["cost_usd", *MONEY_PARTS]).to_pylist()

    assert len(answer) == len(rows)
    for row in answer:
        parts = [row[name] for name in MONEY_PARTS]
        assert row["cost_usd"] == (None if None in parts else sum(parts, Decimal(0)))
    both = [(less["cost_usd"], more["cost_usd"]) for less, more in zip(answer[::2], answer[1::2], strict=True)]
    known = [(less, more) for less, more in both if less is not None and more is not None]
    assert len(known) > len(both) // 2
    assert [(less, more) for less, more in known if more < less] == []


def test_calls_of_parquet_files_are_priced_where_they_lie(
    connection: duckdb.DuckDBPyConnection, tmp_path: Path
) -> None:
    rows = [row_of(call) for call in random_calls(300, seed=9)]
    for part in range(2):
        pq.write_table(_numbered(_table(rows)).slice(part * 150, 150), tmp_path / f"{part}.parquet")
    connection.execute(f"create view lake as select * from read_parquet('{tmp_path}/*.parquet')")

    answer = priced(connection, connection.table("lake")).order("span_id").to_arrow_table()

    _assert_same(answer, price_rows(_table(rows)))


def test_nothing_to_price_is_no_rows(connection: duckdb.DuckDBPyConnection) -> None:
    assert _in_sql(connection, []).num_rows == 0


def test_a_call_too_dear_for_64_bits_of_arithmetic_is_exact(connection: duckdb.DuckDBPyConnection) -> None:
    """$10 a million times 2**34 tokens is $171,798.69184; 2**42 of them are no call."""
    usages = [Usage(input_uncached_tokens=2**34), Usage(input_uncached_tokens=2**42)]
    at_ns = int(datetime(2026, 11, 1, tzinfo=UTC).timestamp()) * 10**9
    rows = [row_of(Call("openai", "gpt-4-turbo", usage, at_ns, PriceContext())) for usage in usages]

    answer = _in_sql(connection, rows)

    assert answer["cost_usd"].to_pylist() == [Decimal("171798.69184"), None]
    assert answer["unpriced_reason"].to_pylist() == [None, "inconsistent"]


def _table(rows: list[dict[str, Any]]) -> pa.Table:
    return pa.Table.from_pylist(rows, schema=SCHEMA)


def _numbered(table: pa.Table) -> pa.Table:
    """Give each row a span_id, by which answers are put in order: a join keeps none."""
    place = SCHEMA.get_field_index("span_id")
    names = pa.array([f"{number:016x}" for number in range(table.num_rows)], pa.string())
    return table.set_column(place, SCHEMA.field(place), names)


def _in_sql(connection: duckdb.DuckDBPyConnection, rows: list[dict[str, Any]]) -> pa.Table:
    answer = priced(connection, connection.from_arrow(_numbered(_table(rows)))).order("span_id").to_arrow_table()
    return answer.cast(SCHEMA)


def _assert_same(ours: pa.Table, expected: pa.Table) -> None:
    assert ours.num_rows == expected.num_rows
    for name in FILLED:
        found, wanted = ours[name].to_pylist(), expected[name].to_pylist()
        unlike = [place for place, values in enumerate(zip(found, wanted, strict=True)) if values[0] != values[1]]
        assert [(name, found[at], wanted[at], expected.slice(at, 1).to_pylist()) for at in unlike[:1]] == []
