"""Whether controls had anything to do in some days: what decides which parts of a page there are."""

from __future__ import annotations

from datetime import date

import polars as pl

from .connection import Ledger


def controls_seen(ledger: Ledger, first: date, last: date) -> pl.DataFrame:
    """Return one row about the UTC days `first` to `last` (inclusive), whoever it is about.

    Columns: decisions, refused (calls), saving (calls and steps), avoided_usd, routed (calls that a router looked at).
    """
    return ledger.ask("controls_seen", first=first, last=last, first_day=first, last_day=last)
