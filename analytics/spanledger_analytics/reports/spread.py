"""Why requests differ in cost: which of length, turns, tools, model, feature and user explain the spread.

The spread is the variance of the logarithm of a request's cost, so that what is ten times dearer counts the same at a
cent and at a dollar. Each factor has a few levels (numbers by doublings, names by their commonest), and a level shifts
the logarithm by its own amount: an analysis of variance without interactions. Of that, `explained_share` is the mean
of what a factor adds over all orders in which factors can come (Lindeman, Merenda and Gold, 1980: a Shapley value), so
the factors and the rest add up to 1. Statistics in floats, of money that no sum is made of.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from math import factorial
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import polars as pl

from spanledger_analytics.connection import Ledger

from .answer import Answer, Report
from .question import Question
from .totals import parameters

FACTORS: Final = {
    "length": "input tokens of the first call, by doublings",
    "turns": "calls of the request, by doublings",
    "tools": "calls that bring results of tools, by doublings",
    "model": "model that most of its money went to",
    "feature": "feature of the product",
    "user": "user who caused it",
}
REST: Final = "rest"
_NUMBERS: Final = ("length", "turns", "tools")
_MOST_LEVELS: Final = 10
_LEAST: Final = 30
"""Requests."""
COLUMNS: Final = {
    "factor": "What tells requests apart; see below.",
    "explained_share": "Of the spread, what it explains beside the others, 0 to 1; all rows add up to 1.",
    "alone_share": "What it would explain alone (eta squared).",
    "last_share": "What only it explains: all others are known before.",
    "levels": "How many levels it has.",
    "dearest": "The level with the highest cost in the middle (geometric mean).",
    "times": "How many times that is the geometric mean of the cheapest level.",
}
Matrix = npt.NDArray[np.float64]


def spread(ledger: Ledger, asked: Question) -> Answer:
    """Return a row a factor, that which explains most first, and the rest."""
    first, last = asked.period.utc_days()
    requests = ledger.ask("request_factors", first=first, last=last, **parameters(asked, ()))
    if requests.height < _LEAST:
        said = f"{requests.height} requests with a cost are too few to explain their spread; it takes {_LEAST}"
        return Answer(pl.DataFrame(schema=_SCHEMA), (said,))
    told = requests.select(_log_cost(), *(_level(requests, factor) for factor in FACTORS))
    return _answer(told)


_SCHEMA: Final = {
    "factor": pl.String(),
    **dict.fromkeys(("explained_share", "alone_share", "last_share"), pl.Float64()),
    "levels": pl.Int64(),
    "dearest": pl.String(),
    "times": pl.Float64(),
}


def _log_cost() -> pl.Expr:
    return pl.col("cost_usd").cast(pl.Float64).log().alias("y")


def _level(requests: pl.DataFrame, factor: str) -> pl.Expr:
    """Return the level of a factor as text: `2-3` of a number, a name, `-` where it isn't said."""
    if factor not in _NUMBERS:
        return pl.col(factor).fill_null("-")
    levels = {number: doubling(number or 0) for number in requests[factor].unique()}
    return pl.col(factor).replace_strict(levels, return_dtype=pl.String)


def doubling(number: int) -> str:
    """Return the stretch from a power of 2 to below the next that a number is in: 0, 1, 2-3, 4-7."""
    low = 1 << number.bit_length() >> 1
    return f"{low}-{2 * low - 1}" if low > 1 else str(low)


def _answer(told: pl.DataFrame) -> Answer:
    told = told.with_columns(_commonest(told, factor) for factor in FACTORS)
    alike = told["y"].max() == told["y"].min()
    explained = dict.fromkeys(_subsets(tuple(FACTORS)), 0.0) if alike else explained_by(told)
    rows = [_row(told, factor, explained) for factor in FACTORS]
    whole = explained[frozenset(FACTORS)]
    rows.append({"factor": REST, "explained_share": round(1 - whole, 6)})
    frame = pl.DataFrame(rows, schema=_SCHEMA)
    frame = frame.sort(pl.col("factor") == REST, pl.col("explained_share"), "factor", descending=[False, True, False])
    return Answer(frame.select(*COLUMNS), _said(frame, told.height, alike=bool(alike)))


def _commonest(told: pl.DataFrame, factor: str) -> pl.Expr:
    """Return a factor with its nine commonest levels, all others as one."""
    counts = told.group_by(factor).len().sort("len", factor, descending=[True, False])
    kept = counts[factor].head(_MOST_LEVELS - 1).to_list() if counts.height > _MOST_LEVELS else counts[factor].to_list()
    return pl.when(pl.col(factor).is_in(kept)).then(pl.col(factor)).otherwise(pl.lit("other")).alias(factor)


def _subsets(names: Sequence[str]) -> list[frozenset[str]]:
    return [frozenset(some) for count in range(len(names) + 1) for some in combinations(names, count)]


def explained_by(told: pl.DataFrame) -> dict[frozenset[str], float]:
    """Return what each set of factors explains of the variance of `y`, 0 to 1: R squared of least squares on levels."""
    cells = told.group_by(list(FACTORS)).agg(pl.col("y").sum().alias("sum"), pl.len().alias("count"))
    y = told["y"].to_numpy()
    spread_of_y = float(((y - y.mean()) ** 2).sum())
    count = cells["count"].to_numpy().astype(np.float64)
    centred = cells["sum"].to_numpy() - count * y.mean()
    columns, places = _indicators(cells, count)
    gram, right = (columns * count[:, None]).T @ columns, columns.T @ centred
    found = {}
    for some in _subsets(tuple(FACTORS)):
        chosen = [place for factor in FACTORS if factor in some for place in places[factor]]
        found[some] = _fitted(gram[np.ix_(chosen, chosen)], right[chosen]) / spread_of_y if chosen else 0.0
    return found


def _indicators(cells: pl.DataFrame, count: Matrix) -> tuple[Matrix, dict[str, range]]:
    """Return a centred column for each level but one of each factor, and where those of each factor stand."""
    columns: list[Matrix] = []
    places: dict[str, range] = {}
    for factor in FACTORS:
        levels = cells[factor].unique().sort().to_list()[1:]
        places[factor] = range(len(columns), len(columns) + len(levels))
        for level in levels:
            is_level = (cells[factor] == level).to_numpy().astype(np.float64)
            columns.append(is_level - (is_level * count).sum() / count.sum())
    return np.array(columns).reshape(len(columns), cells.height).T, places


def _fitted(gram: Matrix, right: Matrix) -> float:
    return float(right @ np.linalg.lstsq(gram, right, rcond=None)[0])


def shapley(factor: str, explained: Mapping[frozenset[str], float]) -> float:
    """Return the mean of what a factor adds, over all orders of the factors."""
    others = [other for other in FACTORS if other != factor]
    count, total = len(FACTORS), 0.0
    for some in _subsets(others):
        weight = factorial(len(some)) * factorial(count - len(some) - 1) / factorial(count)
        total += weight * (explained[some | {factor}] - explained[some])
    return total


def _row(told: pl.DataFrame, factor: str, explained: Mapping[frozenset[str], float]) -> dict[str, Any]:
    means = told.group_by(factor).agg(pl.col("y").mean()).sort("y", factor, descending=[True, False])
    whole = frozenset(FACTORS)
    return {
        "factor": factor,
        "explained_share": round(shapley(factor, explained), 6),
        "alone_share": round(explained[frozenset({factor})], 6),
        "last_share": round(max(0.0, explained[whole] - explained[whole - {factor}]), 6),
        "levels": means.height,
        "dearest": means[factor][0],
        "times": round(float(np.exp(means["y"][0] - means["y"][-1])), 2),
    }


def _said(frame: pl.DataFrame, count: int, *, alike: bool) -> tuple[str, ...]:
    if alike:
        return (f"all {count:,} requests cost the same",)
    top, rest = frame.row(0, named=True), frame.filter(pl.col("factor") == REST)["explained_share"][0]
    part = f"{100 * top['explained_share']:.0f} %"
    return (
        f"{top['factor']} explains most of how {count:,} requests differ in cost: {part}; at "
        f"{top['dearest']} they cost {top['times']:.1f} times what they do at the cheapest",
        f"not explained by any of them: {100 * rest:.0f} %",
    )


SPREAD: Final = Report(
    "spread",
    "Why requests differ in cost: how much length, turns, tools, model, feature and user explain.",
    spread,
    COLUMNS,
    takes_by=False,
    details="""\
    spanledger report spread
    spanledger report spread --where feature=research
    A request is a trace that has a cost. Each factor has ten levels at most: the nine commonest, and `other`.
    Reads the spans of the days asked about. Factors:
    """
    + "\n    ".join(f"{factor}: {what}" for factor, what in FACTORS.items()),
)
