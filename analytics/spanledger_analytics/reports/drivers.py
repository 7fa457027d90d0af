"""Where the dollars of a run go: each call's cost taken apart by the sizes of its prompt's parts, without a word of it.

Parts of a call add up to its cost exactly. A prompt is taken as a line of tokens in the order in which providers cache
it (tools, system prompt, history, tool results, user text), divided by the bytes of its parts; the first of them were
read from the cache, the next written to it. So history that is read from the cache has the price of that. Where a call
goes on from the one before it in its trace, the tokens of that one say how long its history is. What calls without
fingerprints sent is `unknown`.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Final

import polars as pl

from spanledger_analytics.connection import Ledger
from spanledger_analytics.resent import resent
from spanledger_analytics.what_if import ask_priced

from .answer import Answer, Option, Report, calls_told, pico_of, said_of_totals, share, usd
from .cells import Cells, ask_cells
from .concentration import SHARE, rounded
from .loops import repeated
from .question import Question
from .totals import labelled, parameters, totals, totals_of_trace

PARTS: Final = {
    "tool_definitions": "definitions of tools",
    "system_prompt": "the system prompt",
    "history": "what was said before, sent again: all up to the model's last answer",
    "tool_results": "new results of tools",
    "user_text": "new text of users",
    "unknown": "input of calls without fingerprints, and what a provider states as a whole",
    "cache_premium": "what writing to the prompt cache cost beyond the price of uncached input",
    "reasoning": "reasoning output",
    "output": "other output",
    "fees": "searches, requests and the like",
    "failed_calls": "calls that failed and were paid, whole",
}
"""Part to what it is, in the order of a call."""
COLUMNS: Final = {
    "part": "What it was for; see below.",
    "cost_usd": "US dollars, exact: the parts add up to the cost of the calls; NULL where none has a price.",
    "cost_share": "Of the cost of all parts of the row's group, 0 to 1.",
    "tokens": "Tokens of the part, by the bytes of the prompt's parts; cached ones included.",
    "again_usd": "Part of cost_usd that paid for what had been sent before in the same trace.",
    "saved_usd": "What the prompt cache saved of it against uncached prices; outside cost_usd.",
    "calls": "Charged calls that have the part.",
}
_SUMS: Final = ("cost_usd", "again_usd", "saved_usd")


def drivers(ledger: Ledger, asked: Question, *, trace: str | None = None) -> Answer:
    """Return what the dollars were for: a row for each of what is asked for and each part, dearest first."""
    found = ask_cells(ledger, asked, DRIVER_CELLS) if trace is None else _ask(ledger, asked, trace)
    frame = _shares(_added(labelled(found, asked, asked.by), (*asked.by, "part")), asked.by)
    all_parts = _shares(_added(found, ("part",)), ())
    all_calls = totals(ledger, asked, ()) if trace is None else totals_of_trace(ledger, asked, trace)
    said = said_of_totals(all_calls)
    loops = repeated(ledger, asked, trace=trace)
    return Answer(
        frame.select(*asked.by, *COLUMNS),
        (
            *said,
            *_said(all_parts, found),
            *_lacking(found),
            *_counted(ledger, found, asked, trace),
            *loops.notes,
            *_retries(all_calls),
        ),
    )


def _ask(ledger: Ledger, asked: Question, trace: str | None = None) -> pl.DataFrame:
    first, last = asked.period.utc_days()
    told = parameters(asked, asked.by, trace)
    return ask_priced(ledger, "drivers", "drivers_rows", first=first, last=last, **told)


DRIVER_CELLS: Final = Cells("drivers", ("drivers", "drivers_rows"), _ask, prices=True)


def _added(found: pl.DataFrame, by: Sequence[str]) -> pl.DataFrame:
    """Add up rows of the SQL, as days become weeks; parts that nothing has are left out."""
    sums = [pl.when(pl.col(name).is_not_null().any()).then(pl.col(name).sum()).alias(name) for name in _SUMS]
    counts = [pl.col(name).sum() for name in ("tokens", "calls")]
    return found.group_by(by).agg(*sums, *counts).filter(pl.col("calls") > 0)


def _shares(frame: pl.DataFrame, by: Sequence[str]) -> pl.DataFrame:
    """Add the share of each part in its group, and put groups in order, their dearest parts first."""
    wholes: dict[tuple[object, ...], Decimal] = {}
    groups = frame.select(*by, "cost_usd").rows() if frame.height else []
    for *group, cost in groups:
        wholes[tuple(group)] = wholes.get(tuple(group), Decimal(0)) + (cost or 0)
    shares = [
        None if cost is None else rounded(pico_of(cost), pico_of(wholes[tuple(group)])) for *group, cost in groups
    ]
    return frame.with_columns(pl.Series("cost_share", shares, SHARE)).sort(
        [*by, "cost_usd", "part"], descending=[*(False for _ in by), True, False], nulls_last=True
    )


def _said(parts: pl.DataFrame, found: pl.DataFrame) -> list[str]:
    """Return the answer in a sentence: the dearest part, what was sent again, what the cache did."""
    cost, again = _sum(parts, "cost_usd"), _sum(parts, "again_usd")
    if not cost:
        return []
    part = parts["part"][0]
    said = [
        f"the largest part is {part}: {usd(parts['cost_usd'][0])} ({share(parts['cost_usd'][0], cost)}), {PARTS[part]}"
    ]
    told = _sum(found.filter(pl.col("part") == "history"), "told_usd")
    if again:
        times = f", {told / (told - again):.2f}x" if told > again else ""
        said.append(
            f"sent again within a trace: {usd(again)} ({share(again, told)} of what calls with fingerprints cost); "
            f"with each text sent once they would have cost {usd(told - again)}{times}"
        )
    saved, premium = _sum(parts, "saved_usd"), _sum(parts.filter(pl.col("part") == "cache_premium"), "cost_usd")
    if saved or premium:
        said.append(
            f"the prompt cache saved {usd(saved)} against uncached prices, and writing to it cost {usd(premium)} more"
        )
    return said


def _lacking(found: pl.DataFrame) -> list[str]:
    groups = found.filter(pl.col("part") == "unknown")
    blind, unsaved = int(groups["without_fingerprints"].sum()), int(groups["without_saving"].sum())
    cost = _sum(groups, "cost_usd")
    said = []
    if blind:
        said.append(f"no fingerprints, so input in `unknown`: {calls_told(blind)}, {usd(cost)}")
    if unsaved:
        said.append(
            f"not at today's prices, so without saving and premium: {calls_told(unsaved)} that used the prompt cache"
        )
    return said


def _counted(ledger: Ledger, found: pl.DataFrame, asked: Question, trace: str | None) -> list[str]:
    """Return what token counts alone tell of a trace without fingerprints, as its page in the dashboard does."""
    if trace is None or not found["without_fingerprints"].sum():
        return []
    first, last = asked.period.utc_days()
    split = resent(ledger.ask("trace", first=first, last=last, trace=trace))
    if not split.resent_usd or split.billed_usd is None or split.once_usd is None:
        return []
    return [
        f"by token counts alone, {usd(split.resent_usd)} ({share(split.resent_usd, split.billed_usd)}) paid for what "
        f"had been sent before; each text sent once would have cost {usd(split.once_usd)}, {split.factor:.2f}x"
    ]


def _retries(all_calls: pl.DataFrame) -> list[str]:
    cost = _sum(all_calls, "retry_cost_usd")
    return [f"failed attempts that may have been billed beside it: {usd(cost)}, estimated, in no sum"] if cost else []


def _sum(frame: pl.DataFrame, column: str) -> Decimal:
    return sum(frame[column].drop_nulls(), Decimal(0))


DRIVERS: Final = Report(
    "drivers",
    "Where the dollars go: system prompt, tools, history sent again, new text, cache, reasoning, failures.",
    drivers,
    COLUMNS,
    options=(Option("trace", str, None, "Only the calls of this trace (32 hex digits)."),),
    details="""\
    spanledger report drivers --by feature
    spanledger report drivers --trace 4bf92f3577b34da6a3ce929d0e0e4736
    spanledger report drivers --by model --where team=search --format csv
    Reads spans, of days that are over once (docs/reports.md), and prices those that used a prompt cache a second
    time. A conversation that goes on after midnight (UTC) begins anew there. Parts:
    """
    + "\n    ".join(f"{part}: {what}" for part, what in PARTS.items()),
)
