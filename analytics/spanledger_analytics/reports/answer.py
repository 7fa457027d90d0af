"""What a report answers: a frame, and what has to be said beside it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final

import polars as pl

from spanledger_analytics.connection import Ledger
from spanledger_collector.tables import LakeTable

from .question import Question

Value = str | int | float | bool | Decimal | None
"""Of an option."""
SAID: Final = ("cost_usd", "estimated_usd", "calls", "unpriced_calls", "estimated_calls", "provisional_calls")
"""What `said_of_totals` looks at."""
_CENT: Final = Decimal("0.01")
_TINY: Final = Decimal("0.000001")
_PERCENT: Final = 1000
"""Tenths of a percent are told."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A report's rows, and sentences about all of them: sums, and what in them is missing or estimated."""

    frame: pl.DataFrame
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Option:
    """What else a report can be told, as `--name value`."""

    name: str
    """In Python; with `_` after it where that is a word of Python's."""
    type: type
    default: Value
    sentence: str
    choices: tuple[str, ...] = ()

    @property
    def flag(self) -> str:
        """Its name on the command line, without the dashes in front."""
        return self.name.rstrip("_").replace("_", "-")


@dataclass(frozen=True, slots=True)
class Report:
    """A question with a name."""

    name: str
    sentence: str
    """What it tells; shown in lists of reports."""
    ask: Callable[..., Answer]
    """Takes a ledger, a `Question`, and each option by its name."""
    columns: Mapping[str, str]
    """Columns after those of `by`, each with a sentence (units included)."""
    by: tuple[str, ...] = ()
    """What rows are told apart by unless something else is asked for."""
    days: int = 7
    """How many days are looked at unless others are asked for, today the last of them."""
    options: tuple[Option, ...] = ()
    details: str = ""
    """More about it, for its help: lines of examples (as they are), of words, and of `name: what it means`."""
    takes_by: bool = True
    """Whether `by` can be asked for."""
    extras: tuple[str, ...] = field(default=())
    """Columns of `columns` that are there only where an option asks for them."""
    beside: tuple[LakeTable, ...] = ()
    """Tables beside spans that it reads: who keeps answers looks at their files, too."""
    of_lake: bool = True
    """Whether it answers from the lake alone, so that an answer holds as long as the lake's files do."""

    def answer(self, ledger: Ledger, asked: Question, **options: Value) -> Answer:
        """Ask it; options that aren't named have their defaults."""
        return self.ask(ledger, asked, **{option.name: option.default for option in self.options} | options)


def pico_of(amount: Decimal | None) -> int:
    """Return US dollars as whole pico-dollars, as the macro of SQL does; 0 of none."""
    return 0 if amount is None else int(amount.scaleb(12))


def usd(amount: Decimal) -> str:
    """Return an amount for a sentence: whole cents, more places where it is less than a cent."""
    shown = amount.quantize(_CENT if abs(amount) >= _CENT or not amount else _TINY)
    return f"-${-shown:,f}" if shown < 0 else f"${shown:,f}"


def more(change: Decimal) -> str:
    """Return a change for a sentence: `$1.20 more`."""
    return f"{usd(abs(change))} {'more' if change > 0 else 'less'}"


def share(part: Decimal | int, whole: Decimal | int) -> str:
    """Return what part of a whole something is, in percent for a sentence."""
    tenths = Decimal(part) * _PERCENT / Decimal(whole) if whole else Decimal(0)
    if part and abs(tenths) < 1:
        return "less than 0.1 %"
    return f"{(tenths / 10).quantize(Decimal('0.1'))} %"


def said_of_totals(frame: pl.DataFrame) -> tuple[str, ...]:
    """Return the sentences that stand beside every sum: the total, what has no price, what is estimated or open.

    `frame` is of `totals`.
    """
    calls = int(frame["calls"].sum())
    cost = Decimal(frame["cost_usd"].sum() or 0)
    if not calls:
        return ("no calls in these days",)
    said = [f"{usd(cost)} for {calls_told(calls)}"]
    unpriced, estimated = int(frame["unpriced_calls"].sum()), int(frame["estimated_calls"].sum())
    if unpriced:
        said.append(
            f"no price, so in no sum: {calls_told(unpriced)} ({share(unpriced, calls)}); see spanledger unpriced"
        )
    if estimated:
        about = Decimal(frame["estimated_usd"].sum() or 0)
        said.append(
            f"estimated tokens: {calls_told(estimated)}, {usd(about)} ({share(about, cost)}); nobody reported them"
        )
    provisional = int(frame["provisional_calls"].sum())
    if provisional:
        said.append(f"not settled yet: {calls_told(provisional)}, which their traces may still change")
    return tuple(said)


def calls_told(count: int) -> str:
    """Return a number of calls for a sentence."""
    return counted(count, "call")


def counted(count: int, noun: str) -> str:
    """Return a number of things for a sentence: `1 request`, `2 requests`."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
