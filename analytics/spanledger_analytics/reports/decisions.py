"""What rules decided lately, decision by decision, each with the trace that it was about."""

from __future__ import annotations

from typing import Final

from spanledger_analytics.connection import Ledger

from .answer import Answer, Option, Report, counted
from .cells import chosen
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
    first, last = asked.period.utc_days()
    told = asked.where.dimensions()
    by = (*_WHO, *sorted(told.difference(_WHO)))
    found = ledger.ask(
        "decisions",
        first=first,
        last=last,
        most=_EVERY if told else max(1, most),
        **parameters(asked, by),
    )
    frame = labelled(found, asked, by).filter(chosen(asked.where)).head(max(1, most))
    cut = frame.height == max(1, most)
    said = f"the latest {counted(frame.height, 'decision')}" if cut else counted(frame.height, "decision")
    return Answer(frame.select(*COLUMNS), (said,))


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

Reads spans that rules had to do with.""",
)
