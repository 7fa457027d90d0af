"""What controls saved: answers from caches and cheaper models over time, and the arms of the router."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final

import polars as pl

from spanledger_analytics.spend import Doubts
from spanledger_dashboard.charts.held_up import WAYS, avoided_figure, saved_words, times_of
from spanledger_dashboard.components.card import card, show_answer
from spanledger_dashboard.components.figure import show_figure
from spanledger_dashboard.components.heading import show_heading
from spanledger_dashboard.components.rows import Row, show_rows
from spanledger_dashboard.data import now, shown_lake
from spanledger_dashboard.format import many, share, usd
from spanledger_dashboard.state import Window

_AVOIDED_PX: Final = 420
_ROUTES_PX: Final = 300
_MOST: Final = 8
_READING: Final = "What calls that weren't made, or were made at a cheaper model, would have cost more; in no cost."
_ARMS: Final = (
    "An arm is what became of calls that a rule of the router is about. Success is that of sessions whose end is known."
)
_ARM: Final = {
    "routed": "went to the chosen model",
    "holdout": "were held back, to compare with",
    "shadow": "were only looked at",
}


@card("avoided", _AVOIDED_PX)
def show_avoided(asked: Window) -> None:
    """Draw dollars that were avoided over time by way, and list the rules that did."""
    lake = shown_lake()
    times = times_of(asked.period, now())
    question = asked.question((times.unit, "feature"))
    frame = lake.report("avoided", question).frame
    answer = answer_of(frame)
    show_heading(answer, _READING, Doubts())
    if frame.height:
        show_figure(
            avoided_figure(frame, times), key="avoided", alt=f"Bars of dollars avoided by way over time. {answer}."
        )
        show_rows([_row(row) for row in by_rule(frame).head(_MOST).to_dicts()])
    show_answer(lake, "avoided", "avoided", question)


def answer_of(frame: pl.DataFrame) -> str:
    """Say what was avoided, and on how many calls and steps."""
    if not frame.height:
        return "Nothing was avoided"
    unknown = int(frame["unknown_calls"].sum())
    lacking = f", of {many(unknown, 'call')} it isn't known" if unknown else ""
    return f"{saved_words(frame)} avoided, on {many(int(frame['calls'].sum()), 'call')}{lacking}"


def by_rule(frame: pl.DataFrame) -> pl.DataFrame:
    """Add up a frame of the report `avoided` by way and rule, what saved most first."""
    money = pl.col("avoided_usd")
    sums = (
        pl.col("calls").sum(),
        pl.col("unknown_calls").sum(),
        pl.when(money.is_not_null().any()).then(money.sum()).alias("avoided_usd"),
        pl.col("feature").drop_nulls().unique().sort().alias("features"),
    )
    return (
        frame.group_by("way", "rule")
        .agg(sums)
        .sort("avoided_usd", "way", "rule", descending=[True, False, False], nulls_last=True)
    )


def _row(row: Mapping[str, Any]) -> Row:
    rule = f": {row['rule']}" if row["rule"] and row["rule"] != row["way"] else ""
    unknown = f"; of {row['unknown_calls']:,} it isn't known" if row["unknown_calls"] else ""
    where = f" in {', '.join(row['features'][:3])}" if row["features"] else ""
    name = WAYS[row["way"]][0]
    noun = "step" if row["way"] == "step" else "call"
    return Row(
        "unknown" if row["avoided_usd"] is None else usd(row["avoided_usd"]),
        f"{name[:1].upper()}{name[1:]}{rule}",
        f"{many(row['calls'], noun)}{where}{unknown}.",
    )


@card("routes", _ROUTES_PX)
def show_routes(asked: Window) -> None:
    """List the arms of the router beside each other."""
    lake = shown_lake()
    question = asked.question()
    frame = lake.report("routes", question).frame
    show_heading(routes_answer(frame), _ARMS, Doubts())
    show_rows([arm_row(row) for row in frame.head(_MOST).to_dicts()])
    show_answer(lake, "routes", "routes", question)


def routes_answer(frame: pl.DataFrame) -> str:
    """Say what routing saved, or what it would save."""
    saved = sum(frame["avoided_usd"].drop_nulls(), Decimal(0))
    would = sum(frame["would_save_usd"].drop_nulls(), Decimal(0))
    routed = int(frame.filter(pl.col("arm") == "routed")["calls"].sum())
    if routed:
        more = f"; the others would have saved {usd(would)}" if would > 0 else ""
        return f"Routing saved {usd(saved)} on {many(routed, 'call')}{more}"
    if would > 0:
        return f"Routing would have saved {usd(would)} on {many(int(frame['calls'].sum()), 'call')}"
    return "Routing would have saved nothing"


def arm_row(row: Mapping[str, Any]) -> Row:
    """Say what became of an arm's calls."""
    each = "" if row["cost_usd"] is None else f", {usd(row['cost_usd'] / row['calls'])} each"
    ended = (
        f" {share(row['success_rate'], 1)} of {many(row['judged'], 'session')} that were judged ended well."
        if row["judged"]
        else " Of none it is known how it ended."
    )
    saved = row["avoided_usd"] if row["arm"] == "routed" else row["would_save_usd"]
    return Row(
        "" if saved is None else usd(saved),
        f"{row['rule']}: {row['arm'] or '(no arm)'}, {row['chosen_model'] or '(no model)'}",
        f"{many(row['calls'], 'call')} {_ARM.get(row['arm'] or '', 'of it')}{each}.{ended}",
    )
