"""What the billing month will have cost when it is over, and when a budget runs out: `forecast` says how.

The total is forecast itself, from its own hours, and not as the sum of rows: what varies in rows evens out in it. So
rows needn't add up to it, and what they add up to is said.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any, Final
from zoneinfo import ZoneInfo

import polars as pl

from spanledger_analytics.connection import Ledger
from spanledger_analytics.errors import QuestionError
from spanledger_analytics.forecast import Forecast, RunOut, forecast, run_out, used_up

from .against import NOW, moment, told_apart
from .answer import Answer, Option, Report, said_of_totals, usd
from .calendar import Period, Span, period_around
from .month_words import said_of_budget, said_of_month, said_of_rows
from .question import Question, Where
from .totals import hourly, totals

COLUMNS: Final = {
    "spent_usd": "US dollars since the billing month began, exact; NULL where no call of the row has a price.",
    "forecast_usd": "The whole month, what was spent included; NULL where there is no forecast.",
    "low_usd": "Lower end of the 80 % interval of forecast_usd.",
    "high_usd": "Upper end of it.",
    "method": "How: the one of four methods that was best on this very spending, or a gamma distribution of few days.",
    "history_days": "Whole days since something was spent first, of those looked at.",
    "little_history": "Less than eight days: the interval is wide, and all days of the week count as equal.",
    "reason": "Why there is no forecast.",
    "calls": "Charged calls since the billing month began.",
    "unpriced_calls": "Calls without a price that need one; they are in no sum of money.",
    "estimated_calls": "Calls whose tokens nobody reported; they are in spent_usd.",
}
BUDGET: Final = {
    "used_share": "Part of the budget that is spent, 0 to 1 or more.",
    "runs_out_early": "Day on which the budget is used up if as much is spent as the interval allows.",
    "runs_out": "Day on which it is used up at this rate; NULL is not within the month.",
    "runs_out_late": "Day on which it is used up if as little is spent as the interval allows.",
}
"""Only with a budget."""
_TYPES: Final[Mapping[str, Any]] = {
    **dict.fromkeys(("spent_usd", "forecast_usd", "low_usd", "high_usd"), pl.Decimal(38, 12)),
    "method": pl.String,
    "history_days": pl.Int64,
    "little_history": pl.Boolean,
    "reason": pl.String,
    **dict.fromkeys(("calls", "unpriced_calls", "estimated_calls"), pl.Int64),
    "used_share": pl.Decimal(18, 6),
    **dict.fromkeys(("runs_out_early", "runs_out", "runs_out_late"), pl.Date),
}
_COUNTS: Final = ("calls", "unpriced_calls", "estimated_calls")
_SHARE: Final = Decimal("0.000001")
_HOUR: Final = timedelta(hours=1)
_INSTANT: Final = timedelta(microseconds=1)
_NONE: Final = Decimal(0)


@dataclass(frozen=True, slots=True)
class Days:
    """The days that are looked at, up to a moment; all of them are over."""

    whole: Period
    """The billing month, or what else is forecast."""
    so_far: Period
    """What of it is over."""
    history: Period

    @property
    def now(self) -> datetime:
        """The moment of the forecast, UTC."""
        return self.history.end

    @property
    def until(self) -> datetime:
        """When the last whole hour was over, UTC."""
        return self.now.replace(minute=0)

    @property
    def left(self) -> int:
        """How many days of the whole haven't begun."""
        return (self.whole.last - self.whole.calendar.today(self.now - _INSTANT)).days


def month_end(
    ledger: Ledger, asked: Question, *, budget: Decimal | None = None, top: int = 20, now: str | None = None
) -> Answer:
    """Return forecasts of the billing month of the last day asked about, a row for each of `by`, dearest first.

    They are made at the end of that day, or now if it isn't over, of the hours since the first day asked about (or
    since the month began). Without `by` there is one row, and only then columns about the budget.

    Raises:
        QuestionError: `by` has a unit of time, the month hasn't begun, or a budget is nothing.
    """
    if budget is not None and budget <= 0:
        raise QuestionError(f"a budget of {usd(budget)} can't run out; say one above 0")
    by = list(told_apart(asked.by))
    days = days_of(asked.period, moment(now, asked.period.calendar))
    spent = totals(ledger, replace(asked, period=days.so_far), by)
    hours = hourly(ledger, replace(asked, period=days.history), until=days.now)["cost_usd"].to_list()
    whole = forecast_of(days, hours, known_cost(spent))
    rows = _rows(ledger, asked, by, spent, days, top) if by else [_told(whole, _counted(spent))]
    notes = [said_of_month(whole, days.whole, days.left)]
    if budget is not None:
        out = _out(whole, hours, budget, days)
        notes = [said_of_budget(whole, budget, out, days.left)]
        rows[0].update({} if by else _of_budget(whole, budget, out))
    if by:
        notes.append(said_of_rows([row["forecast_usd"] for row in rows]))
    columns = [*by, *COLUMNS, *(BUDGET if budget is not None and not by else ())]
    schema = {name: _TYPES.get(name, pl.String) for name in columns}
    frame = pl.DataFrame([{name: row[name] for name in columns} for row in rows], schema)
    return Answer(frame, (*notes, *said_of_totals(spent)))


def days_of(asked: Period, now: datetime, span: Span = "month") -> Days:
    """Return what is looked at to say what the month (or `span`) of the last day asked about will have cost.

    Raises:
        QuestionError: it hasn't begun.
    """
    whole = period_around(asked.last, span, asked.calendar)
    so_far = whole.so_far(min(now, asked.end))
    return Days(whole, so_far, replace(so_far, first=min(asked.first, whole.first)))


def forecast_of(days: Days, hours: Sequence[Decimal], spent: Decimal | None) -> Forecast | None:
    """Return a forecast; None where nothing has a price."""
    return None if spent is None else forecast(hours, days.until, spent, days.now, days.whole.end)


def known_cost(spent: pl.DataFrame) -> Decimal | None:
    """Return what rows of `totals` cost; None where no call of them has a price."""
    known = spent["cost_usd"].drop_nulls().to_list()
    return sum(known, _NONE) if known or not spent.height else None


def _counted(spent: pl.DataFrame) -> dict[str, int]:
    return {name: int(spent[name].sum()) for name in _COUNTS}


def _told(made: Forecast | None, counts: Mapping[str, int]) -> dict[str, Any]:
    """Return the columns of a row that don't tell whose it is."""
    if made is None:
        return dict.fromkeys(COLUMNS) | {"reason": "no call has a price"} | dict(counts)
    return {name: getattr(made, name) for name in COLUMNS if name not in _COUNTS} | dict(counts)


def _rows(
    ledger: Ledger, asked: Question, by: Sequence[str], spent: pl.DataFrame, days: Days, top: int
) -> list[dict[str, Any]]:
    """Return a row for each of those that cost most in all days looked at."""
    asked = replace(asked, period=days.history)
    found = totals(ledger, asked, by).sort("cost_usd", descending=True, nulls_last=True, maintain_order=True)
    if top:
        found = found.head(top)
        asked = replace(asked, where=_only(asked.where, found, by))
    series = hourly(ledger, asked, by, days.now).partition_by(by, as_dict=True)
    now = spent.partition_by(by, as_dict=True)
    rows = []
    for name in found.select(by).rows():
        costs = now.get(name, spent.clear())
        made = forecast_of(days, series[name]["cost_usd"].to_list(), known_cost(costs))
        rows.append(dict(zip(by, name, strict=True)) | _told(made, _counted(costs)))
    return sorted(rows, key=lambda row: row["forecast_usd"] or row["spent_usd"] or _NONE, reverse=True)


def _only(where: Where, found: pl.DataFrame, by: Sequence[str]) -> Where:
    """Return a condition that leaves the series of these rows, so that no others are brought."""
    wanted = {name: tuple(value or "" for value in found[name].unique(maintain_order=True)) for name in by}
    return Where({**where.only, **wanted}, where.but)


def _out(made: Forecast | None, hours: Sequence[Decimal], budget: Decimal, days: Days) -> RunOut:
    """Return when a budget runs out, or did."""
    zone = ZoneInfo(days.whole.calendar.zone)
    if made is None or made.spent_usd < budget:
        return RunOut(None, None, None) if made is None else run_out(made, budget, zone)
    begun = max(0, (days.until - days.whole.begin) // _HOUR)
    day = used_up(hours[len(hours) - begun :], days.until, budget, zone) or days.so_far.last
    return RunOut(day, day, day)


def _of_budget(made: Forecast | None, budget: Decimal, out: RunOut) -> dict[str, Decimal | date | None]:
    share = None if made is None else (made.spent_usd / budget).quantize(_SHARE)
    return {"used_share": share, "runs_out_early": out.early, "runs_out": out.expected, "runs_out_late": out.late}


FORECAST: Final = Report(
    "forecast",
    "What the billing month will have cost, with an 80 % interval, and when a budget runs out.",
    month_end,
    COLUMNS | BUDGET,
    days=90,
    options=(
        Option("budget", Decimal, None, "US dollars for the billing month of everything that --where leaves."),
        Option("top", int, 20, "With --by: how many rows, those that cost most since --from; 0: all."),
        NOW,
    ),
    extras=tuple(BUDGET),
    details="""\
    spanledger report forecast
    spanledger report forecast --budget 5000
    spanledger report forecast --by team --where environment=production
    spanledger report forecast --to 2026-11-10 --budget 5000

    --from is when the history begins that forecasts are made of. --to is the day at whose end they are made (now, if
    it isn't over), for the billing month that it is in. The total is forecast itself, so rows needn't add up to it.
    With --by the budget is still that of the total, told in a sentence, and the columns about it aren't there.""",
)
