"""What a call, a request, a session and a success cost: the cheapest by the call is not always the cheapest by success.

Work that failed, and work that nobody judged in time, is paid for by the successes: that is what a success costs. Work
that may still be judged is set apart, or the latest days would always look dear.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Final, cast

import polars as pl

from spanledger_analytics.connection import Ledger
from spanledger_analytics.errors import QuestionError
from spanledger_collector.tables import OUTCOMES

from .answer import Answer, Option, Report, Value, said_of_totals, share, usd
from .calendar import UNITS
from .concentration import rounded
from .intervals import LEAST, Sums, interval
from .question import Question
from .totals import totals
from .work import STATES, Kind, work

COLUMNS: Final = {
    "rank": "1 is the cheapest by success (of its unit of time); NULL without a success.",
    "call_rank": "1 is the cheapest by call.",
    "success_usd": "US dollars a success: all decided work, failed and silent included, by its successes.",
    "low_usd": f"Lower end of the 95 % interval of success_usd; NULL for fewer than {LEAST} pieces of decided work.",
    "high_usd": "Upper end; NULL also where the successes are too few to say one.",
    "session_usd": "US dollars a piece of work, however it ended: a session, or a trace whose calls name none.",
    "request_usd": "US dollars a request, which is a trace.",
    "call_usd": "US dollars a call.",
    "successes": "Pieces of work the latest outcome of which is a success.",
    "failures": "Those the latest outcome of which is none.",
    "silent": "Those that ended longer ago than the window, without an outcome; they count as failed.",
    "undecided": "Those without an outcome that ended within the window; not part of success_usd.",
    "successes_per_usd": "Successes a dollar of decided work.",
    "cost_usd": "US dollars, exact; all rows add up to the total. NULL where no call of the row has a price.",
    "apart_usd": "Part of cost_usd: of undecided work, with --judged-only also of silent work.",
    "requests": "Traces.",
    "calls": "Charged calls.",
    "unpriced_calls": "Calls without a price that need one; they are in no sum of money.",
}
EXTRAS: Final = ("successes_per_usd", "cost_usd", "apart_usd", "requests", "calls", "unpriced_calls")
_RATIO: Final = pl.Decimal(38, 6)
_MONEY: Final = pl.Decimal(38, 12)
_PICO: Final = 10**12
_NANO: Final = 10**9
_NOTED: Final = 3
_COMPARED: Final = 50
"""Rows that are looked through for turned ranks."""
_STEP: Final = Decimal("0.000001")


def unit_cost(
    ledger: Ledger,
    asked: Question,
    *,
    window: int,
    unit: str,
    outcome: str | None,
    at_least: str,
    judged_only: bool,
    more: bool,
    now: datetime | None = None,
) -> Answer:
    """Return what units cost, by unit of time, then cheapest success first, those without one by cost of a call.

    `window` is in days; `now` (None: this moment) is what it is counted back from.

    Raises:
        QuestionError: the window is below 0, or `at_least` is no number.
    """
    if window < 0 or not at_least.replace(".", "", 1).isdecimal():
        raise QuestionError("--window takes a number of days, and --at-least the lowest score of a success, as 0.5")
    judged_until = (now or datetime.now(UTC)) - timedelta(days=window)
    pieces = work(
        ledger, asked, cast("Kind", unit), outcome=outcome, at_least=Decimal(at_least), judged_until=judged_until
    )
    apart = ("undecided", "silent") if judged_only else ("undecided",)
    pieces = pieces.with_columns(pl.col("state").is_in(apart).not_().alias("decided"))
    rows = _rows(pieces, asked.by)
    frame = rows.select(*asked.by, *(name for name in COLUMNS if more or name not in EXTRAS))
    said = [*_said(_rows(pieces, ()), unit, window, judged_only=judged_only), *_turned(rows, asked.by)]
    return Answer(frame, (*said_of_totals(totals(ledger, asked, ())), *said))


def _rows(pieces: pl.DataFrame, by: Sequence[str]) -> pl.DataFrame:
    """Return COLUMNS for each of `by`, in order; of everything without `by`."""
    told = pieces.with_columns(
        (pl.col("cost_usd").fill_null(0) * _NANO).cast(pl.Int128).alias("x"),
        (pl.col("state") == "success").cast(pl.Int128).alias("y"),
        pl.lit(0).alias("all"),
    )
    decided, cost = pl.col("decided"), pl.col("cost_usd")
    sums = told.group_by(*by, "all").agg(
        pl.when(cost.is_not_null().any()).then(cost.sum()).alias("cost_usd"),
        cost.filter(~decided).sum().cast(_MONEY).alias("apart_usd"),
        *((pl.col("state") == state).sum().cast(pl.Int64).alias(state) for state in STATES),
        *(pl.col(name).sum() for name in ("requests", "calls", "unpriced_calls")),
        pl.len().cast(pl.Int64).alias("works"),
        decided.sum().cast(pl.Int64).alias("count"),
        pl.col("x").filter(decided).sum().alias("sum_x"),
        (pl.col("x") * pl.col("x")).filter(decided).sum().alias("sum_xx"),
        (pl.col("x") * pl.col("y")).filter(decided).sum().alias("sum_xy"),
    )
    priced = pl.DataFrame(
        [row | _prices(row) for row in sums.to_dicts()], schema=_schema(sums), infer_schema_length=None
    )
    units = [name for name in UNITS if name in by]
    ranked = priced.with_columns(_rank("success_usd", units).alias("rank"), _rank("call_usd", units).alias("call_rank"))
    others = [name for name in by if name not in UNITS]
    return ranked.sort(*units, "rank", "call_usd", *others, nulls_last=True)


def _schema(sums: pl.DataFrame) -> dict[str, pl.DataType | type[pl.DataType]]:
    ratios = dict.fromkeys(_prices(dict.fromkeys(sums.columns, 0)), _RATIO)
    counts = {"successes": pl.Int64, "failures": pl.Int64}
    return {**sums.schema, **ratios, **counts}


def _prices(row: dict[str, Value]) -> dict[str, Decimal | int | None]:
    """Return what is reckoned from the sums of a row."""
    cost = None if row["cost_usd"] is None else int(Decimal(row["cost_usd"]) * _PICO)
    decided = 0 if cost is None else cost - int(Decimal(row["apart_usd"] or 0) * _PICO)
    successes = int(row["success"] or 0)
    sums = Sums(
        int(row["count"] or 0), int(row["sum_x"] or 0), int(row["sum_xx"] or 0), int(row["sum_xy"] or 0), successes
    )
    low, high = interval(sums) if cost is not None else (None, None)
    return {
        "success_usd": _each(cost if cost is None else decided, successes),
        "low_usd": None if low is None else (low / _NANO).quantize(_STEP),
        "high_usd": None if high is None else (high / _NANO).quantize(_STEP),
        "session_usd": _each(cost, row["works"]),
        "request_usd": _each(cost, row["requests"]),
        "call_usd": _each(cost, row["calls"]),
        "successes_per_usd": None if cost is None else rounded(successes * _PICO, decided),
        "successes": successes,
        "failures": int(row["failure"] or 0),
    }


def _each(cost: int | None, count: Value) -> Decimal | None:
    """Return dollars for one of so many, of whole pico-dollars."""
    return None if cost is None else rounded(cost, int(count or 0) * _PICO)


def _rank(column: str, units: Sequence[str]) -> pl.Expr:
    rank = pl.col(column).rank("min").cast(pl.Int64)
    return rank.over(units) if units else rank


def _said(whole: pl.DataFrame, unit: str, window: int, *, judged_only: bool) -> list[str]:
    if not whole.height:
        return []
    row = whole.row(0, named=True)
    of = "sessions (traces where calls name none)" if unit == "session" else "traces"
    counts = ", ".join(f"{row[name]:,} {name}" for name in ("successes", "failures", "silent", "undecided"))
    said = [f"{row['works']:,} {of}: {counts}"]
    if row["success_usd"] is not None:
        ends = [None if end is None else usd(end) for end in (row["low_usd"], row["high_usd"])]
        sure = (
            f"95 % interval {ends[0]} to {ends[1] or 'no known end'}, Fieller" if ends[0] else "too few for an interval"
        )
        said.append(
            f"a success costs {usd(row['success_usd'])} ({sure}); {row['successes_per_usd']} successes a dollar"
        )
    apart = usd(row["apart_usd"])
    if judged_only:
        said.append(f"set apart: {apart} of work without an outcome, however long ago it ended")
    elif row["undecided"]:
        said.append(f"set apart: {apart} of work that ended within {window} days and has no outcome yet")
    if row["silent"] and not judged_only:
        part = share(row["silent"], row["works"])
        said.append(f"never judged: {row['silent']:,} ({part}) count as failed; --judged-only leaves them out")
    return said


def _turned(rows: pl.DataFrame, by: Sequence[str]) -> list[str]:
    """Return where a rank by success is the other way round than by call, the widest first."""
    if not by or any(name in UNITS for name in by):
        return []
    known = rows.filter(pl.col("success_usd").is_not_null()).head(_COMPARED).to_dicts()
    pairs = [
        (dear["success_usd"] / cheap["success_usd"], cheap, dear)
        for place, cheap in enumerate(known)
        for dear in known[place + 1 :]
        if dear["call_usd"] < cheap["call_usd"] and cheap["success_usd"] < dear["success_usd"]
    ]
    pairs.sort(key=lambda pair: -pair[0])
    return [_flip(cheap, dear, by) for _, cheap, dear in pairs[:_NOTED]]


def _flip(cheap: dict[str, Value], dear: dict[str, Value], by: Sequence[str]) -> str:
    names = [", ".join("-" if row[name] is None else str(row[name]) for name in by) for row in (dear, cheap)]
    calls = [usd(Decimal(row["call_usd"] or 0)) for row in (dear, cheap)]
    successes = [usd(Decimal(row["success_usd"] or 0)) for row in (dear, cheap)]
    apart = cheap["high_usd"] is not None and dear["low_usd"] is not None
    sure = apart and Decimal(cheap["high_usd"] or 0) < Decimal(dear["low_usd"] or 0)
    return (
        f"{names[0]} is cheaper by call than {names[1]} ({calls[0]}, {calls[1]}), dearer by success "
        f"({successes[0]}, {successes[1]}){'' if sure else '; not certain, as their intervals overlap or have no end'}"
    )


UNIT_COST: Final = Report(
    "unit-cost",
    "What a call, a request, a session and a success cost, and where cheap calls make dear successes.",
    unit_cost,
    COLUMNS,
    by=("feature",),
    days=30,
    options=(
        Option("window", int, 7, "Days in which work is judged; what ended since without an outcome is undecided."),
        Option("unit", str, "session", "What an outcome is of.", choices=("session", "trace")),
        Option("outcome", str, None, "Only outcomes of this name count; default: all."),
        Option("at_least", str, "0.5", "Lowest score of a success."),
        Option("judged_only", bool, False, "Leave out silent work too, where only a part of all work is ever judged."),
        Option("more", bool, False, "All columns."),
    ),
    extras=EXTRAS,
    beside=(OUTCOMES,),
    details="""\
    spanledger report unit-cost --by feature
    spanledger report unit-cost --by model --where feature=support --more
    spanledger report unit-cost --by day --unit trace --outcome resolved

A piece of work is a session, or the trace of calls that name none; with --unit trace it is every trace, and outcomes
that name only a session don't count. Of several outcomes the latest counts. It is a success if its score is at least
--at-least; without a score if its label is success or pass; with neither, always.
Work counts whole: for the day it began on, however late it was judged, and for the model (feature, ...) that most of
its money went to; of work across the ends of the days asked, only the calls within them.
The interval is Fieller's for a ratio of means, over pieces of work. Spans are
read, without --by and --where those of days that are over once (docs/reports.md); outcomes are looked up each time.""",
)
