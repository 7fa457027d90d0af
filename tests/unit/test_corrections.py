"""What was put right, as the page lists it: the same sums as the view has."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

from ledger_rows import Row, call, make_lake
from spanledger import contract
from spanledger.contract_file import read_contract
from spanledger_analytics.connection import Ledger, connect
from spanledger_analytics.corrections import corrections
from spanledger_analytics.scope import EVERYTHING, scope_of_teams
from spanledger_collector.candidates import Wanted
from spanledger_collector.repricing import reprice

DAY = datetime(2026, 11, 3, 9, tzinfo=UTC)
CONTRACT = """
[[price]]
provider = "openai"
model = "gpt-99"
usd_per_million = { input_tokens = "2", output_tokens = "4" }
"""


def test_a_repricing_is_a_row_a_pair_of_prices_with_what_it_changed(tmp_path: Path) -> None:
    began = datetime.now(UTC).date()
    unknown: Row = {"provider": "openai", "unpriced_reason": "unknown_model", "billing_basis": "usage"}
    rows = [
        call(1, 1, DAY, "gpt-99", 1_000_000, 0, **unknown),
        call(2, 1, DAY + timedelta(days=1), "gpt-99", 500_000, 1_000, **unknown),
        call(3, 1, DAY, "gpt-5"),
    ]
    lake = make_lake(tmp_path / "lake", rows)
    assert corrections(Ledger(lake, EVERYTHING)).is_empty()
    (tmp_path / "contract.toml").write_text(CONTRACT)
    contract.use(read_contract(tmp_path / "contract.toml"))
    try:
        done = list(reprice(lake, Wanted(DAY.date(), (DAY + timedelta(days=1)).date(), "openai", "gpt-99")))
    finally:
        contract.use(contract.NONE)
    assert sum(day.calls for day in done) == 2

    (row,) = corrections(Ledger(lake, EVERYTHING)).to_dicts()
    assert began <= row.pop("corrected_on") <= datetime.now(UTC).date()
    assert row == {
        "reason": "repriced",
        "old_price_id": None,
        "price_id": "contract:openai/gpt-99",
        "calls": 2,
        "first_day": DAY.date(),
        "last_day": (DAY + timedelta(days=1)).date(),
        "old_usd": None,
        "new_usd": Decimal("3.004000000000"),
        "difference_usd": Decimal("3.004000000000"),
        "unpriced_before": 2,
        "unpriced_now": 0,
    }
    nobody = Ledger(lake, scope_of_teams(["search"]))
    assert corrections(nobody).is_empty()
    of_view = connect(lake).execute("select count(*), sum(cost_usd) from corrections").fetchall()
    assert of_view == [(2, Decimal("3.004000000000"))]
