"""Amounts in another currency: exact, by the rate of the day, and NULL where there is none."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import ROUND_HALF_UP, Decimal, localcontext
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest
from hypothesis import given, settings, strategies as st

from ledger_rows import call, make_lake
from spanledger import contract
from spanledger.contract import Contract, FxRate
from spanledger_analytics.currency import add_currency, first_rate
from spanledger_analytics.snapshot import files_now
from spanledger_cli.sql import ask

SEPTEMBER, OCTOBER = date(2026, 9, 1), date(2026, 10, 1)
RATES = Contract(
    fx=(
        FxRate("EUR", OCTOBER, Decimal("1.1")),
        FxRate("EUR", SEPTEMBER, Decimal("1.0856")),
        FxRate("JPY", SEPTEMBER, Decimal("0.0067")),
    )
)
BEFORE = datetime(2026, 8, 31, 23, 59, 59, 999999, tzinfo=UTC)
PICO = Decimal(1).scaleb(-12)


@pytest.fixture(autouse=True)
def _agreed() -> Iterator[None]:
    contract.use(RATES)
    yield
    contract.use(contract.NONE)


def answer(lake: Path, query: str) -> list[tuple[Any, ...]]:
    """Ask as `spanledger sql` does: on a connection that can reach nothing else."""
    table = ask(files_now(lake), query)
    assert table is not None
    return list(zip(*(column.to_pylist() for column in table.columns), strict=True))


def converted(*asked: tuple[str, str, str]) -> list[object]:
    """Convert (amount, moment, currency) in one question."""
    columns = [f"in_currency({usd}, {moment}, '{code}') as c{place}" for place, (usd, moment, code) in enumerate(asked)]
    ((*found,),) = answer(Path("nowhere"), f"select {', '.join(columns)}")
    return found


def test_the_rate_of_a_day_holds_from_its_first_instant_until_the_next_one() -> None:
    assert converted(
        ("1.0856", "timestamptz '2026-09-01 00:00:00+00'", "EUR"),
        ("1.0856", "timestamptz '2026-09-30 23:59:59.999999+00'", "EUR"),
        ("1.1", "timestamptz '2026-10-01 00:00:00+00'", "EUR"),
        ("1.1", "date '2027-01-01'", "eur"),
        ("1.1", "timestamptz '2026-10-01 01:30:00+02'", "EUR"),  # still September in UTC
    ) == [1, 1, 1, 1, Decimal("1.013264554164")]


def test_without_a_rate_in_force_an_amount_is_unknown_and_dollars_need_none() -> None:
    assert converted(
        ("1", "timestamptz '2026-08-31 23:59:59.999999+00'", "EUR"),
        ("1", "date '2026-09-01'", "GBP"),
        ("null", "date '2026-09-01'", "EUR"),
        ("0.000000000001", "date '2020-01-01'", "USD"),
    ) == [None, None, None, PICO]


def test_a_sum_in_a_currency_is_that_of_its_converted_rows(tmp_path: Path) -> None:
    moments = [BEFORE, datetime(2026, 9, 1, tzinfo=UTC), datetime(2026, 10, 1, tzinfo=UTC)]
    lake = make_lake(tmp_path / "lake", [call(1, number, moment) for number, moment in enumerate(moments)])
    (found,) = answer(
        lake,
        "select sum(in_currency(cost_usd, start_time, 'EUR')) as eur, sum(cost_usd) as usd,"
        " count(cost_usd) - count(in_currency(cost_usd, start_time, 'EUR')) as without_a_rate from llm_calls",
    )
    usd = found[1] / 3
    assert found == (rounded(usd, "1.0856") + rounded(usd, "1.1"), 3 * usd, 1)


def rounded(usd: Decimal, rate: str) -> Decimal:
    with localcontext(prec=60):
        return (usd / Decimal(rate)).quantize(PICO, ROUND_HALF_UP)


@settings(deadline=None, max_examples=5)
@given(
    st.lists(st.decimals(-(10**13), 10**13, places=12), min_size=1, max_size=50),
    st.decimals(PICO, 10**6, places=12),
)
def test_amounts_are_rounded_half_up_away_from_zero_at_the_twelfth_place(usd: list[Decimal], rate: Decimal) -> None:
    money = pa.decimal128(38, 12)
    usd = [amount for amount in usd if abs(amount) < rate * 10**12]
    report = pa.table({"day": [SEPTEMBER] * len(usd), "cost_usd": pa.array(usd, money)})
    found = add_currency(report, ["cost_usd"], "CHF", Contract(fx=(FxRate("CHF", SEPTEMBER, rate),)))
    assert found["cost_chf"].to_pylist() == [rounded(amount, str(rate)) for amount in usd]
    assert found.schema.field("cost_chf").type == money


def test_an_amount_too_large_to_be_exact_is_refused() -> None:
    report = pa.table({"day": [SEPTEMBER], "cost_usd": pa.array([Decimal(10**20)], pa.decimal128(38, 12))})
    with pytest.raises(duckdb.Error):
        add_currency(report, ["cost_usd"], "JPY", RATES)


def test_a_contract_says_since_when_it_has_a_rate() -> None:
    assert (first_rate(RATES, "EUR"), first_rate(RATES, "GBP")) == (SEPTEMBER, None)
