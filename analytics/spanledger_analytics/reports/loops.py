"""Agents that go round in circles: the same prompt sent again and again within one trace.

A prompt is known by its hash alone. Conversations that grow are no loops: their prompts differ by what is new.
"""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Final

import polars as pl

from spanledger_analytics.connection import Ledger

from .answer import Answer, Option, Report, usd
from .cells import CUBE, Cells, ask_cells
from .question import Question
from .totals import parameters

TIMES: Final = 3
"""A prompt that is sent twice may just be a retry."""
COLUMNS: Final = {
    "trace_id": "Trace, 32 hex digits.",
    "started": "When the prompt was first sent, UTC.",
    "model": "Model it was sent to.",
    "feature": "Feature of the calls.",
    "calls": "How often it was sent.",
    "again_usd": "What all calls but the first cost, US dollars; NULL where none has a price.",
    "cost_usd": "What all of them cost.",
    "prompt": "Its hash.",
}


def repeated(ledger: Ledger, asked: Question, *, times: int = TIMES, trace: str | None = None) -> Answer:
    """Return the prompts that one trace sent at least so many times, those whose repeats cost most first."""
    cells = loop_cells(times, trace)
    wide = replace(asked, by=("day", *CUBE))
    found = ask_cells(ledger, wide, cells) if trace is None else cells.ask(ledger, wide)
    order = ("trace_id", "model", "prompt", "started", "feature")
    frame = found.sort(["again_usd", *order], descending=[True, *(False for _ in order)], nulls_last=True)
    if not frame.height:
        return Answer(frame.select(*COLUMNS))
    again, dearest = sum(frame["again_usd"].drop_nulls(), Decimal(0)), frame.row(0, named=True)
    traces = frame["trace_id"].n_unique()
    said = (
        f"loops: {traces:,} trace{'' if traces == 1 else 's'} sent a prompt {max(2, times)} times or more; all but the "
        f"first cost {usd(again)}; the dearest is {dearest['trace_id']}: {dearest['calls']} times, "
        f"{usd(dearest['again_usd'] or Decimal(0))}"
    )
    return Answer(frame.select(*COLUMNS), (said,))


def loop_cells(times: int = TIMES, trace: str | None = None) -> Cells:
    """Return the question about prompts that a trace (None: any) sent so many times in a UTC day."""

    def ask(ledger: Ledger, asked: Question) -> pl.DataFrame:
        first, last = asked.period.utc_days()
        told = parameters(asked, asked.by, trace)
        return ledger.ask("loops", first=first, last=last, times=max(2, times), **told)

    return Cells("loops", ("loops",), ask, (max(2, times),))


def loops(ledger: Ledger, asked: Question, *, times: int = TIMES) -> Answer:
    """Return them, and say where there are none."""
    answer = repeated(ledger, asked, times=times)
    return answer if answer.notes else Answer(answer.frame, (f"no trace sent a prompt {max(2, times)} times or more",))


LOOPS: Final = Report(
    "loops",
    "Agents that go round in circles: the same prompt again and again within a trace.",
    loops,
    COLUMNS,
    options=(Option("times", int, TIMES, "How often the same prompt has to be sent, at least 2."),),
    takes_by=False,
    details="""\
    spanledger report loops --times 5 --where feature=research
    Calls without fingerprints are in no loop; a loop ends with its day (UTC), feature, team and model.
    Reads spans, of days that are over once (docs/reports.md).""",
)
