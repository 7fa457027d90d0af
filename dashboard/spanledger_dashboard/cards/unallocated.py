"""What can't be told whose it is: how much of the cost names a team, user, ... and whose services don't say."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Final

import polars as pl
import streamlit as st

from spanledger_analytics.reports.question import Question
from spanledger_analytics.spend import cost_of, sum_of
from spanledger_dashboard import attribution_words as words
from spanledger_dashboard.charts.colours import GREY
from spanledger_dashboard.charts.coverage import coverage_figure
from spanledger_dashboard.charts.ranking import Rank, ranking_figure
from spanledger_dashboard.components.card import card, show_answer
from spanledger_dashboard.components.figure import show_figure
from spanledger_dashboard.data import Lake, shown_lake
from spanledger_dashboard.format import figure_text, many, markdown, usd_exact
from spanledger_dashboard.state import Window

from .narrowing import question

_HEIGHT_PX: Final = 390
_MOST_TAGS: Final = 9
_MOST_SERVICES: Final = 7
_SERVICE: Final = "service"


@card("unallocated", _HEIGHT_PX)
def show_unallocated(asked: Window) -> None:
    """Draw what calls say, and the services of those that don't say what the page is told by."""
    lake, by = shown_lake(), asked.own["by"]
    about = question(asked)
    totals = lake.totals(about)
    whole, calls = cost_of(totals), sum_of(totals, "calls")
    services = _silent_services(lake, replace(about, by=(_SERVICE,)), by)
    silent = cost_of(services) or Decimal(0)
    most = services.row(0, named=True) if services.height > 1 else None
    answer = words.unallocated(by, silent, whole, _name(most[_SERVICE]) if most else None)
    with st.container(gap="xxsmall"):
        st.subheader(markdown(answer, 300), anchor=False)
        st.caption("What calls say of themselves, by the cost of those that do. Named and unnamed add up to the total.")
    if whole is not None:
        left, right = st.columns(2, gap="large")
        with left:
            tags = lake.report("tag-coverage", about).frame.filter(pl.col("tag").is_not_null()).head(_MOST_TAGS)
            show_figure(
                coverage_figure(tags.to_dicts(), whole, calls, by),
                key="coverage",
                alt=f"Bars of the share of the cost that names each tag. {answer}.",
            )
        with right:
            _show_services(services, silent, by)
    show_answer(lake, "unallocated", "tag-coverage", about)


def _silent_services(lake: Lake, about: Question, by: str) -> pl.DataFrame:
    """Return totals by service of calls that don't name one of `by`, dearest first; none where others were picked."""
    wanted = about.where.only.get(by)
    if wanted is not None and "" not in wanted:
        return lake.totals(about).clear()
    found = lake.totals(replace(about, where=about.where.narrowed(by, None)))
    return found.sort("cost_usd", _SERVICE, descending=[True, False], nulls_last=True)


def _show_services(services: pl.DataFrame, silent: Decimal, by: str) -> None:
    if not services.height:
        return
    st.markdown(f"**Services whose calls name no {by}**")
    ranks = [
        Rank(
            row[_SERVICE] or "",
            _name(row[_SERVICE]),
            row["cost_usd"],
            GREY,
            f"<b>{figure_text(_name(row[_SERVICE]))}</b><br><b>{usd_exact(row['cost_usd'])}</b>"
            f" of {many(row['calls'], 'call')} that name no {by}",
        )
        for row in services.head(_MOST_SERVICES).iter_rows(named=True)
    ]
    show_figure(
        ranking_figure(ranks, silent, room=0.36),
        key="silent-services",
        alt=f"Bars of the cost of calls that name no {by}, by service.",
    )


def _name(service: str | None) -> str:
    return service or "(no service)"
