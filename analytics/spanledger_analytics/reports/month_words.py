"""The sentences about a month's end and its budget, for reports and alerts."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from decimal import Decimal
from typing import Final

from spanledger_analytics.forecast import Forecast, RunOut

from .answer import share, usd
from .calendar import Period

_ENDINGS: Final = {1: "st", 2: "nd", 3: "rd"}
_TEENS: Final = (11, 12, 13)


def said_of_month(made: Forecast | None, month: Period, days_left: int) -> str:
    """Say what a month will have cost; `made` is None where nothing has a price."""
    if made is None:
        return f"no forecast of {month.first} to {month.last}: no call has a price"
    if made.forecast_usd is None:
        return f"no forecast of {month.first} to {month.last}: {made.reason}"
    if made.way is None:
        return f"{month.first} to {month.last} cost {usd(made.spent_usd)}; nothing is left of it"
    spent = f"{usd(made.spent_usd)} of it is spent, with {_remaining(days_left)}"
    return f"{month.first} to {month.last} will have cost {_forecast(made)}; {spent}"


def said_of_budget(made: Forecast | None, budget: Decimal, out: RunOut, days_left: int) -> str:
    """Say how much of a month's budget is used, what the month will have cost, and when the budget runs out."""
    if made is None:
        return f"nothing is known of the monthly budget of {usd(budget)}: no call has a price"
    used = f"{share(made.spent_usd, budget).replace('.0 %', ' %')} of the monthly budget used"
    if made.spent_usd >= budget and out.expected:
        used += f", all of it by the {_ordinal(out.expected)},"
    if made.forecast_usd is None:
        return f"{used} with {_remaining(days_left)}; no forecast: {made.reason}"
    if made.way is None:
        return f"{used}; the month is over"
    said = f"{used} with {_remaining(days_left)}; forecast {_forecast(made)}"
    return said if made.spent_usd >= budget else f"{said}; {_runs_out(out)}"


def said_of_rows(forecasts: Sequence[Decimal | None]) -> str:
    """Say what the rows add up to, and why that isn't the total."""
    whole = sum((one for one in forecasts if one is not None), Decimal(0))
    return f"the rows add up to {usd(whole)}; the total is forecast itself"


def _forecast(made: Forecast) -> str:
    point, low, high = (usd(part or Decimal(0)) for part in (made.forecast_usd, made.low_usd, made.high_usd))
    doubt = f", wide because there are only {made.history_days} days to go by" if made.little_history else ""
    return f"{point} (80 % interval {low} to {high}{doubt})"


def _runs_out(out: RunOut) -> str:
    if out.expected is None:
        return (
            f"lasts the month at this rate, but may run out from the {_ordinal(out.early)} on"
            if out.early
            else ("lasts the month")
        )
    said = f"runs out on the {_ordinal(out.expected)} at this rate"
    if out.early == out.late:
        return said
    latest = f"the {_ordinal(out.late)} at the latest" if out.late else "or not at all"
    return f"{said} (the {_ordinal(out.early or out.expected)} at the earliest, {latest})"


def _remaining(days: int) -> str:
    return "less than a day remaining" if days < 1 else f"{days} day{'' if days == 1 else 's'} remaining"


def _ordinal(day: date) -> str:
    """Return a day of a month, of which there is one in every billing month: 1st, 22nd."""
    return f"{day.day}{'th' if day.day in _TEENS else _ENDINGS.get(day.day % 10, 'th')}"
