"""What rules did to calls: refused, slowed, degraded or warned of, and what they would have done in shadow.

A call counts once for each rule and action. Dollars are estimates from before the call; what was refused cost nothing.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Final

import polars as pl

from spanledger_analytics.connection import Ledger

from .answer import Answer, Report, calls_told, usd
from .controlled import added_up, controlled_cells
from .question import Question

COLUMNS: Final = {
    "rule": "Rule of the policy.",
    "kind": "budget | limit | breaker | route | cache; NULL where only the refusal is known.",
    "action": "warn | throttle | degrade | defer | block.",
    "shadow": "Whether it only would have done so.",
    "calls": "Calls that the rule did it to; one counts once for each rule and action.",
    "refused_calls": "Of them those that this rule refused, so that nothing was sent and nothing was spent.",
    "estimate_usd": "What the calls were expected to cost, US dollars; NULL where that is known of none.",
    "unknown_calls": "Calls of which it isn't known; they are in no sum of money.",
}
CELLS: Final = controlled_cells("refusals")


def refusals(ledger: Ledger, asked: Question) -> Answer:
    """Return a row for each of what is asked for, rule, kind, action, and whether in shadow, in that order."""
    frame = added_up(
        ledger,
        asked,
        CELLS,
        ("rule", "kind", "action", "shadow"),
        ("calls", "refused_calls", "unknown_calls"),
        "estimate_usd",
    )
    return Answer(frame.select(*asked.by, *COLUMNS), _said(frame))


def _said(frame: pl.DataFrame) -> tuple[str, ...]:
    if not frame.height:
        return ("no rule did anything in these days",)
    said = []
    for words, rows in (
        ("refused", frame.filter(pl.col("refused_calls") > 0)),
        ("would have been refused, in shadow", frame.filter("shadow", pl.col("action").is_in(["block", "defer"]))),
    ):
        if rows.height:
            count = int(rows["calls"].sum() if words != "refused" else rows["refused_calls"].sum())
            expected = sum(rows["estimate_usd"].drop_nulls(), Decimal(0))
            unknown = int(rows["unknown_calls"].sum())
            lacking = f"; of {unknown:,} it isn't known" if unknown else ""
            said.append(f"{words}: {calls_told(count)}, expected to cost {usd(expected)}{lacking}")
    return tuple(said) or ("no call was refused in these days",)


REFUSALS: Final = Report(
    "refusals",
    "What rules of the policy did to calls, or in shadow would have done: refused, slowed, degraded, warned of.",
    refusals,
    COLUMNS,
    by=("day",),
    details="""\
    spanledger report refusals
    spanledger report refusals --by hour,team --where feature=research
    spanledger report refusals --by user --from 2026-11-01

A call that two rules are about may be in two rows.
Reads spans that rules had to do with, of days that are over once (docs/reports.md).""",
)
