"""What rose or fell most between two periods, and why: `decomposition` tells the parts of each change."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any, Final

import polars as pl

from spanledger_analytics.connection import Ledger

from .against import NOW, moment, option, pair, told_apart
from .answer import Answer, Option, Report, said_of_totals, share, usd
from .changes import MONEY, changed
from .decomposition import PARTS, Cells, decompose
from .question import Question, Where
from .totals import add_up, totals

COLUMNS: Final = {
    "change_usd": "US dollars more than before; NULL where all calls of one period have no price.",
    "change_share": "That as a part of cost_before_usd (0.2: a fifth more); NULL where nothing was spent before.",
    "cost_usd": "US dollars in the days asked about.",
    "cost_before_usd": "US dollars in the days that these are compared with.",
    "volume_usd": "Part of change_usd: more or fewer calls.",
    "price_usd": "Part of change_usd: what a token costs, of the same model and kind.",
    "mix_usd": "Part of change_usd: other models' share of the calls.",
    "input_usd": "Part of change_usd: input tokens of a call, of the same model.",
    "output_usd": "Part of change_usd: output tokens of a call, of the same model.",
    "cache_usd": "Part of change_usd: what part of the input was read from the prompt cache or written to it.",
    "other_usd": "Part of change_usd: what calls cost beside tokens (fees, images, seconds).",
    "state": "new: no calls before; gone: none now; both.",
}
_WORDS: Final = {
    "volume_usd": "the number of calls",
    "price_usd": "prices",
    "mix_usd": "the mix of models",
    "input_usd": "input tokens of a call",
    "output_usd": "output tokens of a call",
    "cache_usd": "the part of the input that is cached",
    "other_usd": "charges beside tokens",
}
_NONE: Final = Decimal(0)


def movers(
    ledger: Ledger, asked: Question, *, against: str = "previous", top: int = 20, now: str | None = None
) -> Answer:
    """Return the largest changes by `asked.by`, largest first whether up or down, NULL at the end."""
    by = list(told_apart(asked.by))
    days = pair(asked.period, against, moment(now, asked.period.calendar))
    periods = (days.period, days.before)
    sums, sums_before = (totals(ledger, replace(asked, period=one), by) for one in periods)
    changes = changed(sums, sums_before, by)
    chosen = changes.head(top) if top else changes
    narrow = _narrowed(asked, by, chosen) if chosen.height < changes.height else asked
    told = list(dict.fromkeys([*by, "model"]))
    now_cells, before_cells = (totals(ledger, replace(narrow, period=one), told) for one in periods)
    shown = changed(add_up(now_cells, by), add_up(before_cells, by), by)
    shown = shown.join(chosen.select(by), on=by, how="semi", nulls_equal=True, maintain_order="left") if by else shown
    sides = [_cells(frame, shown, by) for frame in (now_cells, before_cells)]
    rows = [
        row | _parts(row, *(side.get(tuple(row[name] for name in by), []) for side in sides))
        for row in shown.to_dicts()
    ]
    types = {name: kind for name, kind in shown.schema.items() if name in by or name in COLUMNS}
    frame = pl.DataFrame(rows, schema=types | dict.fromkeys(PARTS, MONEY)).select(*by, *COLUMNS)
    notes = [days.sentence(), *_biggest(frame, by), *_left_out(changes, chosen)]
    return Answer(frame, (*notes, *said_of_totals(sums)))


def _narrowed(asked: Question, by: Sequence[str], chosen: pl.DataFrame) -> Question:
    """Return the question about the values chosen only: models of all others needn't be told apart."""
    only = {name: tuple(value or "" for value in chosen[name].unique().to_list()) for name in by}
    return replace(asked, where=Where({**asked.where.only, **only}, asked.where.but))


def _parts(row: Mapping[str, Any], now: Cells, before: Cells) -> dict[str, Decimal | None]:
    return dict.fromkeys(PARTS) if row["change_usd"] is None else dict(decompose(now, before))


def _cells(frame: pl.DataFrame, shown: pl.DataFrame, by: Sequence[str]) -> dict[Any, list[dict[str, Any]]]:
    """Return what each model with a price came to, by the names of the rows shown."""
    priced = (pl.col("calls") - pl.col("unpriced_calls")).alias("priced_calls")
    frame = frame.filter(pl.col("cost_usd").is_not_null()).with_columns(priced)
    if not by:
        return {(): frame.to_dicts()}
    frame = frame.join(shown.select(by), on=by, how="semi", nulls_equal=True)
    return {name: part.to_dicts() for name, part in frame.partition_by(by, as_dict=True).items()}


def _biggest(frame: pl.DataFrame, by: Sequence[str]) -> list[str]:
    row: dict[str, Any] = frame.row(0, named=True) if frame.height else {"change_usd": None}
    change: Decimal | None = row["change_usd"]
    if not change:
        return ["nothing rose or fell"]
    name = ", ".join(f"{name} {row[name] or '(none)'}" for name in by) or "the total"
    verb = "rose" if change > 0 else "fell"
    moved = f"{name} {verb} most, by {usd(abs(change))}" if by else f"{name} {verb} by {usd(abs(change))}"
    if row["change_share"] is not None:
        moved += f" ({share(abs(change), row['cost_before_usd'])})"
    if row["state"] != "both":
        return [f"{moved}: it is {row['state']}"]
    main = max(PARTS, key=lambda part: Decimal(row[part] if change > 0 else -row[part]))
    return [f"{moved}, most of all by {_WORDS[main]}: {usd(row[main])}"]


def _left_out(changes: pl.DataFrame, shown: pl.DataFrame) -> list[str]:
    rest = changes.slice(shown.height)
    if not rest.height:
        return []
    amount = sum(rest["change_usd"].drop_nulls(), _NONE)
    return [f"{rest.height:,} smaller changes are left out, {usd(amount)} together; --top 0 shows all"]


MOVERS: Final = Report(
    "movers",
    "What rose or fell most between two periods, and why: calls, prices, models, tokens of a call, cache.",
    movers,
    COLUMNS,
    by=("feature",),
    options=(option("previous"), Option("top", int, 20, "How many rows; 0: all."), NOW),
    details="""\
    spanledger report movers --by team
    spanledger report movers --by model --from 2026-11-02 --against week
    spanledger report movers --against 2026-10-01..2026-10-31 --top 0

    The parts of a row add up to its change_usd to the last digit. Each is the Shapley value of its factor: what the
    cost changes when that factor goes from before to now, averaged over all orders in which the factors can; what
    rounding leaves is added to the largest part. A model that one period doesn't have counts as volume and mix. Calls
    without a price are in no part. By feature, model, team, provider and environment rollups answer; by anything else
    the spans of both periods are read.""",
)
