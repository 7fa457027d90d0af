"""What was spent, by anything: the plainest report, and the one that others are held against."""

from __future__ import annotations

from typing import Final

import polars as pl

from spanledger_analytics.connection import Ledger

from .answer import Answer, Report, said_of_totals
from .question import Question
from .totals import totals

COLUMNS: Final = {
    "cost_usd": "US dollars, exact; NULL where no call of the row has a price.",
    "calls": "Charged calls.",
    "input_tokens": "All input tokens, cached ones included.",
    "output_tokens": "All output tokens, reasoning included.",
    "unpriced_calls": "Calls without a price that need one; they are in no sum of money.",
    "estimated_calls": "Calls whose tokens nobody reported; they are in cost_usd.",
}


def spend(ledger: Ledger, asked: Question) -> Answer:
    """Return cost, calls and tokens, a row for each of what is asked for, in its order."""
    return of_totals(totals(ledger, asked), asked)


def of_totals(found: pl.DataFrame, asked: Question) -> Answer:
    """Return the report of what `totals` found."""
    return Answer(found.select(*asked.by, *COLUMNS), said_of_totals(found))


SPEND: Final = Report(
    "spend",
    "What was spent: by time, model, provider, team, customer, user, feature, session, any tag.",
    spend,
    COLUMNS,
    by=("day", "model"),
    details="""\
    spanledger report spend --by day,model
    spanledger report spend --by tag.experiment --where team=search
    spanledger report spend --by hour --where user=ann --format csv""",
)
