"""Answers of the lake, kept as long as the lake does not change: the cache key holds its version.

The one cached function takes the question by name, so that every question shares one bounded cache.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from types import MappingProxyType
from typing import Final

import polars as pl
import streamlit as st

from spanledger import settings
from spanledger_analytics import drill, live, spend
from spanledger_analytics.connection import Ledger
from spanledger_analytics.spend import Filters

from .charts.colours import palette

_QUESTIONS: Final[Mapping[str, Callable[..., pl.DataFrame]]] = MappingProxyType(
    {
        "days": spend.days,
        "days_by_model": spend.days_by_model,
        "hours": spend.hours,
        "hours_by_model": spend.hours_by_model,
        "filter_values": spend.filter_values,
        "unpriced": spend.unpriced,
        "users": drill.users,
        "requests": drill.requests,
        "trace": drill.trace,
        "live_minutes": live.minutes,
    }
)
Argument = date | datetime | int | str | Filters | None
KNOWN_DAYS: Final = 90
"""How far back filters and colours look."""


@st.cache_resource(show_spinner=False)
def _open(lake: str) -> Ledger:
    return Ledger(Path(lake))


@st.cache_data(max_entries=512, show_spinner=False)
def _ask(lake: str, version: int, question: str, arguments: tuple[Argument, ...]) -> pl.DataFrame:
    return _QUESTIONS[question](_open(lake), *arguments)


class Lake:
    """The lake that this dashboard shows, at the version it had when the page began to draw."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._key = str(path)
        self.version = _open(self._key).version()

    def ask(self, question: str, *arguments: Argument) -> pl.DataFrame:
        """Return the answer to a question of spanledger_analytics, named as its function."""
        return _ask(self._key, self.version, question, arguments)

    def is_empty(self) -> bool:
        """Tell whether nothing was ever collected here."""
        return self.version < 1

    def rate(self, now: datetime) -> live.Rate:
        """Return the speed of spending; never cached, because time alone changes it."""
        return live.rate(_open(self._key), now)

    def known(self, dimension: str, today: date) -> list[str]:
        """Return the values of a filter, dearest first."""
        values = self.ask("filter_values", today - timedelta(days=KNOWN_DAYS - 1), today)
        found = values.filter(pl.col("dimension") == dimension)
        ordered = found.sort("cost_usd", "value", descending=[True, False], nulls_last=True)
        return ordered["value"].to_list()

    def colours(self, today: date) -> Mapping[str, str]:
        """Return every model's colour."""
        return palette(self.known("model", today))


def now() -> datetime:
    """Return this moment, UTC; the one clock of the pages."""
    return datetime.now(UTC)


def configured_lake() -> Path:
    """Return the lake named after `--lake` on the command line, else the one of the settings."""
    arguments = sys.argv[1:]
    named = arguments[arguments.index("--lake") + 1] if "--lake" in arguments[:-1] else None
    return settings.load(lake=named).lake
