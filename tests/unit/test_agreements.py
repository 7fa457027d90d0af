"""Fees that calls share, commitments, and rates of exchange, as SQL shows them."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from ledger_rows import call, make_lake
from spanledger import contract
from spanledger.contract_file import read_contract
from spanledger_analytics.connection import connect

CONTRACT = """
[[fee]]
name = "PTU"
provider = "openai"
models = ["gpt-5", "gpt-5-*"]
usd_per_month = "1000.000000000001"
spread = "tokens"
from = 2026-08-01
to = 2026-10-01

[[fee]]
name = "seats"
usd_per_month = 300
from = 2026-09-01
to = 2026-11-01

[[commitment]]
name = "2026"
provider = "openai"
usd = "12000000"
from = 2026-09-01
to = 2027-01-01

[[fx]]
currency = "EUR"
from = 2026-09-01
usd = "1.0856"
"""
SEPTEMBER = datetime(2026, 9, 10, 12, tzinfo=UTC)


@pytest.fixture(autouse=True)
def _agreed(tmp_path: Path) -> Iterator[None]:
    path = tmp_path / "contract.toml"
    path.write_text(CONTRACT, "utf-8")
    contract.use(read_contract(path))
    yield
    contract.use(contract.NONE)


def ask(lake: Path, query: str) -> list[tuple[Any, ...]]:
    return connect(lake).execute(query).fetchall()


def test_a_fee_is_shared_by_what_its_calls_use_to_the_last_pico_dollar(tmp_path: Path) -> None:
    lake = make_lake(
        tmp_path / "lake",
        [
            call(1, 1, SEPTEMBER, "gpt-5", 1000, 0, team_id="growth"),
            call(1, 2, SEPTEMBER, "gpt-5-mini", 1000, 0, team_id="support"),
            call(1, 3, SEPTEMBER, "gpt-5-mini", 1000, 0),
            call(1, 4, SEPTEMBER, "gpt-4-turbo", 9000, 900, team_id="growth"),  # not a model of the fee
        ],
    )

    shares = ask(
        lake,
        "select model, team_id, share_usd from fee_shares where fee = 'PTU' and month = '2026-09-01' order by 1, 2",
    )

    assert shares == [
        ("gpt-5", "growth", Decimal("333.333333333333")),
        ("gpt-5-mini", "support", Decimal("333.333333333334")),
        ("gpt-5-mini", None, Decimal("333.333333333334")),
    ]


def test_shares_of_every_month_add_up_to_the_fee_whoever_called(tmp_path: Path) -> None:
    chance = random.Random(5)
    rows = [
        call(
            number,
            1,
            SEPTEMBER - timedelta(days=25) + timedelta(hours=chance.randrange(24 * 50)),
            chance.choice(["gpt-5", "gpt-5-mini", "claude-haiku-4-5", "llama-4-local"]),
            chance.randrange(1, 10**6),
            chance.randrange(10**5),
            user_id=chance.choice(["a", "b", None]),
            feature=chance.choice(["x", None]),
        )
        for number in range(1, 400)
    ]
    lake = make_lake(tmp_path / "lake", rows)

    totals = ask(lake, "select fee, month, sum(share_usd) from fee_shares group by all order by all")

    ptu, seats = Decimal("1000.000000000001"), Decimal(300)
    assert totals == [
        ("PTU", date(2026, 8, 1), ptu),
        ("PTU", date(2026, 9, 1), ptu),
        ("seats", date(2026, 9, 1), seats),
        ("seats", date(2026, 10, 1), seats),
    ]
    assert ask(
        lake, "select count(*) from fee_shares where share_usd < 0 or model = 'claude-haiku-4-5' and fee = 'PTU'"
    ) == [(0,)]


def test_a_fee_that_no_call_carries_is_nobodys_and_still_there(tmp_path: Path) -> None:
    lake = make_lake(tmp_path / "lake", [call(1, 1, SEPTEMBER, "claude-haiku-4-5", team_id="growth")])

    shares = ask(lake, "select month, team_id, share_usd, provisional from fee_shares where fee = 'PTU' order by 1")

    fee = Decimal("1000.000000000001")
    assert shares == [(date(2026, 8, 1), None, fee, False), (date(2026, 9, 1), None, fee, False)]


def test_a_month_under_way_is_provisional(tmp_path: Path) -> None:
    now = datetime.now(UTC) + timedelta(hours=1)  # of a month that is not over before the test is
    path = tmp_path / "running.toml"
    path.write_text(f'[[fee]]\nname = "now"\nusd_per_month = 10\nfrom = {now.date().replace(day=1)}\n', "utf-8")
    contract.use(read_contract(path))
    lake = make_lake(tmp_path / "lake", [call(1, 1, now, team_id="growth")])

    assert ask(lake, "select team_id, share_usd, provisional from fee_shares") == [("growth", Decimal(10), True)]


def test_a_commitment_says_what_was_spent_of_it_and_how_many_calls_have_no_price(tmp_path: Path) -> None:
    lake = make_lake(
        tmp_path / "lake",
        [
            call(1, 1, SEPTEMBER, "gpt-5", 10**8, 0),
            call(1, 2, SEPTEMBER, "gpt-9", provider="openai"),
            call(1, 3, SEPTEMBER - timedelta(days=30), "gpt-5", 10**8, 0),
            call(1, 4, SEPTEMBER, "claude-haiku-4-5"),
            call(1, 5, SEPTEMBER, "gpt-9", provider="openai", billing_basis="plan", unpriced_reason="plan"),
        ],
    )

    used = ask(lake, "select commitment, committed_usd, spent_usd, left_usd, unpriced_calls from commitments")

    assert used == [("2026", Decimal(12_000_000), Decimal(125), Decimal(11_999_875), 1)]


def test_rates_of_exchange_are_exact_and_views_are_empty_without_a_contract(tmp_path: Path) -> None:
    assert ask(tmp_path / "lake", "select * from fx_rates") == [("EUR", date(2026, 9, 1), Decimal("1.0856"))]

    contract.use(contract.NONE)
    for view in ("fees", "fee_shares", "commitments", "fx_rates"):
        assert ask(tmp_path / "lake", f"select * from {view}") == []
