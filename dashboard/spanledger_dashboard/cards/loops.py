"""Agents that go round in circles: one trace that sends the same prompt again and again."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final

import polars as pl

from spanledger_analytics.spend import Doubts
from spanledger_dashboard.components.card import card, show_answer
from spanledger_dashboard.components.heading import show_heading
from spanledger_dashboard.components.rows import Row, show_dearest
from spanledger_dashboard.data import shown_lake
from spanledger_dashboard.format import day_name, many, usd
from spanledger_dashboard.state import View, Window

_HEIGHT_PX: Final = 300
_MOST: Final = 5
_READING: Final = "What the same prompt cost from the second time on; calls without fingerprints can't be told."


@card("loops", _HEIGHT_PX)
def show_loops(asked: Window) -> None:
    """List the dearest, each with a way to its trace."""
    lake = shown_lake()
    question = asked.question()
    frame = lake.report("loops", question).frame
    show_heading(_answer(frame), _READING, Doubts())
    show_dearest(frame, row_of, _MOST)
    show_answer(lake, "loops", "loops", question)


def _answer(frame: pl.DataFrame) -> str:
    if not frame.height:
        return "No agent went round in circles"
    again = sum(frame["again_usd"].drop_nulls(), Decimal(0))
    return (
        f"{many(frame['trace_id'].n_unique(), 'request')} that went round in circles cost {usd(again)} for nothing new"
    )


def row_of(row: Mapping[str, Any]) -> Row:
    """Say what a row of the report is, and where it can be seen."""
    where = " · ".join(row[name] for name in ("feature", "model") if row[name])
    started = row["started"]
    return Row(
        usd(row["again_usd"]),
        where or "calls that say nothing of themselves",
        f"Sent the same prompt {row['calls']} times from {day_name(started.date())} {started:%H:%M:%S} UTC on;"
        f" {usd(row['cost_usd'])} in all.",
        f"See request {row['trace_id'][-8:]}",
        View().at_day(started.date()).at_trace(row["trace_id"]).parameters(),
    )
