"""Money that had been booked and was put right: what changed, when, and by how much."""

from __future__ import annotations

from datetime import date
from typing import Final

import polars as pl

from spanledger_collector.tables import CORRECTIONS, SETTLEMENTS

from .connection import Ledger

_NO_DAY: Final = date(1970, 1, 1)


def corrections(ledger: Ledger) -> pl.DataFrame:
    """Return a row a UTC day of writing, reason and pair of price ids, latest first.

    Columns: corrected_on, reason (repriced | resent), old_price_id, price_id, calls, first_day and last_day (of the
    calls), old_usd, new_usd, difference_usd (exact US dollars), unpriced_before, unpriced_now (calls).
    """
    # A correction says all that is told here; whose it is only its span tells.
    day = _NO_DAY if ledger.scope.is_everything else None
    return ledger.ask(
        "corrections",
        first=day,
        last=day,
        corrections=ledger.files_of(CORRECTIONS),
        settlements=ledger.files_of(SETTLEMENTS),
    )
