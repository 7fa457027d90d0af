"""What a moment changed, such as a deploy: what a request costs after it and before it, less what changed anyway.

What changed anyway is what a control did, requests that the moment has no part in: difference in differences. A control
that nobody names are others of the same kind (features, teams, users ...) that cost about the same before. Its members
weigh as many requests as they had before, on both sides, so that it doesn't change because its mixture does. The
interval is a bootstrap: the requests of each side and member are drawn anew, with replacement, again and again; more
than 200 of them in 200 parts. Requests of one user are alike, so where few users make them it is too narrow.
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
"""Parts of the requests of a side that are drawn; each request by itself where there are no more."""
MOST_ALIKE: Final = 5
"""Members of a control that is matched."""
ALIKE: Final = 2
"""A request of theirs cost at most this many times as much, or as little, before."""
_LEAST: Final = 2
"""Requests on each side, below which nothing is said about their spread."""
_TAIL: Final = 40
"""One in so many draws lies beyond each end of the interval: 95 % are inside."""
_LONGEST_REQUEST: Final = timedelta(hours=1)
_KINDS: Final = ("feature", "team", "customer", "user", "agent", "service", "model")
_PICO: Final = 10**12

Block = tuple[int, int]
"""Requests, and what they cost in pico-dollars."""


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

    def blocks(self, *, after: bool) -> list[Block]:
        """Return the parts that are drawn, of one side."""
        side = self.frame.filter(pl.col("after") == after)
        return [(count, int(cost * _PICO)) for count, cost in side.select("requests", "cost_usd").rows()]

    def sum_of(self, column: str, *, after: bool) -> int:
        """Return the sum of a count, of one side."""
        return int(self.frame.filter(pl.col("after") == after)[column].sum())

    def cost_usd(self, *, after: bool) -> Decimal:
        """Return what one side cost, US dollars."""
        return sum(self.frame.filter(pl.col("after") == after)["cost_usd"], Decimal(0))

    @property
    def is_enough(self) -> bool:
        """Whether there are requests on both sides whose spread can be told."""
        return min(self.sum_of("requests", after=after) for after in (False, True)) >= _LEAST


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
    sides = [(member.blocks(after=False), member.blocks(after=True)) for member in groups]
    if not all(member.is_enough for member in groups):
        return _intervals(_changes(sides, weights), [])
    draw = random.Random(0)  # noqa: S311  # always the same draws
    draws = [
        _changes([(_drawn(draw, before), _drawn(draw, after)) for before, after in sides], weights)
        for _ in range(DRAWS)
    ]
    return _intervals(_changes(sides, weights), draws)


def _drawn(draw: random.Random, blocks: Sequence[Block]) -> list[Block]:
    return draw.choices(blocks, k=len(blocks))


def level(blocks: Sequence[Block]) -> Decimal:
    """Return what a request costs, US dollars; 0 without any."""
    count, cost = sum(block[0] for block in blocks), sum(block[1] for block in blocks)
    return Decimal(cost) / (count * _PICO) if count else Decimal(0)


def weighted(control: Sequence[Group], *, after: bool) -> Decimal:
    """Return what a request of the control costs, its members weighing what they did before."""
    weights = [member.sum_of("requests", after=False) for member in control]
    costs = [level(member.blocks(after=after)) for member in control]
    return sum(map(Decimal.__mul__, costs, map(Decimal, weights)), Decimal(0)) / (sum(weights) or 1)


def _changes(
    sides: Sequence[tuple[Sequence[Block], Sequence[Block]]], weights: Sequence[int]
) -> tuple[Decimal, Decimal, Decimal]:
    """Return the changes of the first of the groups, of the others by their weights, and what is between them."""
    treated, *others = (level(after) - level(before) for before, after in sides)
    control = sum(map(Decimal.__mul__, others, map(Decimal, weights)), Decimal(0)) / (sum(weights) or 1)
    return treated, control, treated - control


def _intervals(
    found: tuple[Decimal, Decimal, Decimal], draws: Sequence[tuple[Decimal, Decimal, Decimal]]
) -> tuple[Interval, Interval, Interval]:
    first, second, third = (_interval(value, sorted(one[place] for one in draws)) for place, value in enumerate(found))
    return first, second, third


def _interval(change: Decimal, draws: Sequence[Decimal]) -> Interval:
    outside = len(draws) // _TAIL
    return Interval(change, draws[outside] if draws else None, draws[-1 - outside] if draws else None)


def _alike(treated: Group, sums: pl.DataFrame) -> list[str]:
    """Return the units whose requests cost about the same before, nearest first; `sums` has one block of each side."""
    cost = level(treated.blocks(after=False))
    enough = sums.filter("priced", pl.col("requests") >= _LEAST)
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
