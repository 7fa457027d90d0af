"""Revenue from files: what customers pay, so that what they cost can be held against it.

A file is a source, known by its name, and counts as it was imported last: so an import that is done again, or of a file
that was put right, replaces what the source said before and is one commit, all of it or nothing. Sources add up.
"""

from __future__ import annotations

import calendar
import csv
import io
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation, localcontext
from typing import Final

import pyarrow as pa

from spanledger.contract import Contract
from spanledger.lake_path import LakePath

from .errors import RevenueError
from .lake import add_files, read_rows, write_days
from .row import PARTITION
from .tables import REVENUE

WRITER: Final = "revenue"
"""`txn` of the table: when it was imported, microseconds since 1970."""
WHO: Final = ("customer_id", "user_id", "team_id", "feature")
_NAMES: Final[Mapping[str, str]] = {
    **{name: name for name in (*WHO, "day", "month", "amount", "currency")},
    "customer": "customer_id",
    "user": "user_id",
    "team": "team_id",
    "amount_usd": "amount",
}
"""What a column may be called to what it is."""
_PLACES: Final = 12
_LIMIT: Final = Decimal(10) ** 12
"""Dollars of a line: the sum of a day is exact up to ten times as much."""
_DIGITS: Final = 60
_MONTH: Final = re.compile(r"\d{4}-\d{2}")
_AMOUNT: Final = re.compile(r"[+-]?\d+(\.\d+)?")

Row = dict[str, str | int | date | Decimal | datetime | None]


class _BadLineError(Exception):
    """A line says something that can't be taken."""


@dataclass(frozen=True, slots=True)
class RevenueFile:
    """A file that could be read to its end."""

    source: str
    rows: tuple[Row, ...]
    """Columns of the table, without `source` and `imported_at`."""
    unused: tuple[str, ...]
    """Names of columns that nothing was taken from."""

    @property
    def usd(self) -> Decimal:
        """All of it."""
        return sum((row["amount_usd"] for row in self.rows if isinstance(row["amount_usd"], Decimal)), Decimal(0))


def read_revenue(text: str, source: str, contract: Contract) -> RevenueFile:
    """Read CSV (with a line of names) or an object of JSON a line; amounts in other currencies by a contract's rates.

    A line has whom it is from (`customer`, `user`, `team` or `feature`, or several of them), `day` (2026-11-03) or
    `month` (2026-11, of the calendar), `amount`, and maybe `currency`.

    Raises:
        RevenueError: a line can't be taken, with all that can't.
    """
    rows: list[Row] = []
    faults: list[str] = []
    names: dict[str, None] = {}
    for line, said in _lines(text):
        try:
            if isinstance(said, str):
                raise _BadLineError(said)
            names |= dict.fromkeys(name for name in said if name)
            rows.append({"line": line, **_row(said, contract)})
        except _BadLineError as error:
            faults.append(f"line {line}: {error}")
    if faults or not rows:
        raise RevenueError(source, faults or ["it has no line of revenue"])
    return RevenueFile(source, tuple(rows), tuple(name for name in names if _known(name) is None))


def _lines(text: str) -> Iterator[tuple[int, Mapping[str, object] | str]]:
    """Yield what each line says, or in a sentence why it can't be read; empty ones are left out."""
    if text.lstrip().startswith("{"):
        for line, one in enumerate(text.split("\n"), 1):
            if one.strip():
                yield line, _json(one)
        return
    table = csv.DictReader(io.StringIO(text), strict=True)
    try:
        for said in table:
            too_many, too_few = None in said, None in said.values()
            wrong = f"has {'more' if too_many else 'fewer'} cells than the first line names"
            yield table.line_num, wrong if too_many or too_few else said
    except csv.Error as error:
        yield table.line_num, f"is no CSV: {error}"


def _json(line: str) -> Mapping[str, object] | str:
    try:
        said = json.loads(line, parse_float=Decimal, parse_int=Decimal, parse_constant=str)
    except ValueError as error:
        return f"is no JSON: {error}"
    return said if isinstance(said, dict) else "is no object; write one on each line"


def _known(name: str) -> str | None:
    return _NAMES.get(name.strip().lower())


def _row(said: Mapping[str, object], contract: Contract) -> Row:
    told: dict[str, str] = {}
    for name, value in said.items():
        column = _known(name)
        text = _text(value)
        if column is not None and text and told.setdefault(column, text) != text:
            raise _BadLineError(f"says two things for {column}")
    if not any(name in told for name in WHO):
        raise _BadLineError("doesn't say whom it is from: customer, user, team or feature")
    first, last = _days(told)
    amount, currency = _amount(told), told.get("currency", "USD").upper()
    return {
        **{name: told.get(name) for name in WHO},
        "first_day": first,
        "last_day": last,
        "amount": amount,
        "currency": currency,
        "amount_usd": _in_usd(amount, currency, first, contract),
        PARTITION: first,
    }


def _text(value: object) -> str:
    """Return a cell as it would stand in CSV; a number of JSON without an exponent, unless it is beyond all limits."""
    if isinstance(value, Decimal) and abs(value.adjusted()) < _DIGITS:
        return f"{value:f}"
    return "" if value is None else str(value).strip()


def _days(told: Mapping[str, str]) -> tuple[date, date]:
    if ("day" in told) == ("month" in told):
        raise _BadLineError("needs either a day (2026-11-03) or a month (2026-11)")
    try:
        if "day" in told:
            day = date.fromisoformat(told["day"])
            return day, day
        if not _MONTH.fullmatch(told["month"]):
            raise ValueError
        first = date.fromisoformat(f"{told['month']}-01")
    except ValueError:
        what = "day" if "day" in told else "month"
        example = "2026-11-03" if what == "day" else "2026-11"
        raise _BadLineError(f"{told[what]!r} is no {what}; write it as {example}") from None
    return first, first.replace(day=calendar.monthrange(first.year, first.month)[1])


def _amount(told: Mapping[str, str]) -> Decimal:
    text = told.get("amount", "")
    try:
        amount = Decimal(text) if _AMOUNT.fullmatch(text) else Decimal("NaN")
    except InvalidOperation:
        amount = Decimal("NaN")
    if not amount.is_finite():
        what = f"{text!r} is no amount" if text else "has no amount"
        raise _BadLineError(f"{what}; write it as 1200 or 1200.50, without separators and signs of currencies")
    if abs(amount) >= _LIMIT or len(text.partition(".")[2]) > _PLACES:
        raise _BadLineError(f"{text} is no amount that can be kept: below {_LIMIT:,f}, at most {_PLACES} decimals")
    return amount


def _in_usd(amount: Decimal, currency: str, day: date, contract: Contract) -> Decimal:
    """Return an amount in dollars, rounded half up to 1e-12, by the rate that is in force on a day."""
    if currency == "USD":
        return amount
    rates = [(rate.first, rate.usd) for rate in contract.fx if rate.currency == currency and rate.first <= day]
    if not rates:
        raise _BadLineError(
            f"the contract has no rate for {currency!r} on {day}; add one: [[fx]] with currency, from and usd"
        )
    with localcontext(prec=_DIGITS):
        usd = (amount * max(rates)[1]).quantize(Decimal(1).scaleb(-_PLACES), ROUND_HALF_UP)
    if abs(usd) >= _LIMIT:
        raise _BadLineError(f"{amount:f} {currency} is more than can be kept: below {_LIMIT:,f} US dollars")
    return usd


def take_revenue(lake: LakePath, read: RevenueFile, now: datetime | None = None) -> None:
    """Make a file part of the lake in one commit, in the place of what its source said before.

    Raises:
        LakeError: the lake can't be used, or other writers won the race every time.
    """
    moment = now or datetime.now(UTC)
    stamp = int(moment.timestamp()) * 1_000_000 + moment.microsecond
    told = {"source": read.source, "imported_at": moment}
    rows = pa.Table.from_pylist([row | told for row in read.rows], REVENUE.full_schema)
    files = write_days(lake, f"{WRITER}-{stamp}", rows, REVENUE)
    add_files(lake, files, writer=WRITER, version=stamp, table=REVENUE)


def also_in(lake: LakePath, read: RevenueFile) -> dict[str, int]:
    """Return the other sources that say something of the same days and payers, each with how many lines of `read`."""
    wanted = ["source", "first_day", "last_day", *WHO]
    others: dict[tuple[object, ...], list[Row]] = {}
    for row in read_rows(lake, REVENUE).select(wanted).to_pylist():
        if row["source"] != read.source:
            others.setdefault(_payer(row), []).append(row)
    found: dict[str, int] = {}
    for row in read.rows:
        for source in {str(other["source"]) for other in others.get(_payer(row), ()) if _overlap(row, other)}:
            found[source] = found.get(source, 0) + 1
    return found


def _payer(row: Mapping[str, object]) -> tuple[object, ...]:
    return tuple(row[name] for name in WHO)


def _overlap(one: Row, other: Row) -> bool:
    days: Iterable[object] = (one["first_day"], one["last_day"], other["first_day"], other["last_day"])
    first, last, begin, end = (day for day in days if isinstance(day, date))
    return first <= end and begin <= last
