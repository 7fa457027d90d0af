"""What rules decided lately, decision by decision, each with the trace that it was about.

Of each day that is over the latest are kept, as many as a report has, of each of what people filter by: so nobody has
to read a week to tell what happened last.
"""

from __future__ import annotations

from datetime import date, timedelta
from typing import Final

import polars as pl

from spanledger_analytics.connection import Ledger
from spanledger_analytics.kept import DAY, DayQuestion, answered

from .answer import Answer, Option, Report, counted
from .calendar import Period
from .cells import CUBE, chosen, fits
from .question import Question
from .totals import labelled, parameters

MOST: Final = 200
_EVERY: Final = 10_000_000
_WHO: Final = ("team", "user", "feature", "model")
COLUMNS: Final = {
    "time": "When the call began, UTC; of a breaker's change of state, when that was.",
    "rule": "Rule of the policy.",
    "kind": "budget | limit | breaker | route | cache; NULL where only the refusal is known.",
    "scope": "Whom the rule counted, as team_id=support.",
    "action": "warn | throttle | degrade | defer | block.",
    "shadow": "Whether it only would have done so.",
    "refused": "Whether the call was refused, by whichever rule.",
    "team": "Team of the call.",
    "user": "User of the call.",
    "feature": "Feature of the call.",
    "model": "Model of the price book, or else the one that answered or was asked for.",
    "sentence": "What the error or log said.",
    "trace_id": "Trace, 32 hex digits.",
    "span_id": "Span, 16 hex digits.",
}


def decisions(ledger: Ledger, asked: Question, *, most: int) -> Answer:
    """Return the latest decisions, at most so many, the latest first."""
    most = max(1, most)
    frame = _kept(ledger, asked, most) if most <= MOST and fits(asked, ()) else _asked(ledger, asked, most)
    cut = frame.height == most
    said = f"the latest {counted(frame.height, 'decision')}" if cut else counted(frame.height, "decision")
    return Answer(frame.select(*COLUMNS), (said,))


def _asked(ledger: Ledger, asked: Question, most: int) -> pl.DataFrame:
    first, last = asked.period.utc_days()
    told = asked.where.dimensions()
    by = (*_WHO, *sorted(told.difference(_WHO)))
    most_found = _EVERY if told else most
    found = ledger.ask("decisions", first=first, last=last, most=most_found, apart=False, **parameters(asked, by))
    return labelled(found, asked, by).filter(chosen(asked.where)).head(most)


def _kept(ledger: Ledger, asked: Question, most: int) -> pl.DataFrame:
    """Return the latest decisions, day by day backwards until there are enough."""
    first, day = asked.period.first, asked.period.last
    frames: list[pl.DataFrame] = []
    while not frames or (day >= first and sum(frame.height for frame in frames) < most):
        frames.append(answered(ledger, DECISION_DAYS, day, day).filter(chosen(asked.where)).collect())
        day -= timedelta(days=1)
    return pl.concat(frames).head(most)


def _of_days(ledger: Ledger, first: date, last: date) -> pl.DataFrame:
    told = parameters(Question(Period(first, last)), (*CUBE, *_WHO))
    found = ledger.ask("decisions", first=first, last=last, most=MOST, apart=True, **told)
    return found.select(DAY, "environment", *COLUMNS)


DECISION_DAYS: Final = DayQuestion("decisions", ("decisions",), _of_days, (MOST,))
"""The latest decisions of a day, so many of each of CUBE."""


DECISIONS: Final = Report(
    "decisions",
    "What rules of the policy decided lately, decision by decision, each with its trace.",
    decisions,
    COLUMNS,
    options=(Option("most", int, MOST, "How many, at most."),),
    takes_by=False,
    details="""\
    spanledger report decisions --where team=support
    spanledger report decisions --most 1000 --format csv

Reads spans that rules had to do with, of days that are over once (docs/reports.md).""",
)
