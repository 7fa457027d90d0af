"""Prompt caches that broke: since when, what changed, and what was lost."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

import polars as pl

from spanledger_analytics.spend import Doubts, Filters
from spanledger_dashboard.components.card import card, show_answer
from spanledger_dashboard.components.heading import show_heading
from spanledger_dashboard.components.rows import Row, show_dearest
from spanledger_dashboard.data import shown_lake
from spanledger_dashboard.format import day_name, many, share, usd
from spanledger_dashboard.state import View, Window

_HEIGHT_PX: Final = 300
_MOST: Final = 5
_READING: Final = "What calls cost more since then than if as much had been read from the cache as the day before."
_CHANGES: Final = {
    "system_prompt": "the system prompt changed",
    "tools": "the tool definitions changed",
    "first_message": "the first message changed",
}
_UNCHANGED: Final = "nothing in the prompts changed, so look at the provider or at pauses between calls"


@card("breaks", _HEIGHT_PX)
def show_breaks(asked: Window) -> None:
    """List them, what lost most first, each with a way to the hour in which it broke."""
    lake = shown_lake()
    question = asked.question()
    frame = lake.report("cache-breaks", question).frame
    show_heading(_answer(frame), _READING, Doubts())
    show_dearest(frame, row_of, _MOST)
    show_answer(lake, "breaks", "cache-breaks", question)


def _answer(frame: pl.DataFrame) -> str:
    if not frame.height:
        return "No prompt cache broke"
    lost = sum(frame["lost_usd"].drop_nulls(), Decimal(0))
    going_on = frame["until"].null_count()
    more = f", {going_on} of them still" if 0 < going_on < frame.height else " and still does" if going_on else ""
    return f"{many(frame.height, 'broken prompt cache')} lost {usd(lost)}{more}"


def row_of(row: Mapping[str, Any]) -> Row:
    """Say what a row of the report is, and where it can be seen."""
    since: datetime = row["since"]
    where = " · ".join(row[name] for name in ("feature", "agent", "model") if row[name])
    changed = _CHANGES.get(row["changed"], _UNCHANGED)
    how = ", and is another from call to call: look for a time or an id in it" if row["varies"] else ""
    until = f" until {_moment(row['until'])}" if row["until"] else ""
    shares = f"{share(row['before_share'], 1)} of the input was read before, {share(row['after_share'], 1)} since"
    place = View(filters=Filters(feature=row["feature"], model=row["model"])).at_day(since.date()).at_hour(since.hour)
    return Row(
        usd(row["lost_usd"]),
        where or "calls that say nothing of themselves",
        f"Since {_moment(since)}{until} {changed}{how}. {shares}, in {many(row['calls'], 'call')}.",
        "See that hour",
        place.parameters(),
    )


def _moment(moment: datetime) -> str:
    return f"{day_name(moment.date())} {moment:%H:%M} UTC"
