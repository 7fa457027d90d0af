"""Budgets: what may be spent, when it runs out, and what the month will cost without any."""

from __future__ import annotations

from typing import Final

import streamlit as st

from spanledger_analytics.alerts.rules_file import RulesError
from spanledger_analytics.reports.calendar import Calendar
from spanledger_dashboard.budgets import Budgets, budget_rules, known_budgets
from spanledger_dashboard.cards import burn
from spanledger_dashboard.data import Lake, configured_calendar, shown_lake
from spanledger_dashboard.format import many, markdown

_MOST: Final = 12
"""Budgets that are drawn; the list has all of them."""
_BEGIN: Final = """\
[[rule]]
name = "monthly budget"
kind = "budget"
usd = "1000"           # or by = "team" and usd = { search = "500", "*" = "100" }
period = "month"       # or day, week
actual = [50, 80, 100]
forecast = [100]
"""


def page() -> None:
    """Draw the page: all budgets in a list, then how each burns down."""
    lake, calendar = shown_lake(), configured_calendar()
    known = _known(lake, calendar)
    every = known.listed
    if not every:
        burn.show_burn(0, None, calendar)
        _show_how(lake)
        return
    burn.show_plan(known, calendar)
    for place in range(0, min(len(every), _MOST), 2):
        for number, column in enumerate(st.columns(2, gap="small"), place):
            if number < len(every):
                with column:
                    burn.show_burn(number, every[number], calendar)
    if len(every) > _MOST:
        st.caption(f"{many(len(every) - _MOST, 'more budget')} in the list at the top.")


def _known(lake: Lake, calendar: Calendar) -> Budgets:
    try:
        return known_budgets(budget_rules(), lake, calendar)
    except RulesError as error:
        said = f"{error}" if lake.is_whole else "the rules on alerts can't be read"
        st.warning(markdown(f"{said[:1].upper()}{said[1:]}.", 600))
        return Budgets([], 0, 0)


def _show_how(lake: Lake) -> None:
    if not lake.is_whole:
        st.caption("No budget is about a team of yours.")
        return
    with st.container(border=True):
        st.markdown("**No budget is set.** `spanledger alerts init` writes a file of rules; a budget in it is:")
        # Plain: the colours of its highlighting are too pale to read.
        st.code(_BEGIN, language=None)
        st.caption("Its burn-down and the day on which it runs out stand here then, and its thresholds are told.")
