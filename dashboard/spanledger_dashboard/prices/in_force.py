"""Prices and contract as the settings name them, in force in the dashboard's process, as in the collector's.

Both are files that may change while the dashboard runs: they are looked at each time, and read again when they did.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import streamlit as st

from spanledger import base_file, contract, contract_file
from spanledger.book import PriceBook, current_book
from spanledger.contract import Contract
from spanledger.errors import SpanledgerError
from spanledger.settings import Settings, load
from spanledger_analytics import price_list

Stamp = tuple[tuple[str, int, int] | None, ...]


@dataclass(frozen=True, slots=True)
class InForce:
    """What calls are priced by now."""

    book: PriceBook
    base: str
    """What the base was made from, and whose it is; a sentence's part."""
    contract: Contract
    troubles: tuple[str, ...]
    """Why a file that the settings name isn't in force; sentences."""
    stamp: Stamp
    """Changes when the files do."""


def in_force() -> InForce:
    """Put in force what the settings name, and return it."""
    settings = load()
    return _put((_file(base_file.named(settings)), _file(contract.named(settings))))


def prices_today(prices: InForce) -> pl.DataFrame:
    """Return `price_list.models` of the book, for today."""
    return _models(prices.stamp, datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0))


@st.cache_data(max_entries=2, show_spinner=False)
def _models(stamp: Stamp, day: datetime) -> pl.DataFrame:
    return price_list.models(_put(stamp).book, day)


@st.cache_resource(max_entries=1, show_spinner=False)
def _put(stamp: Stamp) -> InForce:
    settings = load()
    troubles = [*_tried(lambda: base_file.use_named(settings)), *_tried(lambda: contract_file.use_named(settings))]
    return InForce(current_book(), _base(settings), contract.in_force(), tuple(troubles), stamp)


def _tried(use: Callable[[], None]) -> Iterator[str]:
    try:
        use()
    except SpanledgerError as error:
        yield str(error)


def _base(settings: Settings) -> str:
    shipped = base_file.shipped_header().library
    path = base_file.named(settings)
    try:
        return f"{base_file.read_base(path)[0].library} (yours)" if path else f"{shipped} (shipped)"
    except base_file.BaseFileError:
        return f"{shipped} (shipped)"


def _file(path: Path | None) -> tuple[str, int, int] | None:
    if path is None:
        return None
    try:
        found = path.stat()
    except OSError:
        return str(path), 0, 0
    return str(path), found.st_mtime_ns, found.st_size
