"""What has no price, and what to write into the contract for each: the command's list and the page's."""

from __future__ import annotations

import json
from datetime import date
from typing import Final

import polars as pl

from .connection import Ledger

_HELPED: Final = ("unknown_model", "unknown_provider", "no_price")
"""Reasons that a price takes away."""


def unpriced_models(ledger: Ledger, first: date | None = None, last: date | None = None) -> pl.DataFrame:
    """Return provider, model, reason, calls, tokens, first_seen and `add`, most calls first; days are UTC, inclusive.

    `add` is the entry for the contract (docs/contracts.md), empty where no price would help.
    """
    found = ledger.ask("unpriced_models", first=first, last=last)
    return found.with_columns(pl.Series("add", [_entry(row) for row in found.iter_rows(named=True)], pl.String))


def _entry(row: dict[str, object]) -> str:
    if row["reason"] not in _HELPED or not row["model"]:
        return ""
    named = "\n".join(f"{key} = {json.dumps(row[key])}" for key in ("provider", "model"))
    return f'[[price]]\n{named}\nusd_per_million = {{ input_tokens = "?", output_tokens = "?" }}'
