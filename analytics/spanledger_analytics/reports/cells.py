"""What reports ask of spans, day by day and told apart by the dimensions that people filter by, so that it can be kept.

A question about whole UTC days that looks at nothing but team, feature, model and environment is answered from such
cells: asked once of a day's spans, it is added up and filtered ever after (`kept`). Any other is asked of the spans as
it is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Final

import polars as pl

from spanledger_analytics.connection import Ledger
from spanledger_analytics.kept import DAY, DayQuestion, answered

from .calendar import UNITS, Period
from .question import WHO, Question, Where

CUBE: Final = ("team", "feature", "model", "environment")
"""What cells are told apart by, besides what a question tells apart itself."""
_NEVER: Final = ("tag_values", *(name for name in WHO if name not in CUBE))
"""Columns that every answer of the SQL has and cells have nothing in."""


@dataclass(frozen=True, slots=True)
class Cells:
    """A question about calls whose answer adds up over days and over `Question.by`."""

    name: str
    queries: tuple[str, ...]
    """The files of SQL that it asks."""
    ask: Callable[[Ledger, Question], pl.DataFrame]
    """Asks spans; returns `bucket`, the dimensions asked for, and what it tells."""
    options: tuple[object, ...] = ()
    prices: bool = False
    """Whether prices matter that aren't booked."""

    def of_days(self) -> DayQuestion:
        """Return it as a question about days, told apart by CUBE."""
        return DayQuestion(self.name, self.queries, self._ask_days, self.options, prices=self.prices)

    def _ask_days(self, ledger: Ledger, first: date, last: date) -> pl.DataFrame:
        found = self.ask(ledger, Question(Period(first, last), ("day", *CUBE)))
        unused = [name for name in _NEVER if name in found.columns]
        return found.drop(unused).with_columns(pl.col("bucket").dt.date().alias(DAY))


def ask_cells(ledger: Ledger, asked: Question, cells: Cells, by: Sequence[str] | None = None) -> pl.DataFrame:
    """Return what `cells.ask` does; its rows may be told apart further, so they need to be added up."""
    by = asked.by if by is None else by
    if not fits(asked, by):
        return cells.ask(ledger, Question(asked.period, tuple(by), asked.where))
    found = answered(ledger, cells.of_days(), asked.period.first, asked.period.last)
    return found.filter(chosen(asked.where)).drop(DAY).collect()


def fits(asked: Question, by: Sequence[str]) -> bool:
    """Say whether a question can be answered from cells of days."""
    told = {name for name in by if name not in UNITS} | asked.where.dimensions()
    whole = asked.period.calendar.is_utc and asked.period.until is None
    return whole and "hour" not in by and told <= set(CUBE)


def chosen(where: Where) -> pl.Expr:
    """Return the condition as an expression over columns of the dimensions."""
    wanted = [_value(name).is_in(values) for name, values in where.only.items()]
    wanted += [_value(name).is_in(values).not_() for name, values in where.but.items()]
    return pl.all_horizontal(pl.lit(True), *wanted)


def _value(name: str) -> pl.Expr:
    return pl.col(name).fill_null("")
