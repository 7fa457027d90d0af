"""What cost more than it should have, in dollars, explained, each with a way to where it can be seen."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

import streamlit as st

from spanledger_analytics.reports.anomalies import TOTAL
from spanledger_analytics.reports.registry import REPORTS
from spanledger_analytics.spend import Doubts, Filters
from spanledger_dashboard.components.card import card, show_answer
from spanledger_dashboard.components.heading import show_heading
from spanledger_dashboard.components.rows import Row, show_rows
from spanledger_dashboard.data import shown_lake
from spanledger_dashboard.format import day_name, usd
from spanledger_dashboard.state import View, Window

_HEIGHT_PX: Final = 420
_MOST: Final = 10
_READING: Final = "Beyond what was expected, the most first. One cause may stand here as a team, a user and a model."
_FILTERED: Final = frozenset({"team", "feature", "model"})


@card("strange", _HEIGHT_PX)
def show_strange(asked: Window) -> None:
    """List hours out of the ordinary, new things and requests far outside their kind."""
    lake = shown_lake()
    question = asked.question(REPORTS["anomalies"].by)
    frame = lake.report("anomalies", question).frame
    rows = [row_of(row) for row in frame.head(_MOST).to_dicts()]
    first = f"{rows[0].amount} beyond expectation: {rows[0].title}" if rows else "Nothing is out of the ordinary"
    show_heading(first, _READING, Doubts())
    show_rows(rows)
    if frame.height > _MOST:
        st.caption(f"{frame.height - _MOST} more are in the table.")
    show_answer(lake, "strange", "anomalies", question)


def row_of(row: Mapping[str, Any]) -> Row:
    """Say what a row of the report is, who makes it up, and where it can be seen."""
    of, since = row["of"], row["since"].astimezone(UTC)
    name = None if of == TOTAL else row.get(of)
    what = "all calls" if of == TOTAL else f"{of} {name or '(none)'}"
    began = f"{day_name(since.date())} {since:%H:%M}"
    if row["kind"] == "new":
        title, said = f"{what} is new", f"First call {began} UTC; {usd(row['cost_usd'])} since."
    elif row["kind"] == "request":
        title, said = f"a request of {what}", f"{began} UTC: {usd(row['cost_usd'])}."
    else:
        title = f"{what}, {began} to {_until(since, row['until'].astimezone(UTC))} UTC"
        said = f"{usd(row['cost_usd'])} instead of {usd(row['expected_usd'])}."
    made_by = f" Made by {row['made_by']}." if row["made_by"] and row["kind"] != "request" else ""
    more = f" {row['made_by']}." if row["made_by"] and row["kind"] == "request" else made_by
    link = f"See request {row['trace_id'][-8:]}" if row["trace_id"] else "See that hour"
    return Row(usd(row["excess_usd"]), title, said + more, link, _place(row, of, name, since).parameters())


def _until(since: datetime, until: datetime) -> str:
    return f"{until:%H:%M}" if until.date() == since.date() else f"{day_name(until.date())} {until:%H:%M}"


def _place(row: Mapping[str, Any], of: str, name: str | None, since: datetime) -> View:
    if row["trace_id"]:
        return View().at_day(since.date()).at_trace(row["trace_id"])
    filters = Filters().narrowed(of, name or "") if of in _FILTERED else Filters()
    hour = View(filters=filters).at_day(since.date()).at_hour(since.hour)
    return hour.at_user(name or "") if of == "user" else hour
