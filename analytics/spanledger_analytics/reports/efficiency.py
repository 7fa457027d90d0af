"""What was paid for that brought little: answers cut off, failures, empty answers, retries, dear models on easy work.

Findings are what to look at, not a sum to be saved: a call may be in several of them, and a cheaper model may answer
worse. What easy calls would have cost at another model is a bound at the book's prices, for the tokens as they were.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final

import polars as pl

from spanledger_analytics.connection import Ledger
from spanledger_analytics.what_if import ask_priced
from spanledger_collector.tables import OUTCOMES

from .answer import Answer, Option, Report, calls_told, pico_of, said_of_totals, share, usd
from .cells import Cells, ask_cells
from .concentration import SHARE, rounded
from .question import Question
from .totals import labelled, parameters, totals
from .work import work

SHORT_IN: Final = 1000
SHORT_OUT: Final = 200
"""Tokens of an easy call, at most."""
LOWEST_SUCCESS: Final = Decimal("0.5")
"""Score of an outcome."""
FINDINGS: Final = {
    "truncated": "answers that were cut off at a limit of tokens (finish_reason), paid whole",
    "failed": "calls that failed and were paid",
    "empty": "answers without a token, whose input was paid",
    "near_cap": "answers that took 90 % of max_tokens or more and weren't cut off",
    "dear_model": "easy calls (short in, short out, no tools): what they cost beyond the cheapest model that their "
    "feature uses; a bound, not a claim",
    "retries": "calls of several attempts: what failed ones may have been billed, estimated, outside the cost of calls",
    "unused_cap": "answers that took half of max_tokens or less; tokens are those left over, which cost nothing",
}
"""Finding to what it is."""
COLUMNS: Final = {
    "finding": "See below; a call may be in several, so rows don't add up.",
    "cost_usd": "Dollars of it, exact: what the calls cost, or what it says below; NULL where none has a price.",
    "cost_share": "Of the cost of all calls of the row's group.",
    "calls": "Calls that it is true of.",
    "calls_share": "Of all calls of the group, 0 to 1.",
    "tokens": "Their tokens, in and out.",
    "success_tokens": "Tokens of all calls of the group for one success, as unit-cost counts it; NULL without one.",
    "cheaper_models": "Of dear_model: the models held against.",
}


def efficiency(ledger: Ledger, asked: Question, *, short_in: int, short_out: int, findings_only: bool) -> Answer:
    """Return a row for each of what is asked for and each finding that is true of a call, the dearest first."""
    found = ask_cells(ledger, asked, finding_cells(short_in, short_out))
    groups, successes = totals(ledger, asked), {} if findings_only else _successes(ledger, asked)
    frame = _with_shares(_added(labelled(found, asked, asked.by), asked), groups, successes, asked)
    all_calls, all_successes = totals(ledger, asked, ()), sum(successes.values())
    notes = [*said_of_totals(all_calls), *_said(frame, all_calls)]
    if all_successes:
        tokens = _rounded(_tokens(all_calls.row(0, named=True)), all_successes)
        notes.append(
            f"a success took {tokens:,} tokens, those of work without success included ({all_successes:,} of them)"
        )
    return Answer(frame.select(*asked.by, *COLUMNS), tuple(notes))


def finding_cells(short_in: int = SHORT_IN, short_out: int = SHORT_OUT) -> Cells:
    """Return the question about findings that the report adds up, by what makes a call easy."""
    limits = {"short_in": max(1, short_in), "short_out": max(1, short_out)}

    def ask(ledger: Ledger, asked: Question) -> pl.DataFrame:
        first, last = asked.period.utc_days()
        told = parameters(asked, asked.by)
        return ask_priced(ledger, "efficiency", "efficiency_rows", first=first, last=last, **limits, **told)

    return Cells("efficiency", ("efficiency", "efficiency_rows"), ask, tuple(limits.values()), prices=True)


def _successes(ledger: Ledger, asked: Question) -> dict[tuple[object, ...], int]:
    """Return how much work of each group ended well."""
    done = work(ledger, asked, "session", outcome=None, at_least=LOWEST_SUCCESS, judged_until=asked.period.end)
    ended = done.filter(pl.col("state") == "success").select(*asked.by, pl.lit(1).alias("one")).rows()
    return dict(Counter(tuple(row[:-1]) for row in ended))


def _tokens(row: Mapping[str, Any]) -> int:
    return int(row["input_tokens"] or 0) + int(row["output_tokens"] or 0)


def _rounded(tokens: int, successes: int) -> int:
    return int(rounded(tokens, successes, 0) or 0)


def _added(found: pl.DataFrame, asked: Question) -> pl.DataFrame:
    cost = pl.col("cost_usd")
    return found.group_by(*asked.by, "finding").agg(
        pl.when(cost.is_not_null().any()).then(cost.sum()).alias("cost_usd"),
        pl.col("calls").sum(),
        pl.col("tokens").sum(),
        pl.col("cheaper_models").explode().drop_nulls().unique().sort().str.join(", ").alias("cheaper_models"),
    )


def _with_shares(
    frame: pl.DataFrame, groups: pl.DataFrame, successes: Mapping[tuple[object, ...], int], asked: Question
) -> pl.DataFrame:
    wholes = {tuple(row[name] for name in asked.by): row for row in groups.to_dicts()}
    costs: list[Decimal | None] = []
    counts: list[Decimal | None] = []
    tokens: list[int | None] = []
    for row in frame.to_dicts():
        group = tuple(row[name] for name in asked.by)
        found, cost = row["cost_usd"], wholes[group]["cost_usd"]
        costs.append(None if found is None or cost is None else rounded(pico_of(found), pico_of(cost)))
        counts.append(rounded(row["calls"], wholes[group]["calls"]))
        tokens.append(_rounded(_tokens(wholes[group]), successes[group]) if group in successes else None)
    return frame.with_columns(
        pl.Series("cost_share", costs, SHARE),
        pl.Series("calls_share", counts, SHARE),
        pl.Series("success_tokens", tokens, pl.Int64()),
        pl.when(pl.col("cheaper_models") != "").then(pl.col("cheaper_models")),
    ).sort(
        ["cost_usd", "calls", "finding", *asked.by],
        descending=[True, True, *[False] * (1 + len(asked.by))],
        nulls_last=True,
    )


def _said(frame: pl.DataFrame, all_calls: pl.DataFrame) -> list[str]:
    """Return a sentence for each finding that cost something, the dearest first."""
    whole = _sum(all_calls, "cost_usd")
    sums = {
        finding: (_sum(rows, "cost_usd"), int(rows["calls"].sum()))
        for finding in FINDINGS
        if (rows := frame.filter(pl.col("finding") == finding)).height
    }
    ordered = sorted(sums.items(), key=lambda one: (-one[1][0], one[0]))
    return [
        f"{finding}: {usd(cost)} ({share(cost, whole)} of the cost), {calls_told(calls)}: {FINDINGS[finding]}"
        for finding, (cost, calls) in ordered
        if cost
    ]


def _sum(frame: pl.DataFrame, column: str) -> Decimal:
    return sum(frame[column].drop_nulls(), Decimal(0))


EFFICIENCY: Final = Report(
    "efficiency",
    "What was paid for that brought little: cut off, failed, empty, retried, dear models on easy work.",
    efficiency,
    COLUMNS,
    by=("feature", "model"),
    beside=(OUTCOMES,),
    options=(
        Option("short_in", int, SHORT_IN, "Most input tokens of an easy call."),
        Option("short_out", int, SHORT_OUT, "Most output tokens of an easy call."),
        Option("findings_only", bool, False, "Without success_tokens, for which spans of all the days are read."),
    ),
    details="""\
    spanledger report efficiency --by feature
    spanledger report efficiency --by model --where team=search --short-in 500
    Reads spans, of days that are over once (docs/reports.md), and prices easy calls at each model that their feature
    uses that day. Findings:
    """
    + "\n    ".join(f"{finding}: {what}" for finding, what in FINDINGS.items()),
)
