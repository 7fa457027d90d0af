"""Sessions: one of them, or one trace, that costs more than it may, as an agent does that runs in circles.

What is usual for a feature is the median of its sessions of the 7 days before today, asked once a day.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any, Final, cast

import polars as pl

from spanledger.entries import Entry
from spanledger_analytics.alerts.durations import length
from spanledger_analytics.alerts.lookout import HOUR, Lookout, Value, key_of, midnight
from spanledger_analytics.alerts.reading import NOT_SAID, Reading
from spanledger_analytics.alerts.rules import Kind, Rule
from spanledger_analytics.alerts.words import minutes_of
from spanledger_analytics.connection import Ledger
from spanledger_analytics.kept import DayQuestion, answered
from spanledger_analytics.reports.answer import usd
from spanledger_analytics.reports.calendar import Period
from spanledger_analytics.reports.question import Question
from spanledger_analytics.reports.totals import parameters

_UNITS: Final = ("session", "trace")
_DAYS: Final = 7
_LEAST: Final = 20
"""Sessions that a feature's median needs."""
_MOST: Final = 100
"""Dearest ones that are looked at."""
_WORTH_A_LOOK: Final = Decimal("0.8")


@dataclass(frozen=True, slots=True)
class Session:
    """Its terms."""

    unit: str
    """session | trace."""
    usd: Decimal | None
    """Above this it trips."""
    times: Decimal | None
    """Above so many times what is usual for its feature, and `floor_usd`, too."""
    floor_usd: Decimal
    within: timedelta
    """Calls of so long ago count."""


def read(entry: Entry) -> Session:
    """Read them."""
    unit = entry.text("unit", "session")
    if unit not in _UNITS:
        raise entry.refuse("unit", f"expected {' or '.join(_UNITS)}")
    most = entry.money("usd", above=0) if "usd" in entry.given else None
    times = entry.number("times", above=0) if "times" in entry.given else None
    if most is None and times is None:
        raise entry.refuse("usd", "needed, or times: above which amount, or how many times what is usual, it trips")
    within = length(entry, "within", HOUR)
    if not timedelta(minutes=1) <= within <= 24 * HOUR:
        raise entry.refuse("within", "expected from 1m to 24h")
    return Session(unit, most, times, entry.exact_money("floor_usd", entry.given.get("floor_usd", 1)), within)


def readings(terms: Session, rule: Rule, lookout: Lookout) -> list[Reading]:
    """Hold the dearest sessions against what they may cost."""
    usual = _usual(terms, rule, lookout) if terms.times is not None else {}
    lowest = terms.floor_usd if terms.usd is None else terms.usd
    if terms.times is not None:
        lowest = min(lowest, terms.floor_usd)
    asked = _asked(terms, rule, lookout.now - terms.within, lookout.now, lookout.now)
    asked |= {"least": str(lowest * _WORTH_A_LOOK), "most": _MOST}
    found = lookout.ledger.ask_between("alerts/sessions", lookout.now - terms.within, lookout.now, **asked)
    made = (_reading(terms, row, usual) for row in found.iter_rows(named=True))
    return [reading for reading in made if reading is not None]


def _reading(terms: Session, row: dict[str, Any], usual: dict[Value, Decimal]) -> Reading | None:
    trips: list[tuple[Decimal, str]] = []
    if terms.usd is not None:
        trips.append((terms.usd, f"more than {usd(terms.usd)}"))
    feature = usual.get(row["feature"])
    if terms.times is not None and feature is not None:
        words = f"{usd(feature)} are usual for {row['feature'] or NOT_SAID}"
        trips.append((max(feature * terms.times, terms.floor_usd), words))
    if not trips:
        return None
    trip, words = min(trips)
    spent = f"{usd(row['cost_usd'])} for {row['calls']:,} calls in the last {minutes_of(terms.within)}"
    return Reading(
        row["cost_usd"],
        trip,
        f"{terms.unit} {row['id']}: {spent}; {words}",
        {terms.unit: row["id"], "feature": row["feature"] or NOT_SAID},
    )


def _usual(terms: Session, rule: Rule, lookout: Lookout) -> dict[Value, Decimal]:
    """Return the median of a session's cost by feature, of the 7 days before today."""
    today = midnight(lookout.now.date())
    key = (rule.name, "usual sessions")
    kept = cast("tuple[datetime, dict[Value, Decimal]] | None", lookout.kept.get(key))
    if kept is None or kept[0] != today:
        query = "alerts/session_costs"

        def ask(ledger: Ledger, first: date, last: date) -> pl.DataFrame:
            begin, end = midnight(first), midnight(last) + timedelta(days=1)
            asked = _asked(terms, rule, begin, end, begin)
            return ledger.ask(query, first=first, last=last, **asked)

        question = DayQuestion("alert-sessions", (query,), ask, (terms.unit, key_of(rule.where)))
        first, last = (today - timedelta(days=_DAYS)).date(), (today - HOUR).date()
        kept = today, _medians(answered(lookout.ledger, question, first, last))
        lookout.kept[key] = kept
    return kept[1]


def _medians(costs: pl.LazyFrame) -> dict[Value, Decimal]:
    """Return the middle cost of the sessions of each feature that has enough of them."""
    sessions = costs.drop_nulls("cost_usd").group_by("id").agg(pl.col("cost_usd").sum(), pl.col("feature").max())
    middle = pl.col("cost_usd").sort().get((pl.len() - 1) // 2)
    usual = sessions.group_by("feature").agg(middle, pl.len().alias("sessions")).filter(pl.col("sessions") >= _LEAST)
    return {row["feature"]: row["cost_usd"] for row in usual.collect().iter_rows(named=True)}


def _asked(terms: Session, rule: Rule, begin: datetime, end: datetime, day: datetime) -> dict[str, Any]:
    question = Question(Period(day.date(), day.date()), (), rule.where)
    return parameters(question, ()) | {"begin": begin, "end": end, "unit": terms.unit}


SESSION: Final = Kind(
    "session",
    ("unit", "usd", "times", "floor_usd", "within"),
    read,
    readings,
    "a session or trace that costs more than it may: a runaway agent",
    takes_by=False,
    evaluations=1,
)
