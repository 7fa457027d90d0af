"""Budgets: which run out and when, and how each burns down."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final

import streamlit as st

from spanledger_analytics.reports.answer import Answer
from spanledger_analytics.reports.calendar import Calendar, Period
from spanledger_analytics.reports.question import Question
from spanledger_analytics.reports.registry import REPORTS
from spanledger_analytics.spend import Doubts
from spanledger_dashboard.budgets import Allowed, Budgets
from spanledger_dashboard.charts.burn import Burn, burn_figure, burn_of, moment_name
from spanledger_dashboard.components.card import card, show_answer
from spanledger_dashboard.components.figure import show_figure
from spanledger_dashboard.components.heading import show_heading
from spanledger_dashboard.components.rows import Row, show_rows
from spanledger_dashboard.data import Lake, shown_lake
from spanledger_dashboard.format import many, share, usd

_PLAN_PX: Final = 200
_HEIGHT_PX: Final = 400
_BURN_DOWN: Final = REPORTS["burn-down"]


def question_of(one: Allowed | None, calendar: Calendar) -> Question:
    """Return what is asked of a budget (None: the month of all calls)."""
    today = calendar.today()
    period = Period(today - timedelta(days=_BURN_DOWN.days - 1), today, calendar)
    return Question(period) if one is None else Question(period, (), one.where)


@card("plan", _PLAN_PX)
def show_plan(known: Budgets, calendar: Calendar) -> None:
    """List budgets, the one that is used most by its end first."""
    lake = shown_lake()
    found = [(one, _burn(lake, one, calendar)) for one in known.listed]
    found.sort(key=lambda pair: -_needed(*pair))
    show_heading(
        _answer(found, known),
        "By the forecast of each, made of the last 90 days; days are those of your zone.",
        Doubts(),
    )
    show_rows([_row(one, burn) for one, burn in found])
    if known.more:
        gone = f"; {known.more_used_up} of them {_are(known.more_used_up)} used up" if known.more_used_up else ""
        st.caption(f"{many(known.more, 'more budget')}, of which less is used, {_are(known.more)}n't listed{gone}.")


def _needed(one: Allowed, burn: Burn | None) -> Decimal:
    """Return what part of a budget will be used by its end, as far as it is known."""
    return Decimal(0) if burn is None else max(burn.spent_usd, burn.forecast_usd or Decimal(0)) / one.usd


def _burn(lake: Lake, one: Allowed, calendar: Calendar) -> Burn | None:
    answer = lake.report(_BURN_DOWN.name, question_of(one, calendar), budget=one.usd, span=one.span)
    return burn_of(answer.frame, one.usd)


def _answer(found: Sequence[tuple[Allowed, Burn | None]], known: Budgets) -> str:
    """Say how many of all budgets are used up, and how many of those with a forecast, which are listed, run out."""
    used = sum(bool(burn and burn.used_up) for _, burn in found) + known.more_used_up
    out = sum(bool(burn and burn.expected) for _, burn in found)
    whole = many(len(found) + known.more, "budget")
    if not used and not out:
        if known.more:
            return f"The {len(found)} listed of {whole} last"
        return "The budget lasts" if len(found) == 1 else f"All {whole} last"
    said = [f"{used} of {whole} {_are(used)} used up"] if used else []
    runs = "runs" if out == 1 else "run"
    listed = f" of the {len(found)} that are listed" if known.more else "" if used else f" of {whole}"
    said += [f"{out}{listed} {runs} out"] if out else []
    return ", ".join(said)


def _are(number: int) -> str:
    return "is" if number == 1 else "are"


def _row(one: Allowed, burn: Burn | None) -> Row:
    title = f"{one.whose}: {title_of(one, burn)}"
    title = f"{title[:1].upper()}{title[1:]}"
    return Row("unknown" if burn is None else share(burn.spent_usd, one.usd), title, standing(one, burn))


def title_of(one: Allowed, burn: Burn | None) -> str:
    """Say when a budget runs out, or did."""
    budget = f"the {one.kind} of {usd(one.usd)}"
    if burn is None:
        return f"nothing is known of {budget}"
    is_day = one.span == "day"
    if burn.used_up:
        return f"{budget} was used up {_when(burn.used_up, is_day)}"
    if burn.expected:
        return f"{budget} runs out {_when(burn.expected, is_day)}"
    if burn.early:
        return f"{budget} lasts, but may run out from {moment_name(burn.early, is_day=is_day)} on"
    return (
        f"{budget} lasts" if burn.forecast_usd is not None else f"{share(burn.spent_usd, one.usd)} of {budget} is used"
    )


def _when(moment: datetime, is_day: bool) -> str:
    return f"{'at' if is_day else 'on'} {moment_name(moment, is_day=is_day)}"


def standing(one: Allowed | None, burn: Burn | None) -> str:
    """Say what is spent and will be, with the interval."""
    if burn is None:
        return "No call of it has a price."
    spent = f"{usd(burn.spent_usd)} spent" + ("" if one is None else f" of {usd(one.usd)}")
    if burn.forecast_usd is None:
        return f"{spent}; there is no forecast yet."
    interval = f"80 %: {usd(burn.low_usd)} to {usd(burn.high_usd)}"
    return f"{spent}, {usd(burn.forecast_usd)} forecast by the end ({interval}).{_range(one, burn)}"


def _range(one: Allowed | None, burn: Burn) -> str:
    if one is None or not burn.expected or not burn.early or burn.early == burn.late:
        return ""
    is_day = one.span == "day"
    late = moment_name(burn.late, is_day=is_day) + " at the latest" if burn.late else "or not at all"
    return f" {moment_name(burn.early, is_day=is_day)} at the earliest, {late}."


def show_burn(number: int, one: Allowed | None, calendar: Calendar) -> None:
    """Draw how one budget burns down; None is the month of all calls, which has none."""
    card(f"burn-{number}", _HEIGHT_PX)(_show_burn)(number, one, calendar)


def _show_burn(number: int, one: Allowed | None, calendar: Calendar) -> None:
    lake = shown_lake()
    question = question_of(one, calendar)
    options = {"span": "month"} if one is None else {"budget": one.usd, "span": one.span}
    answer: Answer = lake.report(_BURN_DOWN.name, question, **options)
    burn = burn_of(answer.frame, None if one is None else one.usd)
    title = f"{one.whose}: {title_of(one, burn)}" if one is not None else _month(burn)
    zone = "" if calendar.is_utc else f" Times are those of {calendar.zone}."
    show_heading(f"{title[:1].upper()}{title[1:]}", standing(one, burn) + zone, Doubts())
    if burn is not None:
        show_figure(
            burn_figure(answer.frame, None if one is None else one.usd),
            key=f"burn-{number}",
            alt=f"A line of what is {'spent' if one is None else 'left'} by the hour, with the forecast. {title}.",
        )
    show_answer(lake, f"burn-{number}", _BURN_DOWN.name, question, None, **options)


def _month(burn: Burn | None) -> str:
    if burn is None:
        return "Nothing is known of this month: no call has a price"
    if burn.forecast_usd is None:
        return f"This month has cost {usd(burn.spent_usd)}"
    return f"This month will cost {usd(burn.forecast_usd)}"
