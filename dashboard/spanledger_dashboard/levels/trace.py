"""Level five: one request, step by step, and why it costs what it does."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Final

import polars as pl
import streamlit as st

from spanledger_analytics.parts import Part, parts
from spanledger_analytics.resent import Resent, resent
from spanledger_analytics.spend import Doubts
from spanledger_analytics.tree import Facts, Node, facts, nodes
from spanledger_dashboard import headlines
from spanledger_dashboard.charts.trace import history_figure, twin_figure, waterfall_figure
from spanledger_dashboard.components.figure import show_figure, show_table
from spanledger_dashboard.components.heading import show_heading
from spanledger_dashboard.components.kpis import Kpi, show_kpis
from spanledger_dashboard.components.step import show_step
from spanledger_dashboard.data import Lake, now
from spanledger_dashboard.format import count, duration, many, markdown, usd, usd_exact, visible
from spanledger_dashboard.state import View, go

_TALLEST_PX: Final = 640
"""Taller waterfalls scroll in a box of their own."""


def show(view: View, day: date, trace_id: str, lake: Lake) -> None:
    """Draw a trace; a click on a step picks it."""
    spans = lake.trace(day, trace_id)
    if not spans.height:
        st.warning("No step of this request is in the lake around that day: the link is wrong, or it was deleted.")
        st.button("Show all days", on_click=go, args=(view.top(),), type="primary")
        return
    tree, summary, split = nodes(spans), facts(spans), resent(spans)
    name = str(tree[0].span["name"] or "(no name)")
    show_heading(headlines.trace(name, summary, split), headlines.took(summary) + _tags(spans), _doubts(summary))
    _kpis(summary)
    _waterfall(view, lake, tree)
    show_step(view, tree)
    if summary.calls:
        _why(split, parts(spans))
    show_table(spans.drop("attributes", "resource"), key="trace", query="trace")


def _tags(spans: pl.DataFrame) -> str:
    words = []
    for column in ("user_id", "team_id", "feature", "session_id"):
        values = spans[column].drop_nulls().unique(maintain_order=True).to_list()
        if values:
            more = f" and {len(values) - 1} more" if len(values) > 1 else ""
            words.append(f"{column.removesuffix('_id')} {visible(values[0], 40)}{more}")
    return "".join(f"  ·  {word}" for word in words)


def _doubts(summary: Facts) -> Doubts:
    return Doubts(summary.unpriced_calls, estimated_calls=summary.estimated_calls, estimated_usd=summary.estimated_usd)


def _kpis(summary: Facts) -> None:
    cost = summary.cost_usd
    places = 4 if cost is not None and cost < 10 else None
    errors = many(summary.errors, "error") if summary.errors else "no errors"
    each = cost / summary.calls if cost is not None and summary.calls else None
    show_kpis(
        [
            Kpi("Cost", usd(cost, places), None, f"{usd(each, places)} a call" if each else None, usd_exact(cost)),
            Kpi("LLM calls", count(summary.calls), None, many(summary.spans, "step")),
            Kpi("Tokens in / out", f"{summary.input_tokens:,} / {summary.output_tokens:,}"),
            Kpi("Took", duration(summary.duration_us), None, errors),
        ]
    )


def _waterfall(view: View, lake: Lake, tree: Sequence[Node]) -> None:
    figure = waterfall_figure(tree, lake.colours(now().date()), view.span)
    tall = figure.to_dict()["layout"]["height"] > _TALLEST_PX
    with st.container(height=_TALLEST_PX if tall else "content", border=tall, key="waterfall-box"):
        show_figure(
            figure,
            # A picked step changes the figure; a key of its own lets the same step be clicked again.
            key=f"waterfall-{view.span or 'none'}",
            alt=f"Waterfall of {many(len(tree), 'step')}: name, time and cost of each.",
            pick=lambda span: go(view.at_span(None if span == view.span else span)),
        )


def _why(split: Resent, kinds: Sequence[Part]) -> None:
    with st.container(border=True):
        st.markdown("**Why it costs this**")
        left, right = st.columns(2, gap="large")
        with left:
            st.markdown(markdown(headlines.history(split), 300))
            show_figure(
                history_figure(split),
                key="history",
                alt=f"Bars of each call's input: new text and history. {headlines.history(split)}",
            )
        with right:
            st.markdown("What the tokens were, and what they cost:")
            show_figure(
                twin_figure(kinds),
                key="twin",
                alt="; ".join(f"{part.name}: {part.tokens:,} tokens, {usd_exact(part.cost_usd)}" for part in kinds),
            )
            _parts_table(kinds)


def _parts_table(kinds: Sequence[Part]) -> None:
    """Write the twin bars' numbers; a Markdown table, because a data grid costs a tenth of a second."""
    lines = ["| part | tokens | USD per million | cost, USD |", "|:--|--:|--:|--:|"]
    for part in kinds:
        price = f"{part.cost_usd / part.tokens * 1_000_000:.3f}" if part.tokens else ""
        lines.append(f"| {part.name} | {part.tokens:,} | {price} | {part.cost_usd:.6f} |")
    st.markdown("\n".join(lines))
