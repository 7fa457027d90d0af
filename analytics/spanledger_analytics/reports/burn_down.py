"""How a budget burns down: what a day, week or month has cost and will have cost, hour by hour.

It is the way to the numbers of `forecast`, which it shares everything with; so for a month both say the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final, cast
from zoneinfo import ZoneInfo

import polars as pl

from spanledger_analytics.connection import Ledger
from spanledger_analytics.errors import QuestionError
from spanledger_analytics.forecast import Forecast, run_out, used_up

from .against import NOW, moment
from .answer import Answer, Option, Report, said_of_totals, share, usd
from .calendar import Span
from .month_end import Days, days_of, forecast_of, known_cost
from .question import Question
from .totals import hourly, totals

SPANS: Final = ("month", "week", "day")
COLUMNS: Final = {
    "at": "End of an hour, in the zone; the first row is when the period began, and one is now.",
    "spent_usd": "US dollars since the period began, exact; NULL of what is to come.",
    "forecast_usd": "What it will have cost by then, what was spent included; NULL of what is past.",
    "low_usd": "Lower end of the 80 % interval of forecast_usd.",
    "high_usd": "Upper end of it.",
}
_MONEY: Final = pl.Decimal(38, 12)
_HOUR: Final = timedelta(hours=1)
_PICO: Final = 12
_Point = tuple[datetime, Decimal | None, Decimal | None, Decimal | None, Decimal | None]


def burn_down(
    ledger: Ledger, asked: Question, *, budget: Decimal | None = None, span: str = "month", now: str | None = None
) -> Answer:
    """Return a row an hour of the billing month (week, day) of the last day asked about, in order.

    What is past and what is to come meet in the row of the moment at which the forecast is made.

    Raises:
        QuestionError: it hasn't begun, or a budget is nothing.
    """
    if budget is not None and budget <= 0:
        raise QuestionError(f"a budget of {usd(budget)} can't run out; say one above 0")
    days = days_of(asked.period, moment(now, asked.period.calendar), cast("Span", span))
    spent = totals(ledger, replace(asked, period=days.so_far), ())
    hours = hourly(ledger, replace(asked, period=days.history), until=days.now)
    made = forecast_of(days, hours["cost_usd"].to_list(), known_cost(spent))
    points = [*_past(days, hours, made), *_to_come(days, made)]
    schema = {"at": pl.Datetime("us", "UTC"), **dict.fromkeys(list(COLUMNS)[1:], _MONEY)}
    frame = pl.DataFrame(points, schema=schema, orient="row")
    frame = frame.with_columns(pl.col("at").dt.convert_time_zone(asked.period.calendar.zone))
    return Answer(frame, (_said(days, hours, made, budget), *said_of_totals(spent)))


def _past(days: Days, hours: pl.DataFrame, made: Forecast | None) -> Iterator[_Point]:
    """Yield when the period began, and the end of each whole hour that is over."""
    if made is None:
        return
    spent = Decimal(0)
    yield days.whole.begin, spent, None, None, None
    for hour, cost in hours.filter(pl.col("hour") >= days.whole.begin).select("hour", "cost_usd").iter_rows():
        spent += cost
        if hour + _HOUR < days.now:
            yield hour + _HOUR, spent, None, None, None


def _to_come(days: Days, made: Forecast | None) -> Iterator[_Point]:
    """Yield the moment of the forecast, and the ends of the hours after it."""
    if made is None:
        return
    spent, way = made.spent_usd, made.way
    if way is None:
        yield days.now, spent, None, None, None
        return
    yield days.now, spent, spent, spent, spent
    for place, path in enumerate(zip(way.point, way.low, way.high, strict=True), 1):
        at = min(way.until + place * _HOUR, way.end)
        if at > days.now:
            point, low, high = (spent + _usd(pico) for pico in path)
            yield at, None, point, low, high


def _usd(pico: float) -> Decimal:
    return Decimal(round(pico)).scaleb(-_PICO)


def _said(days: Days, hours: pl.DataFrame, made: Forecast | None, budget: Decimal | None) -> str:
    whole = f"{days.whole.first} to {days.whole.last}"
    if made is None:
        return f"no forecast of {whole}: no call has a price"
    said = f"{usd(made.spent_usd)} of {whole} spent"
    if budget is not None:
        said = f"{share(made.spent_usd, budget)} of {usd(budget)} for {whole} used, {usd(made.spent_usd)}"
    if made.forecast_usd is None or made.low_usd is None or made.high_usd is None:
        return f"{said}; no forecast: {made.reason}"
    said += f"; forecast {usd(made.forecast_usd)} (80 % interval {usd(made.low_usd)} to {usd(made.high_usd)})"
    return said if budget is None else f"{said}; {_runs_out(days, hours, made, budget)}"


def _runs_out(days: Days, hours: pl.DataFrame, made: Forecast, budget: Decimal) -> str:
    zone = ZoneInfo(days.whole.calendar.zone)
    if made.spent_usd >= budget:
        costs = hours.filter(pl.col("hour") >= days.whole.begin)["cost_usd"].to_list()
        return f"used up on {used_up(costs, days.until, budget, zone) or days.so_far.last}"
    out = run_out(made, budget, zone)
    if out.expected is not None:
        return f"runs out on {out.expected}"
    return f"lasts, but may run out from {out.early} on" if out.early else "lasts"


BURN_DOWN: Final = Report(
    "burn-down",
    "How a budget of a day, a week or a month burns down, hour by hour, and how it will.",
    burn_down,
    COLUMNS,
    days=90,
    options=(
        Option("budget", Decimal, None, "US dollars for the period of everything that --where leaves."),
        Option("span", str, "month", "The period: the billing month, the week or the day of --to.", SPANS),
        NOW,
    ),
    takes_by=False,
    details="""\
    spanledger report burn-down --budget 5000
    spanledger report burn-down --budget 300 --span week --where team=search

    --from is when the history begins that forecasts are made of, --to the day at whose end they are made (now, if it
    isn't over). For a month it ends with what spanledger report forecast says.""",
)
