"""What a moment changed, such as a deploy: what a request costs after it and before it, less what changed anyway.

What changed anyway is what a control did, requests that the moment has no part in: difference in differences. A control
that nobody names are others of the same kind (features, teams, users ...) that cost about the same before. Its members
weigh as many requests as they had before, on both sides, so that it doesn't change because its mixture does.

The interval is a bootstrap. Requests of one user are alike, so it is users that are drawn anew, with replacement, each
with all requests before and after (a cluster bootstrap: Davison and Hinkley, Bootstrap Methods, 1997, section 3.8); a
request whose calls name no user is drawn by itself, and of more than 200 as many parts. A bootstrap of few is too
narrow, so it is stretched as Student's t is, by sqrt(n / (n - 1)) t(n - 1) / z (Hesterberg, What Teachers Should Know
About the Bootstrap, 2015).
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final

import polars as pl

from spanledger_analytics.connection import Ledger

from .question import Question, Where
from .totals import parameters

DRAWS: Final = 1000
BLOCKS: Final = 200
"""Parts of the users that are drawn; each user by itself where there are no more."""
MOST_ALIKE: Final = 5
"""Members of a control that is matched."""
ALIKE: Final = 2
"""A request of theirs cost at most this many times as much, or as little, before."""
_LEAST: Final = 2
"""Users (or requests without one) on each side, below which nothing is said about their spread."""
_TAIL: Final = 40
"""One in so many draws lies beyond each end of the interval: 95 % are inside."""
_LONGEST_REQUEST: Final = timedelta(hours=1)
_KINDS: Final = ("feature", "team", "customer", "user", "agent", "service", "model")
_PICO: Final = 10**12
_Z: Final = 1.959963984540054
"""Of the normal distribution, as `_TAIL` has it."""

Block = tuple[int, int, int, int]
"""What is drawn as one: requests before, their cost in pico-dollars, requests after, their cost."""


@dataclass(frozen=True, slots=True)
class Window:
    """A moment, and the stretch of time around it (UTC) whose requests count."""

    since: datetime
    at: datetime
    until: datetime


@dataclass(frozen=True, slots=True)
class Group:
    """Requests of one kind on both sides of a moment; those with a call without a price are left out, and counted."""

    name: str
    frame: pl.DataFrame
    """`request_blocks` of it, all with a price."""
    unpriced: int = 0
    """Requests that are left out."""

    def blocks(self) -> list[Block]:
        """Return what is drawn: users with their requests on both sides, and requests without a user."""
        found: dict[tuple[object, ...], list[int]] = {}
        for after, of_users, block, count, cost in self.frame.select(
            "after", "of_users", "block", "requests", "cost_usd"
        ).rows():
            sides = found.setdefault((block, of_users, None if of_users else after), [0, 0, 0, 0])
            sides[2 * after] += count
            sides[2 * after + 1] += int(cost * _PICO)
        return [(a, b, c, d) for a, b, c, d in found.values()]

    @property
    def users(self) -> int:
        """How many users are drawn, or parts of them."""
        return self.frame.filter("of_users")["block"].n_unique()

    def level(self, *, after: bool) -> Decimal:
        """Return what a request of one side costs, US dollars; 0 without any."""
        count, cost = self.sum_of("requests", after=after), self.cost_usd(after=after)
        return cost / count if count else Decimal(0)

    def sum_of(self, column: str, *, after: bool) -> int:
        """Return the sum of a count, of one side."""
        return int(self.frame.filter(pl.col("after") == after)[column].sum())

    def cost_usd(self, *, after: bool) -> Decimal:
        """Return what one side cost, US dollars."""
        return sum(self.frame.filter(pl.col("after") == after)["cost_usd"], Decimal(0))

    @property
    def drawn(self) -> int:
        """Return how many blocks the side has that has fewer."""
        return min(self.frame.filter(pl.col("after") == after).height for after in (False, True))


@dataclass(frozen=True, slots=True)
class Interval:
    """A change of what a request costs, US dollars, and where 95 % of the draws lie; None where there are too few."""

    change_usd: Decimal
    low_usd: Decimal | None
    high_usd: Decimal | None


def group(ledger: Ledger, where: Where, asked: Question, window: Window, name: str) -> Group:
    """Return the requests that fulfil a condition, on both sides of the moment."""
    found = _blocks(ledger, where, asked, window, None, BLOCKS)
    return Group(name, found.filter("priced"), int(found.filter(~pl.col("priced"))["requests"].sum()))


def matched(ledger: Ledger, treated: Group, asked: Question, window: Window) -> tuple[str | None, list[Group]]:
    """Return the dimension that a control is looked for in, and its members: those most alike before, nearest first."""
    where = asked.where
    kind = next((kind for kind in (*_KINDS, *where.only) if kind in where.only), None)
    if kind is None:
        return None, []
    only = {name: values for name, values in where.only.items() if name != kind}
    others = Where(only, {**where.but, kind: (*where.but.get(kind, ()), *where.only[kind], "")})
    names = _alike(treated, _blocks(ledger, others, asked, window, kind, 1))
    if not names:
        return kind, []
    frame = _blocks(ledger, Where({**only, kind: tuple(names)}, where.but), asked, window, kind, BLOCKS).filter(
        "priced"
    )
    return kind, [Group(name, frame.filter(pl.col("unit") == name)) for name in names]


def effect(treated: Group, control: Sequence[Group]) -> tuple[Interval, Interval, Interval]:
    """Return how a request's cost changed in the group, in the control, and in the one less the other."""
    groups = [treated, *control]
    weights = [member.sum_of("requests", after=False) for member in control]
    blocks = [member.blocks() for member in groups]
    found = _changes(blocks, weights)
    if not all(member.drawn >= _LEAST for member in groups):
        return _interval(found[0], [], 0), _interval(found[1], [], 0), _interval(found[2], [], 0)
    draw = random.Random(0)  # noqa: S311  # always the same draws
    draws = [_changes([_drawn(draw, every) for every in blocks], weights) for _ in range(DRAWS)]
    counts = (treated.drawn, min((member.drawn for member in control), default=0), min(one.drawn for one in groups))
    first, second, third = (
        _interval(found[place], sorted(one[place] for one in draws), counts[place]) for place in range(3)
    )
    return first, second, third


def _drawn(draw: random.Random, blocks: Sequence[Block]) -> list[Block]:
    """Draw as many blocks as there are; again, where one side has none."""
    while True:
        found = draw.choices(blocks, k=len(blocks))
        if any(block[0] for block in found) and any(block[2] for block in found):
            return found


def _level(blocks: Sequence[Block], side: int) -> Decimal:
    count, cost = sum(block[side] for block in blocks), sum(block[side + 1] for block in blocks)
    return Decimal(cost) / (count * _PICO) if count else Decimal(0)


def weighted(control: Sequence[Group], *, after: bool) -> Decimal:
    """Return what a request of the control costs, its members weighing what they did before."""
    weights = [member.sum_of("requests", after=False) for member in control]
    costs = [member.level(after=after) for member in control]
    return sum(map(Decimal.__mul__, costs, map(Decimal, weights)), Decimal(0)) / (sum(weights) or 1)


def _changes(groups: Sequence[Sequence[Block]], weights: Sequence[int]) -> tuple[Decimal, Decimal, Decimal]:
    """Return the changes of the first of the groups, of the others by their weights, and what is between them."""
    treated, *others = (_level(blocks, 2) - _level(blocks, 0) for blocks in groups)
    control = sum(map(Decimal.__mul__, others, map(Decimal, weights)), Decimal(0)) / (sum(weights) or 1)
    return treated, control, treated - control


def _interval(change: Decimal, draws: Sequence[Decimal], count: int) -> Interval:
    """Return the interval of draws in order, of so many blocks."""
    if not draws or count < _LEAST:
        return Interval(change, None, None)
    outside, wider = len(draws) // _TAIL, stretch(count)
    low, high = (change + (end - change) * wider for end in (draws[outside], draws[-1 - outside]))
    return Interval(change, low, high)


def stretch(count: int) -> Decimal:
    """Return how many times as wide an interval of draws of so many (2 at least) has to be.

    The quantile of Student's t is that of Abramowitz and Stegun, 26.7.5, right to a percent from 4 on.
    """
    z, free = _Z, count - 1
    terms = (z**3 + z) / 4, (5 * z**5 + 16 * z**3 + 3 * z) / 96, (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384
    quantile = z + sum(term / free**power for power, term in enumerate(terms, 1))
    return Decimal(str(round((count / free) ** 0.5 * quantile / z, 6)))


def _alike(treated: Group, sums: pl.DataFrame) -> list[str]:
    """Return the units whose requests cost about the same before, nearest first."""
    cost = treated.level(after=False)
    sides = sums.filter("priced").group_by("unit", "after").agg(pl.col("requests").sum(), pl.col("cost_usd").sum())
    enough = sides.filter(pl.col("requests") >= _LEAST)
    side = {after: enough.filter(pl.col("after") == after) for after in (False, True)}
    there = side[False].join(side[True].select("unit"), on="unit", how="semi")
    apart = []
    for name, count, sum_usd in there.select("unit", "requests", "cost_usd").rows():
        before = sum_usd / count
        if before and cost:
            apart.append((max(before / cost, cost / before), name))
    return [name for ratio, name in sorted(apart)[:MOST_ALIKE] if ratio <= ALIKE]


def _blocks(
    ledger: Ledger, where: Where, asked: Question, window: Window, kind: str | None, blocks: int
) -> pl.DataFrame:
    begin, end = window.since - _LONGEST_REQUEST, window.until + _LONGEST_REQUEST
    told = parameters(Question(asked.period, where=where), [kind] if kind else []) | {"begin": begin, "end": end}
    moments = {"since": window.since, "at": window.at, "until": window.until}
    return ledger.ask("request_blocks", first=begin.date(), last=end.date(), blocks=blocks, **told, **moments)
