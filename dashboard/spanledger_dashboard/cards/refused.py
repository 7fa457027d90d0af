"""What rules did to calls: refusals over time, what each rule did, and the latest decisions with their traces."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC
from decimal import Decimal
from typing import Any, Final

import polars as pl
import streamlit as st

from spanledger_analytics.spend import Doubts
from spanledger_dashboard.charts.held_up import refused_figure, times_of
from spanledger_dashboard.components.card import card, show_answer
from spanledger_dashboard.components.figure import show_figure
from spanledger_dashboard.components.heading import show_heading
from spanledger_dashboard.components.rows import Row, show_dearest, show_rows
from spanledger_dashboard.data import now, shown_lake
from spanledger_dashboard.format import day_name, many, usd
from spanledger_dashboard.state import View, Window

_REFUSED_PX: Final = 420
_LATEST_PX: Final = 360
_MOST_RULES: Final = 8
_MOST: Final = 8
_REFUSING: Final = ("block", "defer")
_DONE: Final = {
    "block": ("refused", "would have refused"),
    "defer": ("put off", "would have put off"),
    "degrade": ("had a cheaper model answer", "would have had a cheaper model answer"),
    "throttle": ("slowed down", "would have slowed down"),
    "warn": ("warned of", "would have warned of"),
}
"""Action to what a rule did to calls, and what in shadow it would have done."""
_WORDS: Final = {
    "block": "refused",
    "defer": "put off",
    "degrade": "degraded",
    "throttle": "slowed",
    "warn": "warned",
}
_READING: Final = "A refused call is never sent and costs nothing; pale is what rules in shadow would have refused."
_FREE: Final = "A call that was let through is in the sums of its model; a refused one is in no count of calls."


@card("refused", _REFUSED_PX)
def show_refused(asked: Window) -> None:
    """Draw refusals over time by rule, and list what every rule did."""
    lake = shown_lake()
    times = times_of(asked.period, now())
    question = asked.question((times.unit,))
    frame = lake.report("refusals", question).frame
    refusals = frame.filter(pl.col("action").is_in(_REFUSING))
    answer = answer_of(frame)
    show_heading(answer, _READING, Doubts())
    if refusals.height:
        show_figure(
            refused_figure(refusals, times), key="refused", alt=f"Bars of refused calls by rule over time. {answer}."
        )
    show_rows([rule_row(row) for row in by_rule(frame).head(_MOST_RULES).to_dicts()])
    st.caption(_FREE)
    show_answer(lake, "refused", "refusals", question)


def answer_of(frame: pl.DataFrame) -> str:
    """Say how many calls were refused, and would have been."""
    refused = int(frame["refused_calls"].sum())
    shadow = int(frame.filter("shadow", pl.col("action").is_in(_REFUSING))["calls"].sum())
    if not refused and not shadow:
        return "No call was refused"
    said = "No call was refused"
    if refused:
        held = frame.filter(pl.col("refused_calls") > 0)
        expected = sum(held["estimate_usd"].drop_nulls(), Decimal(0))
        cost = f", expected to cost {usd(expected)}" if expected else ""
        said = f"{many(refused, 'call')} {_was(refused)} refused{cost}"
    return f"{said}; in shadow {many(shadow, 'call')} would have been" if shadow else said


def _was(number: int) -> str:
    return "was" if number == 1 else "were"


def by_rule(frame: pl.DataFrame) -> pl.DataFrame:
    """Add up a frame of the report `refusals` by rule, action and shadow, what refused most first."""
    money = pl.col("estimate_usd")
    sums = (
        pl.col("calls").sum(),
        pl.col("refused_calls").sum(),
        pl.col("unknown_calls").sum(),
        pl.when(money.is_not_null().any()).then(money.sum()).alias("estimate_usd"),
    )
    keys = ["rule", "kind", "action", "shadow"]
    order = ["refused_calls", "calls", *keys]
    found = frame.group_by(keys).agg(sums)
    return found.sort(order, descending=[True, True, *(False for _ in keys)], nulls_last=True)


def rule_row(row: Mapping[str, Any]) -> Row:
    """Say what a rule did to how many calls."""
    did, would = _DONE.get(row["action"], (row["action"], f"would have done: {row['action']}"))
    kind = f"The {row['kind']}" if row["kind"] else "The rule"
    calls = many(row["calls"], "call")
    cost = f", expected to cost {usd(row['estimate_usd'])}" if row["estimate_usd"] else ""
    unknown = f"; of {row['unknown_calls']:,} it isn't known" if cost and row["unknown_calls"] else ""
    return Row(
        f"{row['calls']:,}",
        f"{row['rule'] or '(no rule named)'}{', in shadow' if row['shadow'] else ''}",
        f"{kind} {would if row['shadow'] else did} {calls}{cost}{unknown}.",
    )


@card("latest-decisions", _LATEST_PX)
def show_latest(asked: Window) -> None:
    """List the latest decisions, each with a way to its trace."""
    lake = shown_lake()
    question = asked.question()
    frame = lake.report("decisions", question).frame
    show_heading(_latest(frame), "The latest first. A sentence is what the application was told.", Doubts())
    show_dearest(together(frame), decision_row, _MOST)
    show_answer(lake, "latest-decisions", "decisions", question)


def together(frame: pl.DataFrame) -> pl.DataFrame:
    """Return a row for what a rule did to the calls of a trace: the latest of them, and `times`, how many there are."""
    keys = ["trace_id", "rule", "kind", "scope", "action", "shadow"]
    rest = [pl.col(name).first() for name in frame.columns if name not in keys]
    return frame.group_by(keys, maintain_order=True).agg(*rest, pl.len().alias("times"))


def _latest(frame: pl.DataFrame) -> str:
    if not frame.height:
        return "No rule had anything to decide"
    row = frame.row(0, named=True)
    if is_of_breaker(row):
        return f"Latest: the breaker '{row['rule']}', {_moment(row)}"
    word = _word(row["action"])
    did = f"would have {word}" if row["shadow"] else word
    return f"Latest: '{row['rule'] or 'a rule'}' {did}, {_moment(row)}"


def _word(action: str) -> str:
    return _WORDS.get(action, action)


def _moment(row: Mapping[str, Any]) -> str:
    at = row["time"].astimezone(UTC)
    return f"{day_name(at.date())} {at:%H:%M:%S} UTC"


def _times(number: int) -> str:
    return f", {number} times in that request" if number > 1 else ""


def is_of_breaker(row: Mapping[str, Any]) -> bool:
    """Tell whether a decision is no call's, but a change of a breaker's state."""
    return row["kind"] == "breaker" and not row["model"]


def decision_row(row: Mapping[str, Any]) -> Row:
    """Say what a rule decided, of whom, and where it can be seen."""
    of_breaker = is_of_breaker(row)
    whose = " · ".join(row[name] for name in ("team", "feature", "user", "model") if row[name])
    scope = "" if not row["scope"] or row["scope"] in whose else f" ({row['scope']})"
    word = _word(row["action"])
    title = f"{row['rule'] or '(no rule named)'}{scope}"
    said = row["sentence"] or ("It was refused." if row["refused"] else "Nothing more is known of it.")
    told = f"{title}: would have {word}" if row["shadow"] and not of_breaker else title
    return Row(
        "in shadow" if row["shadow"] else "breaker" if of_breaker else word,
        told,
        f"{_moment(row)}{f', {whose}' if whose else ''}{_times(row['times'])}: {said}",
        "" if of_breaker else f"See request {row['trace_id'][-8:]}",
        View().at_day(row["time"].astimezone(UTC).date()).at_trace(row["trace_id"]).parameters(),
    )
