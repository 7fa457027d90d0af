"""How the arms of the router do: what was routed, what was held back or only looked at, cost and success of each.

Arms are compared by work, a session or the trace of calls that name none, because a session stays in its arm. A work
counts in each row that it has calls in, so works of several rows don't add up; calls and dollars do. What work has in
a day that is over is kept, outcomes are not: they may come any time.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Final

import polars as pl

from spanledger_analytics.connection import Ledger
from spanledger_analytics.what_if import ask_priced
from spanledger_collector.tables import OUTCOMES

from .answer import Answer, Report, calls_told, share, usd
from .cells import Cells, ask_cells
from .concentration import SHARE, rounded
from .controlled import SUM
from .question import Question
from .totals import labelled, parameters
from .work import outcomes_told, with_ends

LOWEST_SUCCESS: Final = Decimal("0.5")
COLUMNS: Final = {
    "rule": "Rule of the router.",
    "arm": "routed: at the chosen model; holdout: held back for comparison; shadow: only looked at.",
    "chosen_model": "Model that the rule chose.",
    "calls": "Charged calls.",
    "cost_usd": "What they cost, US dollars; NULL where none has a price.",
    "unpriced_calls": "Calls without a price that need one; they are in no sum of money.",
    "work": "Sessions, or traces of calls that name none; one counts in each row that it has calls in.",
    "judged": "Those of them of which it is known how they ended.",
    "successes": "Those of them that ended well: by score at least 0.5, or by label success or pass.",
    "success_rate": "Part of the judged ones that ended well, 0 to 1; NULL where none is judged.",
    "avoided_usd": "What routed calls would have cost more at the model that was asked for.",
    "would_save_usd": "What the others would have cost less at the chosen model, for the same tokens, none cached.",
}
_KEYS: Final = ("rule", "arm", "chosen_model")
_COUNTS: Final = ("calls", "unpriced_calls")
_MONEY: Final = ("cost_usd", "avoided_usd", "would_save_usd")


def routes(ledger: Ledger, asked: Question) -> Answer:
    """Return a row for each of what is asked for, rule, arm and chosen model, in that order."""
    cells = labelled(ask_cells(ledger, asked, ROUTE_CELLS), asked, asked.by)
    told = outcomes_told(ledger, asked, None, LOWEST_SUCCESS) if cells.height else None
    found = with_ends(cells, cells.lazy().select("trace", "work", "is_session").unique(), told)
    keys = [*asked.by, *_KEYS]
    sums = [pl.when(pl.col(name).is_not_null().any()).then(pl.col(name).cast(SUM).sum()).alias(name) for name in _MONEY]
    work, ended = pl.col("work"), pl.col("succeeded")
    works = [
        work.n_unique(),
        work.filter(ended.is_not_null()).n_unique().alias("judged"),
        work.filter(ended).n_unique().alias("successes"),
    ]
    frame = (
        found.group_by(keys).agg(*(pl.col(name).sum() for name in _COUNTS), *works, *sums).sort(keys, nulls_last=True)
    )
    rates = [rounded(row["successes"], row["judged"]) if row["judged"] else None for row in frame.to_dicts()]
    frame = frame.with_columns(pl.Series("success_rate", rates, SHARE))
    return Answer(frame.select(*asked.by, *COLUMNS), _said(frame))


def _ask(ledger: Ledger, asked: Question) -> pl.DataFrame:
    first, last = asked.period.utc_days()
    return ask_priced(ledger, "routes", "routes_rows", first=first, last=last, **parameters(asked, asked.by))


ROUTE_CELLS: Final = Cells("routes", ("routes", "routes_rows"), _ask, prices=True)
"""The question about calls that the report adds up."""


def _said(frame: pl.DataFrame) -> tuple[str, ...]:
    if not frame.height:
        return ("no rule of a router looked at a call in these days",)
    said = []
    for arm in ("routed", "holdout", "shadow"):
        rows = frame.filter(pl.col("arm") == arm)
        if rows.height:
            cost = sum(rows["cost_usd"].drop_nulls(), Decimal(0))
            judged, successes = int(rows["judged"].sum()), int(rows["successes"].sum())
            ended = f", {share(successes, judged)} of {judged:,} judged ended well" if judged else ""
            column = "avoided_usd" if arm == "routed" else "would_save_usd"
            saved = sum(rows[column].drop_nulls(), Decimal(0))
            words = "saved" if arm == "routed" else "would have saved"
            said.append(f"{arm}: {calls_told(int(rows['calls'].sum()))}, {usd(cost)}{ended}; {words} {usd(saved)}")
    return tuple(said)


ROUTES: Final = Report(
    "routes",
    "The arms of the router beside each other: calls, cost, success, what was or would have been saved.",
    routes,
    COLUMNS,
    details="""\
    spanledger report routes
    spanledger report routes --by feature --from 2026-11-01

Reads spans, of days that are over once (docs/reports.md).""",
    beside=(OUTCOMES,),
)
