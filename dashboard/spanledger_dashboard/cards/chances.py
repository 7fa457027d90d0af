"""Where money could be had, the most first: what the other cards of the page find, in one list."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

import polars as pl
import streamlit as st

from spanledger_analytics.reports.registry import REPORTS
from spanledger_analytics.spend import cost_of, doubts, sum_of
from spanledger_dashboard.charts.colours import ORANGE, RED
from spanledger_dashboard.charts.ranking import Rank, ranking_figure
from spanledger_dashboard.components.card import card
from spanledger_dashboard.components.figure import show_figure
from spanledger_dashboard.components.heading import show_heading
from spanledger_dashboard.data import Lake, shown_lake
from spanledger_dashboard.format import markdown, share, usd, usd_exact
from spanledger_dashboard.state import Window

from .waste import FINDINGS, found_of

_HEIGHT_PX: Final = 290
_READING: Final = (
    "What each would have left in your pocket, as far as it can be counted; the cards below say where. They overlap, so"
    " they don't add up."
)
_COUNTED: Final = ("failed", "truncated", "empty", "dear_model", "retries")
"""Findings that are money for little; answers close to a limit are good ones."""


@dataclass(frozen=True, slots=True)
class Chance:
    """Something that money could be had of."""

    name: str
    """Plain text."""
    cost_usd: Decimal
    colour: str = ORANGE


@card("chances", _HEIGHT_PX)
def show_chances(asked: Window) -> None:
    """Draw them as bars."""
    lake = shown_lake()
    totals = lake.totals(asked.question())
    spent = cost_of(totals)
    found = sorted(_chances(lake, asked), key=lambda chance: (-chance.cost_usd, chance.name))
    answer = _answer(found, spent, sum_of(totals, "calls"))
    show_heading(answer, _READING, doubts(totals), lake.unpriced(*asked.period.utc_days(), asked.filters))
    if not found:
        return
    ranks = [
        Rank(one.name, one.name, one.cost_usd, one.colour, f"<b>{one.name}</b><br>{usd_exact(one.cost_usd)}")
        for one in found
    ]
    alt = "; ".join(f"{one.name}: {usd(one.cost_usd)}" for one in found)
    show_figure(ranking_figure(ranks, spent, room=0.3), key="chances", alt=f"{answer}. {alt}.")
    st.caption(markdown(f"Percent are of the {usd(spent)} that these days cost."))


def _answer(found: list[Chance], spent: Decimal | None, calls: int) -> str:
    if not calls:
        return "No calls on these days"
    if spent is None:
        return "No call of these days has a price"
    if not found:
        return "Nothing is being wasted that can be counted" if spent else "Nothing was spent on these days"
    first = found[0]
    return f"{first.name[:1].upper()}{first.name[1:]}: {usd(first.cost_usd)}, {share(first.cost_usd, spent)} of it all"


def _chances(lake: Lake, asked: Window) -> Iterator[Chance]:
    for name, report, column, by in (
        ("better caching", "cache-health", "could_save_usd", ("feature",)),
        ("broken caches", "cache-breaks", "lost_usd", ()),
        ("circling agents", "loops", "again_usd", ()),
    ):
        amount = _sum(lake.report(report, asked.question(by)).frame, column)
        if amount > 0:
            yield Chance(name, amount)
    wasted = found_of(lake.report("efficiency", asked.question(REPORTS["efficiency"].by), findings_only=True).frame)
    for one in wasted:
        if one.finding in _COUNTED and one.cost_usd:
            yield Chance(FINDINGS[one.finding][0], one.cost_usd, RED if one.finding == "failed" else ORANGE)


def _sum(frame: pl.DataFrame, column: str) -> Decimal:
    return sum(frame[column].drop_nulls(), Decimal(0))
