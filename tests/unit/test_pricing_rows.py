"""Pricing a batch of rows in the collector.

The short form prices 10,000 random calls as rows and one by one; with SPANLEDGER_PROVE set, 100,000.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from price_cases import Call, random_calls
from price_rows import FILLED, filled, row_of
from spanledger import contract
from spanledger.contract_file import read_contract
from spanledger.pricing import MAX_COUNT, PriceContext, price
from spanledger.usage import Usage
from spanledger_collector.pricing import price_rows
from spanledger_collector.row import MONEY_PARTS, SCHEMA

CALLS = 100_000 if os.environ.get("SPANLEDGER_PROVE") else 10_000
START = datetime(2026, 11, 1, tzinfo=UTC)
CONTRACT = """
[[price]]
provider = "openai"
model = "gpt-4o"
match = ["gpt-4o*"]
from = 2025-01-01
usd_per_million = { input_tokens = "1.0000001", output_tokens = "3" }

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


def test_rows_cost_what_single_calls_cost_to_the_pico() -> None:
    calls = list(random_calls(CALLS, seed=11, sharing=4))

    priced = price_rows(_table([row_of(call) for call in calls]))

    assert priced.schema == SCHEMA
    columns = [priced[name].to_pylist() for name in FILLED]
    assert len(columns[0]) == len(calls)
    reasons = set()
    for call, ours in zip(calls, zip(*columns, strict=True), strict=True):
        expected = price(call.provider, call.model, call.usage, call.at_ns, call.context)
        assert ours == tuple(filled(expected).values()), call
        reasons.add(expected.unpriced_reason)
    assert reasons == {None, "no_price"}


def test_under_a_contract_rows_cost_what_single_calls_cost(tmp_path: Path) -> None:
    (tmp_path / "contract.toml").write_text(CONTRACT, "utf-8")
    listed = [(call, price(call.provider, call.model, call.usage, call.at_ns, call.context)) for call in _of_accounts()]
    contract.use(read_contract(tmp_path / "contract.toml"))
    try:
        calls = [call for call, _ in listed]
        priced = price_rows(_table([row_of(call) for call in calls]))
        columns = [priced[name].to_pylist() for name in FILLED]
        lowered = 0
        for (call, before), ours in zip(listed, zip(*columns, strict=True), strict=True):
            expected = price(call.provider, call.model, call.usage, call.at_ns, call.context)
            assert ours == tuple(filled(expected).values()), call
            lowered += expected.cost_source == "contract" and (expected.cost_pico or 0) < (before.cost_pico or 0)
    finally:
        contract.use(contract.NONE)
    assert lowered > 100


def _of_accounts() -> list[Call]:
    return [
        replace(call, context=call.context._replace(account="org-7" if number % 2 else None))
        for number, call in enumerate(random_calls(5_000, seed=14, sharing=4))
    ]


def test_the_parts_add_up_to_the_cost() -> None:
    priced = price_rows(_table([row_of(call) for call in random_calls(5_000, seed=12)]))

    rows = priced.select(["cost_usd", *MONEY_PARTS]).to_pylist()

    assert any(row["cost_usd"] for row in rows)
    for row in rows:
        parts = [row[name] for name in MONEY_PARTS]
        assert (None if None in parts else sum(parts, Decimal(0))) == row["cost_usd"]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"usage_state": "missing"}, "no_usage"),
        ({"usage_state": None, "input_uncached_tokens": None, "output_text_tokens": 0}, "no_usage"),
        ({"usage_state": "inconsistent"}, "inconsistent"),
        ({"input_tokens": 999}, "inconsistent"),
        ({"input_uncached_tokens": -1}, "inconsistent"),
        ({"input_uncached_tokens": MAX_COUNT + 1}, "inconsistent"),
        ({"input_uncached_tokens": MAX_COUNT, "output_text_tokens": MAX_COUNT}, "inconsistent"),
        ({"units": [("web_searches", Decimal(-1))]}, "inconsistent"),
        ({"units": [("moon_landings", Decimal(1))]}, "no_price"),
        ({"provider": None}, "unknown_provider"),
        ({"provider": "nobody"}, "unknown_provider"),
        ({"response_model": "nothing", "request_model": None}, "unknown_model"),
        ({"response_model": None, "request_model": None}, "unknown_model"),
    ],
)
def test_a_row_that_cant_be_priced_says_why(changes: Mapping[str, object], reason: str) -> None:
    good = _plain_row()

    priced = price_rows(_table([good, {**good, **changes}, good])).to_pylist()

    assert [row["cost_usd"] for row in priced] == [Decimal("0.068"), None, Decimal("0.068")]
    assert [priced[1][name] for name in FILLED[1:8]] == [None] * 5 + [reason, "none"]


def test_the_model_asked_for_is_used_where_the_answering_one_is_unknown() -> None:
    row = {**_plain_row(), "response_model": "my-deployment", "request_model": "gpt-4-turbo"}

    (priced,) = price_rows(_table([row])).to_pylist()

    assert (priced["cost_usd"], priced["matched_model"]) == (Decimal("0.068"), "gpt-4-turbo")


def test_other_rows_pass_as_they_are() -> None:
    good = _plain_row()
    others = [
        {**good, "role": "tool", "cost_usd": Decimal("0.5"), "cost_other": Decimal("0.5"), "cost_source": "declared"},
        {**good, "role": "agent", "unpriced_reason": "aggregate"},
        {**good, "unpriced_reason": "error"},
        {**good, "duplicate_of": "00f067aa0ba902b7"},
        {**good, "cost_usd": Decimal("0.25"), "cost_source": "provider"},
        {**good, "role": None},
    ]
    table = _table(others)

    assert price_rows(table).equals(table)
    mixed = price_rows(_table([*others, good]))
    assert mixed.slice(0, len(others)).equals(table)
    assert mixed["cost_usd"].to_pylist()[-1] == Decimal("0.068")


def test_an_empty_batch_stays_empty() -> None:
    assert price_rows(SCHEMA.empty_table()).equals(SCHEMA.empty_table())


def test_a_call_too_dear_for_64_bits_of_arithmetic_is_exact() -> None:
    """$10 a million times 2**34 tokens is $171,798.69184: beyond the fast path, within the column."""
    dear = {**_plain_row(), "input_uncached_tokens": 2**34, "output_text_tokens": 0}

    (priced,) = price_rows(_table([dear])).to_pylist()

    assert priced["cost_usd"] == Decimal("171798.69184")
    assert priced["price_id"] == "base:openai/gpt-4-turbo"


def test_slices_and_chunks_are_priced_like_whole_tables() -> None:
    table = _table([row_of(call) for call in random_calls(300, seed=13)])
    whole = price_rows(table)

    sliced = price_rows(table.slice(17, 200))
    chunked = price_rows(pa.concat_tables([table.slice(0, 90), table.slice(90)]))

    assert sliced.equals(whole.slice(17, 200))
    assert chunked.equals(whole)


def _plain_row() -> dict[str, Any]:
    call = Call(
        "openai",
        "gpt-4-turbo",
        Usage(input_uncached_tokens=5000, output_text_tokens=600),
        int(START.timestamp()) * 10**9,
        PriceContext(),
    )
    return {**row_of(call), "input_tokens": None, "output_tokens": None}


def _table(rows: list[dict[str, Any]]) -> pa.Table:
    return pa.Table.from_pylist(rows, schema=SCHEMA)
