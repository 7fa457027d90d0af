"""What calls say of themselves: how much of the cost can be told by team, customer, user, feature, session, each tag.

A report by team is worth as much as the calls that name one; asked by service, this one says whose do not.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Final

import polars as pl

from spanledger_analytics.connection import Ledger

from .answer import Answer, Report, calls_told, pico_of, said_of_totals, share, usd
from .cells import Cells, ask_cells
from .concentration import SHARE, rounded
from .question import Question
from .totals import add_up, labelled, parameters, totals

KNOWN: Final = ("team", "customer", "user", "feature", "session")
"""Tags that are told of even where no call says them."""
COLUMNS: Final = {
    "tag": "What calls say; NULL for those that say none of these, nor a tag of their own.",
    "calls": "Charged calls that say it; one that says several is in several rows.",
    "calls_share": "Of all calls of the row's group, 0 to 1.",
    "cost_usd": "US dollars, exact, of these calls; NULL where no call of the row has a price.",
    "cost_share": "Of the cost of all calls of the group.",
}


def tag_coverage(ledger: Ledger, asked: Question) -> Answer:
    """Return what calls say, a row each of `by` and tag, in their order: KNOWN, other tags by name, none of them."""
    by = asked.by
    found = ask_cells(ledger, asked, TAG_CELLS)
    said = add_up(labelled(found, asked, by), (*by, "tag"))
    whole = totals(ledger, asked)
    every = pl.DataFrame({"tag": [*KNOWN, None]}, schema={"tag": pl.String})
    groups = whole.select(*by, pl.col("calls").alias("of_calls"), pl.col("cost_usd").alias("of_usd"))
    wanted = pl.concat([groups.select(*by).join(every, how="cross") if by else every, said.select(*by, "tag")]).unique()
    rows = wanted.join(said, on=[*by, "tag"], how="left", nulls_equal=True)
    rows = rows.join(groups, on=by, how="left", nulls_equal=True) if by else rows.join(groups, how="cross")
    return Answer(_shares(rows).sort(*by, "place", "tag", nulls_last=True).select(*by, *COLUMNS), _said(whole, said))


def _ask(ledger: Ledger, asked: Question) -> pl.DataFrame:
    first, last = asked.period.utc_days()
    return ledger.ask("tag_coverage", first=first, last=last, **parameters(asked, asked.by))


TAG_CELLS: Final = Cells("tag_coverage", ("tag_coverage",), _ask)


def _shares(rows: pl.DataFrame) -> pl.DataFrame:
    nothing = pl.lit(Decimal(0), pl.Decimal(38, 12))
    known = rows.with_columns(
        pl.col("calls").fill_null(0),
        pl.when(pl.col("calls").is_null()).then(nothing).otherwise(pl.col("cost_usd")).alias("cost_usd"),
        pl.col("tag").replace_strict(list(KNOWN), range(len(KNOWN)), default=len(KNOWN)).alias("place"),
    ).with_columns(pl.when(pl.col("tag").is_not_null()).then("place").alias("place"))
    shares = [
        (rounded(row["calls"], row["of_calls"]), rounded(pico_of(row["cost_usd"]), pico_of(row["of_usd"])))
        for row in known.to_dicts()
    ]
    return known.with_columns(
        pl.Series("calls_share", [calls for calls, _ in shares], SHARE),
        pl.Series("cost_share", [cost for _, cost in shares], SHARE),
    )


def _said(whole: pl.DataFrame, said: pl.DataFrame) -> tuple[str, ...]:
    """Return what is said of the totals, and what no tag says anything about."""
    notes = said_of_totals(whole)
    silent = said.filter(pl.col("tag").is_null())
    calls, cost = int(silent["calls"].sum()), sum(silent["cost_usd"].drop_nulls(), Decimal(0))
    if not calls:
        return notes
    all_cost = sum(whole["cost_usd"].drop_nulls(), Decimal(0))
    of_calls, of_cost = share(calls, int(whole["calls"].sum())), share(cost, all_cost)
    return (*notes, f"unallocated: {calls_told(calls)} ({of_calls}), {usd(cost)} ({of_cost}) that say none of them")


TAG_COVERAGE: Final = Report(
    "tag-coverage",
    "What calls say: how much of the cost can be told by team, customer, user, feature, session, each tag.",
    tag_coverage,
    COLUMNS,
    details="""\
    spanledger report tag-coverage
    spanledger report tag-coverage --by service
    spanledger report tag-coverage --by day --where environment=production

How calls come to say something is in docs/tags.md.
Reads spans, of days that are over once (docs/reports.md).""",
)
