"""What reports on controls ask of spans: told apart and filtered as calls are, refused calls and steps as well."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import polars as pl

from spanledger_analytics.connection import Ledger

from .cells import Cells, ask_cells, chosen
from .question import Question
from .totals import labelled, parameters

SUM: Final = pl.Decimal(38, 12)


def controlled_cells(query: str) -> Cells:
    """Return a question to `sql/<query>.sql`, which asks `asked_controlled_in`, as one whose days can be kept."""

    def ask(ledger: Ledger, asked: Question) -> pl.DataFrame:
        first, last = asked.period.utc_days()
        by = (*asked.by, *sorted(asked.where.dimensions().difference(asked.by)))
        found = ledger.ask(query, first=first, last=last, **parameters(asked, by))
        return labelled(found, asked, by).filter(chosen(asked.where))

    return Cells(query, (query,), ask)


def added_up(
    ledger: Ledger, asked: Question, cells: Cells, apart: Sequence[str], counts: Sequence[str], money: str
) -> pl.DataFrame:
    """Return the sums of what cells tell, a row for each of `asked.by` and `apart`, in that order.

    A sum of money is NULL where no call of the row has any.
    """
    found = labelled(ask_cells(ledger, asked, cells), asked, asked.by)
    column = pl.col(money).cast(SUM)
    total = pl.when(column.is_not_null().any()).then(column.sum()).alias(money)
    keys = [*asked.by, *apart]
    return found.group_by(keys).agg(*(pl.col(name).sum() for name in counts), total).sort(keys, nulls_last=True)
