"""The views of prices: what the book says, and what each charged call is made of, to the pico-dollar."""

from __future__ import annotations

import random
from collections import defaultdict
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from ledger_rows import make_lake
from price_cases import Call, random_calls
from price_rows import row_of
from spanledger.instants import END_OF_TIME
from spanledger.pricing import PriceContext, price
from spanledger_analytics.connection import connect
from spanledger_analytics.snapshot import files_now
from spanledger_cli.sql import ask
from spanledger_collector.pricing import price_rows
from spanledger_collector.row import MONEY_PARTS, SCHEMA

ATTO, PICO = Decimal("1e-18"), Decimal("1e-12")
Row = dict[str, Any]
_DAYS = [
    int(datetime.fromisoformat(f"{day}:00Z").timestamp()) * 10**9
    for day in ("2024-06-01T12:00", "2025-02-08T17:00", "2026-08-15T02:00", "2026-11-20T08:00", "2027-01-01T00:00")
]


def test_the_view_of_prices_has_the_history_of_a_model(tmp_path: Path) -> None:
    found = ask(
        files_now(tmp_path),
        "select valid_from, valid_to, unit, price_usd, price_id, place from prices where provider = 'openai' "
        "and model = 'gpt-4o' and context is null and unit in ('input_uncached_tokens', 'output_text_tokens') "
        "order by place, unit",
    )
    assert found is not None
    until = datetime(2024, 10, 2, tzinfo=UTC)
    assert [tuple(row.values()) for row in found.to_pylist()] == [
        (None, until, "input_uncached_tokens", Decimal("0.000005000000000000"), "overlay:openai/gpt-4o", 1),
        (None, until, "output_text_tokens", Decimal("0.000015000000000000"), "overlay:openai/gpt-4o", 1),
        (None, None, "input_uncached_tokens", Decimal("0.000002500000000000"), "base:openai/gpt-4o", 2),
        (None, None, "output_text_tokens", Decimal("0.000010000000000000"), "base:openai/gpt-4o", 2),
    ]


def test_by_the_rows_that_hold_a_call_costs_what_it_is_charged(tmp_path: Path) -> None:
    connection = connect(tmp_path)
    connection.execute("create table listed as select * from prices")
    holding = """
        select unit, arg_min(price_usd, place), arg_min(price_id, place)
        from listed
        where
            provider = $provider and model = $model and context is null
            and (valid_from is null or valid_from <= $at) and (valid_to is null or $at < valid_to)
            and (daily_from is null or daily_from <= strftime($at, '%H:%M:%S') and strftime($at, '%H:%M:%S') < daily_to)
            and (weekdays is null or contains(weekdays, lower(strftime($at, '%a'))))
            and (above is null or $input > above) and (up_to is null or $input <= up_to)
        group by unit
    """
    looked_at = 0
    for call in random_calls(300, seed=31, sharing=1):
        priced = price(call.provider, call.model, call.usage, call.at_ns, PriceContext())
        if priced.cost_pico is None or priced.matched_model != call.model:
            continue
        values = {"at": _moment(call.at_ns), "input": call.usage.input_tokens}
        answer = connection.execute(holding, {"provider": call.provider, "model": call.model, **values}).fetchall()
        prices = {unit: (usd, price_id) for unit, usd, price_id in answer}
        for charge in priced.charges:
            if not charge.unit_price_atto and charge.meter not in prices:
                continue  # of a free model every unit is free, named or not
            assert prices[charge.meter] == (charge.unit_price_atto * ATTO, priced.price_id), call
            looked_at += 1
    assert looked_at > 300


def test_what_a_call_is_made_of_are_its_meters(tmp_path: Path) -> None:
    calls = _calls(600, seed=41)

    charges = _charges(tmp_path, [row_of(call) for call in calls])

    expected = {}
    for number, call in enumerate(calls):
        priced = price(call.provider, call.model, call.usage, call.at_ns, call.context)
        expected[number] = {
            (one.meter, Decimal(one.quantity), one.unit_price_atto * ATTO, one.amount_pico * PICO)
            for one in priced.charges
        }
    found: dict[int, set[tuple[object, ...]]] = defaultdict(set)
    for row in charges:
        found[int(row["span_id"], 16)].add(
            tuple(row[name] for name in ("meter", "quantity", "unit_price_usd", "amount_usd"))
        )
    assert dict(found) == {number: meters for number, meters in expected.items() if meters}


def test_amounts_add_up_to_what_was_booked_whatever_the_book_says_today(tmp_path: Path) -> None:
    """Costs that were declared, stated by a provider, or booked by a price that the book doesn't have any more."""
    chance = random.Random(8)
    rows = [_booked_otherwise(row, chance) for row in _priced(row_of(call) for call in _calls(500, seed=42))]

    charges = _charges(tmp_path, rows, priced=True)

    sums: dict[str, Decimal] = defaultdict(Decimal)
    of_parts: dict[tuple[str, str], Decimal] = defaultdict(Decimal)
    for row in charges:
        sums[row["span_id"]] += row["amount_usd"]
        of_parts[row["span_id"], row["component"]] += row["amount_usd"]
    for number, booked in enumerate(rows):
        name = f"{number:016x}"
        assert sums[name] == (booked["cost_usd"] or 0), booked
        assert {part: of_parts[name, part] for part in MONEY_PARTS} == {part: booked[part] or 0 for part in MONEY_PARTS}
    whole = {row["meter"] for row in charges if row["quantity"] is None}
    assert whole == {*MONEY_PARTS, "cost_usd"}
    assert all((row["quantity"] is None) == (row["unit_price_usd"] is None) for row in charges)


def test_calls_that_were_not_charged_have_no_charges(tmp_path: Path) -> None:
    call = row_of(next(iter(random_calls(1, seed=1))))
    rows = [call | {"response_model": "nothing"}, call | {"role": "tool"}, call | {"duplicate_of": "0" * 16}]
    assert _charges(tmp_path, rows) == []


@pytest.mark.parametrize("query", ["select 1", "select * from spans", "show tables", "select count(*) from charges"])
def test_charges_are_only_made_ready_for_who_may_name_them(tmp_path: Path, query: str) -> None:
    answer = ask(files_now(tmp_path), query)
    assert answer is not None
    names = [row["name"] for row in answer.to_pylist()] if query == "show tables" else []
    assert ("charges" in names) == (query == "show tables")


def _calls(count: int, seed: int) -> list[Call]:
    """Return calls on few days, each of which is a file of the lake."""
    return [replace(call, at_ns=_DAYS[number % len(_DAYS)]) for number, call in enumerate(random_calls(count, seed))]


def _priced(rows: Any) -> list[Row]:
    table = price_rows(pa.Table.from_pylist(list(rows), schema=SCHEMA))
    return table.to_pylist()  # type: ignore[no-any-return]


def _charges(folder: Path, rows: list[Row], *, priced: bool = False) -> list[Row]:
    """Return the rows of `charges` of a lake with these calls, numbered by span_id."""
    known = rows if priced else _priced(rows)
    start = datetime(2026, 1, 1, tzinfo=UTC)
    numbered = [
        row | {"span_id": f"{number:016x}", "trace_id": f"{number:032x}", "ingested_at": start}
        for number, row in enumerate(known)
    ]
    lake = make_lake(folder / "lake", numbered)
    answer: list[Row] = connect(lake).sql("select * from charges").to_arrow_table().to_pylist()
    return answer


def _booked_otherwise(row: Row, chance: random.Random) -> Row:
    if row["cost_usd"] is None:
        return row
    tick = Decimal(chance.randrange(1, 10**6)) * PICO
    declared = {**dict.fromkeys(MONEY_PARTS, Decimal(0)), "cost_other": tick, "cost_usd": tick, "price_id": None}
    return row | chance.choice(
        (
            {},
            {"price_id": "base:gone/model"},
            {part: (row[part] or 0) + tick for part in ("cost_output", "cost_usd")},
            {"cost_input": tick, "cost_usd": row["cost_usd"] - row["cost_input"] + tick},
            {**declared, "cost_source": "provider"},
            {**declared, "cost_source": "declared"},
            dict.fromkeys(MONEY_PARTS),
            {"start_time": row["start_time"] - timedelta(days=900)},
            {"units": [("moon_landings", Decimal("0.000001"))]},
        )
    )


def _moment(at_ns: int) -> datetime:
    assert at_ns < END_OF_TIME
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=at_ns // 1000)
