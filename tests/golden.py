"""Dated calls whose cost was worked out by hand from published prices.

tests/fixtures/golden_prices.csv has a call a line: its `sum` is quantities times prices (dollars a million tokens, or
with $ dollars a unit), written out as on the page that `source` names; nothing in it comes from the book.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path

from price_cases import Call
from spanledger.pricing import PriceContext
from spanledger.usage import INPUT_PARTS, OUTPUT_PARTS, Usage

FILE = Path(__file__).parent / "fixtures/golden_prices.csv"
_TOKENS = frozenset({"input_tokens", "output_tokens", *INPUT_PARTS, *OUTPUT_PARTS})


@dataclass(frozen=True, slots=True)
class Golden:
    """One line of the file."""

    what: str
    call: Call
    at: str
    """RFC 3339."""
    terms: str
    cost_usd: Decimal | None
    reason: str | None
    source: str


def _read() -> list[Golden]:
    with FILE.open(encoding="utf-8", newline="") as lines:
        return [_golden(line) for line in csv.DictReader(lines)]


def _golden(line: dict[str, str]) -> Golden:
    context = dict(pair.split("=") for pair in line["context"].split(";") if pair)
    call = Call(
        line["provider"],
        line["model"],
        _usage(dict(pair.split("=") for pair in line["usage"].split(";"))),
        (datetime.fromisoformat(line["at"]) - datetime.fromisoformat("1970-01-01T00:00:00Z"))
        // timedelta(microseconds=1)
        * 1000,
        PriceContext(**context),
    )
    cost = Decimal(line["cost_usd"]) if line["cost_usd"] else None
    return Golden(line["what"], call, line["at"], line["sum"], cost, line["reason"] or None, line["source"])


def _usage(given: dict[str, str]) -> Usage:
    tokens = {name: int(count) for name, count in given.items() if name in _TOKENS}
    return Usage.from_totals(
        tokens.pop("input_tokens", 0),
        tokens.pop("output_tokens", 0),
        units={name: Decimal(quantity) for name, quantity in given.items() if name not in _TOKENS},
        state="reported",
        **tokens,
    )


GOLDEN = _read()
