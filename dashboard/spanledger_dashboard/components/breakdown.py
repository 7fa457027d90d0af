"""Where the money of a week went: teams, features and models, each against the week before."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date, timedelta
from decimal import Decimal
from typing import Final

import polars as pl
import streamlit as st

from spanledger_analytics.spend import Doubts, cost_of
from spanledger_dashboard.charts.colours import BLUE, GREY
from spanledger_dashboard.charts.ranking import Rank, ranking_figure
from spanledger_dashboard.components.figure import show_figure, show_table
from spanledger_dashboard.components.heading import show_heading
from spanledger_dashboard.components.place import value_name
from spanledger_dashboard.data import Lake
from spanledger_dashboard.format import change, figure_text, many, markdown, share, usd, usd_exact

_DIMENSIONS: Final = ("team", "feature", "model")
_MOST: Final = 6
_WEEK: Final = timedelta(days=7)


def show_breakdown(lake: Lake, today: date, pick: Callable[[str, str], None]) -> None:
    """Draw the last seven full days by dimension; a click calls `pick` with the dimension and the value."""
    week = lake.filter_values(today - _WEEK, today - timedelta(days=1))
    before = lake.filter_values(today - 2 * _WEEK, today - _WEEK - timedelta(days=1))
    teams = week.filter(pl.col("dimension") == _DIMENSIONS[0])
    show_heading(
        _answer(teams),
        "By team, feature and model, each against the 7 days before. Pick a bar to see its calls.",
        Doubts(),
    )
    if not week.height:
        return
    colours = lake.colours()
    for dimension, column in zip(_DIMENSIONS, st.columns(len(_DIMENSIONS), gap="large"), strict=True):
        with column:
            _show(dimension, week, before, colours, pick)
    show_table(week, key="breakdown", query="filter_values")


def _answer(teams: pl.DataFrame) -> str:
    if not teams.height:
        return "No calls in the last 7 full days"
    whole = cost_of(teams)
    return "No call of the last 7 full days has a price" if whole is None else f"The last 7 full days cost {usd(whole)}"


def _show(
    dimension: str,
    week: pl.DataFrame,
    before: pl.DataFrame,
    colours: Mapping[str, str],
    pick: Callable[[str, str], None],
) -> None:
    of_week = week.filter(pl.col("dimension") == dimension).sort("cost_usd", descending=True, nulls_last=True)
    past = dict(before.filter(pl.col("dimension") == dimension).select("value", "cost_usd").iter_rows())
    whole = cost_of(of_week)
    ranks = [
        Rank(
            row["value"],
            value_name(dimension, row["value"]),
            row["cost_usd"],
            colours.get(row["value"], GREY) if dimension == "model" else BLUE if row["value"] else GREY,
            f"<b>{figure_text(value_name(dimension, row['value']))}</b><br>{usd_exact(row['cost_usd'])}"
            f" · {many(row['calls'], 'call')}<br>the 7 days before: {usd_exact(past.get(row['value'], Decimal(0)))}",
            past.get(row["value"]),
        )
        for row in of_week.head(_MOST).iter_rows(named=True)
    ]
    answer = _first_of(ranks[0], whole)
    st.markdown(f"**{dimension.capitalize()}:** {markdown(answer, 200)}")
    show_figure(
        ranking_figure(ranks, whole, room=0.62),
        key=f"by-{dimension}",
        alt=f"Bars of the last seven full days by {dimension}: {answer}.",
        pick=lambda value: pick(dimension, value),
    )


def _first_of(first: Rank, whole: Decimal | None) -> str:
    if whole is None:
        return "nothing has a price"
    changed = change(first.cost_usd, first.before_usd)
    return f"{first.name} is {share(first.cost_usd, whole)}" + (f", {changed} on the week before" if changed else "")
