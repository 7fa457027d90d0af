"""Dated calls whose cost was worked out by hand from published prices, through every way of pricing."""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal

import pyarrow as pa
import pytest

from golden import GOLDEN, Golden
from price_rows import filled, row_of
from spanledger.pricing import price
from spanledger_analytics.connection import open_connection
from spanledger_analytics.pricing import priced
from spanledger_collector.pricing import price_rows
from spanledger_collector.row import SCHEMA

PICO = Decimal("1e-12")


def test_there_are_many_and_each_has_a_source() -> None:
    assert len(GOLDEN) >= 150
    assert len({golden.what for golden in GOLDEN}) == len(GOLDEN)
    assert [golden.what for golden in GOLDEN if not golden.source.startswith("https://")] == []


def test_the_costs_are_the_sums_beside_them() -> None:
    assert [golden.what for golden in GOLDEN if golden.terms and _sum(golden.terms) != golden.cost_usd] == []


def _sum(terms: str) -> Decimal:
    total = Decimal(0)
    for term in terms.split(" + "):
        quantity, rate = term.split("*")
        dollars = Decimal(quantity) * (Decimal(rate[1:]) if rate[0] == "$" else Decimal(rate) / 10**6)
        total += dollars.quantize(PICO, ROUND_HALF_UP)
    return total


@pytest.mark.parametrize("golden", GOLDEN, ids=[golden.what for golden in GOLDEN])
def test_one_call_costs_what_was_worked_out_by_hand(golden: Golden) -> None:
    call = golden.call

    found = price(call.provider, call.model, call.usage, call.at_ns, call.context)

    cost = None if found.cost_pico is None else Decimal(found.cost_pico) * PICO
    assert (cost, found.unpriced_reason) == (golden.cost_usd, golden.reason), found
    assert found.cost_pico is None or found.source


def test_a_batch_of_rows_costs_the_same() -> None:
    rows = pa.Table.from_pylist([row_of(golden.call) for golden in GOLDEN], schema=SCHEMA)

    priced = price_rows(rows)

    assert priced.num_rows == len(GOLDEN)
    assert [(row["cost_usd"], row["unpriced_reason"]) for row in priced.to_pylist()] == [
        (golden.cost_usd, golden.reason) for golden in GOLDEN
    ]


def test_rows_and_single_calls_agree_in_every_part() -> None:
    priced = price_rows(pa.Table.from_pylist([row_of(golden.call) for golden in GOLDEN], schema=SCHEMA)).to_pylist()

    for golden, row in zip(GOLDEN, priced, strict=True):
        call = golden.call
        single = price(call.provider, call.model, call.usage, call.at_ns, call.context)
        assert {name: row[name] for name in filled(single)} == filled(single), golden.what


def test_in_sql_they_cost_the_same() -> None:
    rows = [row_of(golden.call) | {"span_id": f"{number:016x}"} for number, golden in enumerate(GOLDEN)]
    with open_connection() as connection:
        table = connection.from_arrow(pa.Table.from_pylist(rows, schema=SCHEMA))
        answer = priced(connection, table).order("span_id").project("cost_usd, unpriced_reason").fetchall()

    assert answer == [(golden.cost_usd, golden.reason) for golden in GOLDEN]
