"""The answer of each view in one sentence, as plain text: what a reader would say to a colleague."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from datetime import date
from decimal import Decimal
from typing import Any

import polars as pl

from spanledger_analytics.resent import Resent
from spanledger_analytics.spend import cost_of
from spanledger_analytics.tree import Facts

from .charts.movers import Move, cause
from .format import change, day_name, duration, hour_name, many, share, times, usd, visible

NO_USER = "(no user)"


def person(user: str) -> str:
    """Name a user, or the lack of one."""
    return visible(user, 40) if user else NO_USER


def period(days: pl.DataFrame, first: date, today: date) -> str:
    """Say what a stretch of days cost and which full day was the dearest."""
    length = (today - first).days + 1
    spent = cost_of(days)
    if not days.height:
        return f"No calls in the last {length} days"
    if spent is None:
        return f"No call of the last {length} days has a price"
    sentence = f"The last {length} days cost {usd(spent)}"
    full = days.filter((pl.col("dt") < today) & pl.col("cost_usd").is_not_null())
    if full.height < 3:
        return sentence
    dearest = full.sort("cost_usd", "dt", descending=True).row(0, named=True)
    more = _beyond(dearest["cost_usd"], full, "the usual day")
    return f"{sentence}; {day_name(dearest['dt'])} was the dearest at {usd(dearest['cost_usd'])}{more}"


def day(
    view_day: date,
    spent: pl.DataFrame,
    compared: tuple[Decimal | None, Decimal | None],
    users: pl.DataFrame,
    current: int | None,
) -> str:
    """Say what a day cost, against the same weekday, and who made most of it.

    `compared` is what it and the weekday cost, both before the hour `current` of a day that isn't over.
    """
    cost, (until, past) = cost_of(spent), compared
    if not spent.height:
        return f"No calls on {day_name(view_day)}"
    so_far = "" if current is None else " so far"
    if cost is None:
        return f"No call of {day_name(view_day)} has a price{so_far}"
    sentence = f"{day_name(view_day)} {'has cost' if so_far else 'cost'} {usd(cost)}{so_far}"
    if until is not None and past:
        sentence += f", {_against(until, past)} {view_day:%A} last week{by_hour(current)}"
    return sentence + _leader(users, cost)


def by_hour(current: int | None) -> str:
    """Say until when a day is compared whose hour `current` isn't over; nothing of a day that is."""
    return "" if current is None else f" by {current:02d}:00"


def hour(view_day: date, view_hour: int, users: pl.DataFrame) -> str:
    """Say what an hour cost and who made most of it."""
    if not users.height:
        return f"No calls on {day_name(view_day)} from {hour_name(view_hour)} UTC"
    cost, name = cost_of(users), f"{day_name(view_day)}, {hour_name(view_hour)} UTC"
    return f"No call of {name} has a price" if cost is None else f"{name} cost {usd(cost)}" + _leader(users, cost)


def user(name: str, requests: pl.DataFrame) -> str:
    """Say what a user's requests cost and how the dearest compares."""
    if not requests.height:
        return f"{person(name)} made no requests here"
    cost = cost_of(requests)
    made = f"{person(name)} made {many(requests.height, 'request')}"
    if cost is None:
        return f"{made}, none with a price"
    sentence = f"{made} for {usd(cost)}"
    priced = requests.filter(pl.col("cost_usd").is_not_null())
    if priced.height < 2:
        return sentence
    dearest = max(priced["cost_usd"])
    more = _beyond(dearest, priced, "the median")
    return f"{sentence}; the dearest cost {usd(dearest)}{more}"


def trace(name: str, facts: Facts, split: Resent) -> str:
    """Say what a request cost and how much of that paid for history."""
    places = 4 if facts.cost_usd is not None and facts.cost_usd < 10 else None
    cost = "has no price" if facts.cost_usd is None else f"cost {usd(facts.cost_usd, places)}"
    sentence = f"{visible(name, 50)} {cost}"
    if split.resent_usd and split.billed_usd and split.resent_usd * 20 > split.billed_usd:
        sentence += f"; {share(split.resent_usd, split.billed_usd)} of it re-sends history"
    return sentence


def succeeded(outcome: Mapping[str, Any]) -> bool | None:
    """Tell whether a row of the query `trace_outcomes` is a success; None where it is neither said nor scored."""
    label = (outcome["label"] or "").lower()
    if label in ("success", "pass"):
        return True
    if label:
        return False if label in ("failure", "fail") else None
    return None if outcome["score"] is None else outcome["score"] >= 1


def outcome(row: Mapping[str, Any]) -> str:
    """Say how work ended: what was judged, how, of what, and what it was worth."""
    judged = row["label"] or (f"score {row['score'].normalize():f}" if row["score"] is not None else "done")
    worth = f", worth {usd(row['value_usd'])}" if row["value_usd"] is not None else ""
    of = "" if row["of_trace"] else " (said of its session)"
    return f"{visible(row['name'] or 'outcome', 40)}: {visible(judged, 40)}{worth}{of}"


def drivers(frame: pl.DataFrame, name: str) -> str:
    """Say what most of a request's dollars were for, and what was sent again; `name` is that of the first part."""
    cost = cost_of(frame)
    if not cost:
        return "Nothing of this request has a price"
    first = frame.row(0, named=True)
    sentence = f"{name[:1].upper()}{name[1:]}: {share(first['cost_usd'], cost)} of the dollars"
    again = sum(frame["again_usd"].drop_nulls(), Decimal(0))
    if again and first["part"] != "history":
        sentence += f"; {share(again, cost)} paid for what had been sent before"
    return sentence


def history(split: Resent) -> str:
    """Say what re-sending history did to a request's bill."""
    if split.input_tokens == split.new_tokens:
        return "Every input token was sent once."
    sentence = f"The model was sent {split.input_tokens:,} input tokens; {split.new_tokens:,} of them were new."
    if split.factor is None:
        return sentence
    return (
        f"{sentence} Each sent once would have cost {usd(split.once_usd, 4)}; "
        f"{usd(split.billed_usd, 4)} was billed, {times(split.factor)}."
    )


def movers(moves: Sequence[Move]) -> str:
    """Say what rose and what fell most."""
    if not moves:
        return "Nothing rose or fell"
    first = moves[0]
    said = f"{visible(first.name, 40)} {_moved(first)} most, by {usd(abs(first.change_usd))}: {cause(first)}"
    other = next((move for move in moves if (move.change_usd > 0) != (first.change_usd > 0)), None)
    if other is None:
        return said
    return f"{said}; {visible(other.name, 40)} {_moved(other)} by {usd(abs(other.change_usd))}"


def _moved(move: Move) -> str:
    return "rose" if move.change_usd > 0 else "fell"


def took(facts: Facts) -> str:
    """Say when a trace began and how long it took."""
    return f"{day_name(facts.started.date())} {facts.started:%H:%M:%S} UTC, {duration(facts.duration_us)}"


def _beyond(cost: Decimal, others: pl.DataFrame, what: str) -> str:
    middle = statistics.median(others["cost_usd"].to_list())
    return f", {times(float(cost / middle))} {what}" if middle else ""


def _against(cost: Decimal, past: Decimal) -> str:
    factor = float(cost / past)
    if 0.67 <= factor < 1.5:
        return f"{change(cost, past)} on"
    return f"{times(factor)}"


def _leader(users: pl.DataFrame, cost: Decimal) -> str:
    if not cost or users.height < 2:
        return ""
    first = users.row(0, named=True)
    if not first["cost_usd"] or first["cost_usd"] * 5 < cost:
        return ""
    return f"; {person(first['user_id'])} is {share(first['cost_usd'], cost)} of it"
