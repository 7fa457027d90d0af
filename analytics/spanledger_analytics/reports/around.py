"""What `compare --at` answers: requests after a moment and before it, beside a control; `effect` reckons it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Final

from spanledger_analytics.connection import Ledger
from spanledger_analytics.errors import QuestionError

from .against import moment
from .answer import counted
from .calendar import Calendar
from .effect import DRAWS, Group, Interval, Window, effect, group, matched, weighted
from .question import Question, instead

_PICO: Final = Decimal("0.000000000001")
_MOST_DAYS: Final = 400
"""The lake holds nothing older."""


def around(
    ledger: Ledger, asked: Question, at: str, control: str | None, days: int, now: str | None
) -> tuple[list[dict[str, Any]], list[str]]:
    """Return rows for the group asked about, a control and the difference, with what is to be said of them.

    Raises:
        QuestionError: no request began on one side of the moment, or a moment or a number of days can't be taken.
    """
    calendar = asked.period.calendar
    window = _window(moment(at, calendar), days, moment(now, calendar))
    treated = group(ledger, asked.where, asked, window, "asked")
    for after, word in ((False, "before"), (True, "after")):
        if not treated.sum_of("requests", after=after):
            raise QuestionError(f"no request began {word} {at}; choose another moment, or more days with --around")
    members, said = _control(ledger, treated, asked, window, control)
    changes = effect(treated, members)
    rows = [_row("asked", [treated], changes[0])]
    if members:
        rows += [_row("control", members, changes[1]), {"group": "difference", **_interval_row(changes[2])}]
    sentences = [_window_said(window, calendar), said, _effect_said(changes[2 if members else 0], treated, members)]
    return rows, [*sentences, *_lacking([treated, *members])]


def _window(at: datetime, days: int, now: datetime) -> Window:
    if at >= now:
        raise QuestionError("that moment isn't over; choose one that is")
    if not 1 <= days <= _MOST_DAYS:
        raise QuestionError(f"--around is a number of days, from 1 to {_MOST_DAYS}")
    return Window(at - timedelta(days=days), at, min(at + timedelta(days=days), now))


def _control(
    ledger: Ledger, treated: Group, asked: Question, window: Window, control: str | None
) -> tuple[list[Group], str]:
    if control is not None:
        named = group(ledger, instead(asked.where, control), asked, window, control)
        if not min(named.sum_of("requests", after=after) for after in (False, True)):
            raise QuestionError(f"the control {control} has no requests on one side; name another, or leave it out")
        return [named], f"control: {control}"
    kind, members = matched(ledger, treated, asked, window)
    if members:
        names = ", ".join(member.name for member in members)
        return members, f"control: {kind} {names}, whose requests cost about as much before"
    why = "name what is asked about with --where" if kind is None else f"no other {kind} cost about as much before"
    return [], f"no control, so what changed anyway is part of it: {why}, or name one with --control"


def _row(name: str, members: Sequence[Group], change: Interval) -> dict[str, Any]:
    cost, before = (sum((one.cost_usd(after=after) for one in members), Decimal(0)) for after in (True, False))
    counts = {
        f"{what}{end}": sum(one.sum_of(what, after=after) for one in members)
        for what in ("calls", "requests")
        for end, after in (("", True), ("_before", False))
    }
    each = [weighted(members, after=after).quantize(_PICO) for after in (True, False)]
    return {
        "group": name,
        "cost_usd": cost,
        "cost_before_usd": before,
        "change_usd": cost - before,
        "change_share": ((cost - before) / before).quantize(Decimal("0.0001")) if before else None,
        **counts,
        "per_request_usd": each[0],
        "per_request_before_usd": each[1],
        **_interval_row(change),
    }


def _interval_row(change: Interval) -> dict[str, Decimal | None]:
    ends = {"low_usd": change.low_usd, "high_usd": change.high_usd}
    rounded = {name: None if value is None else value.quantize(_PICO) for name, value in ends.items()}
    return {"per_request_change_usd": change.change_usd.quantize(_PICO), **rounded}


def _window_said(window: Window, calendar: Calendar) -> str:
    since, at, until = (
        calendar.local(one).strftime("%Y-%m-%d %H:%M") for one in (window.since, window.at, window.until)
    )
    return f"requests that began from {at} to {until} against those from {since} to {at}"


def _effect_said(change: Interval, treated: Group, members: Sequence[Group]) -> str:
    drawn = "users" if any(one.users for one in (treated, *members)) else "requests"
    than = "than as the control went" if members else "than before"
    more = "more" if change.change_usd > 0 else "less"
    said = f"a request costs {_fine(abs(change.change_usd))} {more} {than}"
    if change.low_usd is None or change.high_usd is None:
        return f"{said}; too few {drawn} for an interval"
    before, after = (_fine(treated.level(after=after)) for after in (False, True))
    interval = f"95 % interval {_fine(change.low_usd)} to {_fine(change.high_usd)}"
    said += f" ({before} before, {after} after); {interval}, bootstrap of {drawn}, {DRAWS:,} draws"
    if change.low_usd <= 0 <= change.high_usd:
        return f"{said}: 0 is inside, so it may be chance"
    return f"{said}: 0 is outside, so chance alone hardly makes it"


def _fine(amount: Decimal) -> str:
    """Return an amount for a sentence, to a millionth of a dollar, because requests cost parts of a cent."""
    dollars, places = f"{abs(amount):,.6f}".split(".")
    return f"{'-' if amount < 0 else ''}${dollars}.{places.rstrip('0').ljust(2, '0')}"


def _lacking(groups: Sequence[Group]) -> list[str]:
    left_out = sum(one.unpriced for one in groups)
    guessed = sum(one.sum_of("estimated_calls", after=after) for one in groups for after in (False, True))
    said = (
        [f"left out, for a call without a price: {counted(left_out, 'request')}; see spanledger unpriced"]
        if left_out
        else []
    )
    return [*said, f"estimated tokens: {counted(guessed, 'call')}; nobody reported them"] if guessed else said
