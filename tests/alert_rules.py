"""Rules, lookouts and clocks for tests of alerts."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Final

from ledger_rows import Row, make_lake
from spanledger_analytics.alerts.evaluate import look
from spanledger_analytics.alerts.lookout import Lookout
from spanledger_analytics.alerts.reading import Reading
from spanledger_analytics.alerts.rules import Rules
from spanledger_analytics.alerts.rules_file import read_rules
from spanledger_analytics.connection import Ledger
from spanledger_analytics.reports.calendar import Calendar
from spanledger_analytics.scope import EVERYTHING

NOW: Final = datetime(2026, 11, 26, 12, 30, tzinfo=UTC)
"""A Thursday."""


def rules_of(folder: Path, text: str) -> Rules:
    """Read rules."""
    path = folder / "alerts.toml"
    path.write_text(text, "utf-8")
    return read_rules(path)


def lookout_of(folder: Path, rows: Iterable[Row], calendar: Calendar | None = None) -> Lookout:
    """Make a lake of rows, and look at it."""
    return Lookout(Ledger(make_lake(folder / "lake", list(rows)), EVERYTHING), calendar or Calendar())


def readings(rules: Rules, lookout: Lookout, now: datetime = NOW) -> list[Reading]:
    """Return what the rules see."""
    seen = look(rules, lookout, now)
    assert [one.trouble for one in seen if one.trouble] == []
    return [reading for one in seen for reading in one.readings]


def numbers(found: Iterable[Reading]) -> dict[str, tuple[Decimal, Decimal]]:
    """Return value and trip level by scope, as `team=search`."""
    return {
        ",".join(f"{name}={value}" for name, value in reading.scope.items()): (
            reading.value.normalize(),
            reading.trip.normalize(),
        )
        for reading in found
    }


def reading(value: int | str, trip: int | str = 10, **more: object) -> Reading:
    """Return a reading of nothing in particular."""
    return replace(Reading(Decimal(value), Decimal(trip), f"it is {value}"), **more)  # type: ignore[arg-type]
