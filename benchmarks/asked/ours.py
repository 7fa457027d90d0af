"""The questions as our own code answers them: what the pages of the dashboard call, and SQL over the views."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import polars as pl

from asked.texts import TEXTS, fill
from spanledger_analytics import drill, spend
from spanledger_analytics.connection import Ledger, connect
from spanledger_analytics.scope import EVERYTHING

Frame = Callable[[dict[str, Any]], pl.DataFrame]
TOTALS = ("requests", "calls", "input_tokens", "output_tokens", "cost_usd", "unpriced_calls", "errors")
REQUEST = ("trace_id", "started", "name", *TOTALS[1:], "duration_us")
SPAN = (
    *("span_id", "parent_span_id", "name", "role", "start_time", "duration_us", "status", "user_id"),
    *("input_tokens", "output_tokens", "cost_usd", "price_id"),
)
SHOWN: dict[str, tuple[tuple[str, ...], int | None]] = {
    "days": (("dt", *TOTALS), None),
    "hours": (("hour", "model", *TOTALS), None),
    "users": (("user_id", *TOTALS), 50),
    "requests": (REQUEST, None),
    "trace": (SPAN, None),
    "trace without date": (SPAN, None),
}
"""Columns and rows of an answer that are compared, where it has more."""


def open_engine(lake: Path) -> Callable[[dict[str, Any]], Callable[[], list[list[Any]]]]:
    """Return what answers a question."""
    ledger = Ledger(lake, EVERYTHING)
    views = connect(lake)

    def sql(text: str) -> Frame:
        def ask(asked: dict[str, Any]) -> pl.DataFrame:
            frame: pl.DataFrame = views.sql(fill(text, asked, "llm_calls")).pl()
            return frame

        return ask

    pages: dict[str, Frame] = {
        "days": lambda asked: spend.days(ledger, _day(asked["first"]), _day(asked["last"])),
        "hours": lambda asked: spend.hours_by_model(ledger, _day(asked["day"])),
        "users": lambda asked: drill.users(ledger, _day(asked["day"]), asked["hour"]),
        "requests": lambda asked: drill.requests(ledger, _day(asked["day"]), asked["hour"], asked["user"]),
        "trace": lambda asked: drill.trace(ledger, _day(asked["day"]), asked["trace"]),
        "trace without date": lambda asked: ledger.ask("trace", trace=asked["trace"]),
    }
    frames = {name: sql(text) for name, text in TEXTS.items()} | pages

    def ask(asked: dict[str, Any]) -> Callable[[], list[list[Any]]]:
        frame = frames[asked["question"]](asked)
        return lambda: _rows(frame, asked["question"])

    return ask


def _rows(frame: pl.DataFrame, question: str) -> list[list[Any]]:
    columns, most = SHOWN.get(question, (tuple(frame.columns), None))
    return [list(row) for row in frame.select(columns).head(most or frame.height).rows()]


def _day(text: str) -> date:
    return date.fromisoformat(text)
