"""What was paid for that brought little: failures, answers cut off or empty, retries, dear models on easy work."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

import polars as pl
import streamlit as st

from spanledger_analytics.reports.registry import REPORTS
from spanledger_analytics.spend import Doubts
from spanledger_dashboard.components.card import card, show_answer
from spanledger_dashboard.components.heading import show_heading
from spanledger_dashboard.components.rows import Row, show_rows
from spanledger_dashboard.data import shown_lake
from spanledger_dashboard.format import count, many, share, usd
from spanledger_dashboard.state import Window

FINDINGS: Final[Mapping[str, tuple[str, str]]] = {
    "failed": ("failed calls", "They failed and were paid."),
    "truncated": ("answers cut off", "They ran into a limit of tokens, and were paid whole."),
    "empty": ("empty answers", "Their input was paid; no token came back."),
    "retries": (
        "repeated attempts",
        "What failed attempts may have been billed: estimated, outside the cost of calls.",
    ),
    "dear_model": (
        "dear models, easy work",
        "Beyond the cheapest model that the feature uses: a bound, not a claim.",
    ),
    "near_cap": ("answers near their limit", "They took 90 % or more of what they may; the next may be cut off."),
    "unused_cap": (
        "limits far too high",
        "Answers took half of what they may or less; what is left over costs nothing.",
    ),
}
"""Finding of the report `efficiency` to its name and what it means."""
_HEIGHT_PX: Final = 340
_WHERE: Final = 2
"""Most places that a row names."""


@dataclass(frozen=True, slots=True)
class Found:
    """One finding over all calls."""

    finding: str
    cost_usd: Decimal | None
    """None where none has a price."""
    calls: int
    tokens: int
    where: tuple[str, ...]
    """Feature and model of most of it, plain text."""
    cheaper: tuple[str, ...]
    """Models that easy work was held against."""


@card("waste", _HEIGHT_PX)
def show_waste(asked: Window) -> None:
    """List the findings, the dearest first."""
    lake = shown_lake()
    question = asked.question(REPORTS["efficiency"].by)
    found = found_of(lake.report("efficiency", question, findings_only=True).frame)
    show_heading(_answer(found), "A call may be in several of these, so they don't add up.", Doubts())
    show_rows([_row(one) for one in found if one.cost_usd])
    for one in found:
        if not one.cost_usd:
            said = f"{FINDINGS[one.finding][0]}: {many(one.calls, 'call')}, {count(one.tokens)} tokens, no dollars."
            st.caption(f"{said[:1].upper()}{said[1:]}")
    show_answer(lake, "waste", "efficiency", question, findings_only=True)


def found_of(frame: pl.DataFrame) -> list[Found]:
    """Add up rows of the report `efficiency` by finding, the dearest first."""
    groups = frame.partition_by("finding", as_dict=True, maintain_order=True)
    found = [_found(str(finding), rows) for (finding,), rows in groups.items()]
    return sorted(found, key=lambda one: (-(one.cost_usd or Decimal(0)), -one.calls, one.finding))


def _found(finding: str, rows: pl.DataFrame) -> Found:
    costs = rows["cost_usd"].drop_nulls().to_list()
    dearest = rows.sort("cost_usd", "calls", descending=True, nulls_last=True).head(_WHERE).to_dicts()
    return Found(
        finding,
        sum(costs, Decimal(0)) if costs else None,
        int(rows["calls"].sum()),
        int(rows["tokens"].sum()),
        tuple(_place(row) for row in dearest),
        tuple(sorted({name for names in rows["cheaper_models"].drop_nulls() for name in names.split(", ")})),
    )


def _place(row: Mapping[str, Any]) -> str:
    named = " · ".join(row[name] for name in ("feature", "model") if row[name])
    part = "" if row["cost_share"] is None else f", {share(row['cost_share'], 1)} of its cost"
    return f"{named or '(none)'} ({usd(row['cost_usd'])}{part})"


def _answer(found: list[Found]) -> str:
    paid = [one for one in found if one.cost_usd]
    if not paid:
        return "Nothing was paid that brought little"
    first = paid[0]
    name = FINDINGS[first.finding][0]
    return f"{name[:1].upper()}{name[1:]} cost {usd(first.cost_usd)}, {many(first.calls, 'call')}"


def _row(one: Found) -> Row:
    name, meaning = FINDINGS[one.finding]
    cheaper = f" Held against {', '.join(one.cheaper)}." if one.cheaper else ""
    return Row(
        usd(one.cost_usd),
        f"{name[:1].upper()}{name[1:]}: {many(one.calls, 'call')}",
        f"{meaning}{cheaper} Most in {' and '.join(one.where)}.",
    )
