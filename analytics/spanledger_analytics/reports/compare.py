"""One thing against another: days against other days, some calls against others, after a moment against before it.

Sums come from rollups where they hold. What a request costs is the cost of all charged calls by the requests that they
belong to, which count once a UTC day; `effect` tells what a moment changed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Final

import polars as pl

from spanledger_analytics.connection import Ledger
from spanledger_analytics.errors import QuestionError

from .against import NOW, moment, option, pair, told_apart
from .answer import Answer, Option, Report, more, said_of_totals, share, usd
from .around import around as effect_of
from .changes import MONEY, changed
from .effect import BLOCKS, DRAWS
from .question import Question, Where, instead
from .requests import requests
from .totals import totals

COLUMNS: Final = {
    "cost_usd": "US dollars of the calls asked about; NULL where none of them has a price.",
    "cost_before_usd": "US dollars of what they are compared with: other days, calls of --with, or before --at.",
    "change_usd": "cost_usd less cost_before_usd; NULL where one of them isn't known.",
    "change_share": "That as a part of cost_before_usd (0.2: a fifth more); NULL where nothing was spent.",
    "calls": "Charged calls.",
    "calls_before": "Charged calls of what they are compared with.",
    "requests": "Distinct traces, each counted once a UTC day.",
    "requests_before": "Distinct traces of what they are compared with.",
    "per_request_usd": "US dollars of a request.",
    "per_request_before_usd": "US dollars of a request of what they are compared with.",
    "per_request_change_usd": "With --at: the one less the other.",
    "group": "With --at: asked (the calls asked about), control, and difference (of their changes).",
    "low_usd": "With --at: the 95 % interval of per_request_change_usd, by draws of users, is above this ...",
    "high_usd": "... and below this; NULL with fewer than two users (or requests without one) on a side.",
}
EXTRAS: Final = ("group", "per_request_change_usd", "low_usd", "high_usd")
_PLAIN: Final = [name for name in COLUMNS if name not in EXTRAS]
_PICO: Final = Decimal("0.000000000001")
_TYPES: Final[Mapping[str, pl.DataType]] = {
    **dict.fromkeys(COLUMNS, MONEY),
    **dict.fromkeys(("calls", "calls_before", "requests", "requests_before"), pl.Int64()),
    "group": pl.String(),
    "change_share": pl.Decimal(38, 4),
}


def compare(
    ledger: Ledger,
    asked: Question,
    *,
    against: str = "week",
    with_: str | None = None,
    at: str | None = None,
    control: str | None = None,
    around: int = 7,
    now: str | None = None,
) -> Answer:
    """Return both sides of each of `asked.by` and their difference, dearest first; with `at` see `around`."""
    if at is not None:
        if with_ is not None or asked.by:
            raise QuestionError("--at goes with --where and --control, without --by and --with; leave those out")
        rows, said = effect_of(ledger, asked, at, control, around, now)
        return Answer(pl.DataFrame(rows, schema=_TYPES).select("group", *_PLAIN, *EXTRAS[1:]), tuple(said))
    if control is not None:
        raise QuestionError("--control is what a moment is judged by; name the moment with --at")
    by = told_apart(asked.by)
    if with_ is not None:
        other = replace(asked, where=instead(asked.where, with_))
        return _answer(ledger, asked, other, by, [_where_named(asked.where, with_)])
    days = pair(asked.period, against, moment(now, asked.period.calendar))
    now_asked, before_asked = (replace(asked, period=period) for period in (days.period, days.before))
    return _answer(ledger, now_asked, before_asked, by, [days.sentence()])


def _answer(ledger: Ledger, asked: Question, other: Question, by: Sequence[str], said: Sequence[str]) -> Answer:
    now, before = (_side(ledger, question, by) for question in (asked, other))
    frame = changed(now, before, by)
    per_request = [_per_request(frame, end) for end in ("", "_before")]
    frame = frame.with_columns(*per_request)
    frame = frame.sort(["cost_usd", *by], descending=[True, *(False for _ in by)], nulls_last=True)
    lacking = [f"of the other: {sentence}" for sentence in said_of_totals(before)[1:]]
    notes = (*said, *_difference(now, before), *said_of_totals(now), *lacking)
    return Answer(frame.select(*by, *_PLAIN), notes)


def _side(ledger: Ledger, asked: Question, by: Sequence[str]) -> pl.DataFrame:
    """Return `totals` with requests."""
    sums, counts = totals(ledger, asked, by), requests(ledger, asked, by)
    if by:
        return sums.join(counts, on=list(by), how="left", nulls_equal=True)
    return pl.concat([sums, counts.head(sums.height)], how="horizontal")


def _per_request(frame: pl.DataFrame, end: str) -> pl.Series:
    cost = f"cost{end}_usd"
    pairs = zip(frame[cost], frame[f"requests{end}"], strict=True)
    return pl.Series(f"per_request{end}_usd", [_each(cost, count) for cost, count in pairs], MONEY)


def _each(cost: Decimal | None, count: int | None) -> Decimal | None:
    return None if cost is None or not count else (cost / count).quantize(_PICO)


def _difference(now: pl.DataFrame, before: pl.DataFrame) -> list[str]:
    """Return the answer in a sentence, where both sides have a cost."""
    costs = [[cost for cost in frame["cost_usd"] if cost is not None] for frame in (now, before)]
    if not all(costs):
        return ["one side has no calls with a price"]
    one, other = (sum(known, Decimal(0)) for known in costs)
    change = one - other
    if not change:
        return [f"{usd(one)} on both sides"]
    return [f"{usd(one)} against {usd(other)}: {more(change)} ({share(abs(change), other)})"]


def _where_named(where: Where, with_: str) -> str:
    said = [f"{name}={','.join(values)}" for name, values in where.only.items()]
    said += [f"{name}!={','.join(values)}" for name, values in where.but.items()]
    return f"{' and '.join(said) or 'all calls'} against {with_}"


COMPARE: Final = Report(
    "compare",
    "Days against other days, some calls against others, or after a moment against before it.",
    compare,
    COLUMNS,
    days=1,
    options=(
        option("week"),
        Option(
            "with_",
            str,
            None,
            "Other calls, as feature=b, on the same days: what it names takes the place of that in --where.",
        ),
        Option("at", str, None, "A moment, as 2026-11-05T14:00: what a request costs after it and before it."),
        Option(
            "control",
            str,
            None,
            "With --at: calls that it leaves alone, as feature=b; default: others that cost alike.",
        ),
        Option("around", int, 7, "With --at: days before and after it; --from and --to don't count."),
        NOW,
    ),
    extras=EXTRAS,
    details=f"""\
    spanledger report compare
    spanledger report compare --by team --from 2026-11-01 --against month
    spanledger report compare --where feature=search --with feature=answer
    spanledger report compare --where tag.prompt=v2 --with tag.prompt=v1
    spanledger report compare --where feature=search --at 2026-11-05T14:00
    spanledger report compare --at 2026-11-05T14:00 --control feature=answer

    By default today so far is compared with the same weekday last week up to the same time. A day that isn't over
    always is, to the last full quarter of an hour; how many requests it has is read from its spans.
    With --at, requests are read from spans; each counts where it began. The difference is what a request of the calls
    asked about changed by, less what one of the control did (difference in differences). Unless one is named, the
    control is up to 5 others of the same kind (feature, team, customer, user ...) that cost half to twice as much
    before; each weighs as many requests as it had before. The interval is that of 95 % of {DRAWS:,} draws with
    replacement (bootstrap), always the same ones, stretched for few as Student's t is. Drawn are users with all their
    requests, because those of one user are alike, and requests that name none (of more than {BLOCKS} as many parts).
    So an agent that one user calls a thousand times tells no more than that user.""",
)
