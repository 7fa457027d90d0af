"""Level five: one request, step by step, and why it costs what it does."""

from __future__ import annotations

import json
from collections.abc import Sequence

import polars as pl
import streamlit as st

from spanledger_analytics.parts import parts
from spanledger_analytics.resent import resent
from spanledger_analytics.tree import Facts, Node, facts, nodes

from .. import headlines
from ..charts.trace import history_figure, twin_figure, waterfall_figure
from ..components.figure import show_figure, show_table
from ..components.heading import show_heading
from ..components.kpis import Kpi, show_kpis, show_unpriced
from ..data import Lake, now
from ..format import count, duration, many, share, usd, usd_exact, visible
from ..state import View, go

_TALLEST_PX = 640
"""Longer waterfalls scroll in a box of their own."""


def show(view: View, lake: Lake) -> None:
    """Draw a trace; a click on a step picks it."""
    spans = lake.ask("trace", view.day, view.trace)
    if not spans.height:
        st.warning("No span of this request is in the lake around that day. It may have been dropped, or the link is wrong.")
        st.button("Show all days", on_click=go, args=(view.top(),), type="primary")
        return
    tree, summary, split = nodes(spans), facts(spans), resent(spans)
    name = str(tree[0].span["name"] or "(no name)")
    show_heading(headlines.trace(name, summary, split), headlines.took(summary) + _tags(spans))
    show_unpriced(summary.unpriced_calls)
    _kpis(summary)
    _waterfall(view, lake, tree)
    with st.container(border=True):
        _why(spans)
    _attributes(view, tree)
    show_table(spans.drop("attributes", "resource"), key="trace", query="trace")


def _tags(spans: pl.DataFrame) -> str:
    words = []
    for column in ("user_id", "team_id", "feature", "session_id"):
        values = spans[column].drop_nulls().unique(maintain_order=True).to_list()
        if values:
            more = f" and {len(values) - 1} more" if len(values) > 1 else ""
            words.append(f"{column.removesuffix('_id')} {visible(values[0], 40)}{more}")
    return "".join(f"  ·  {word}" for word in words)


def _kpis(summary: Facts) -> None:
    cost = summary.cost_usd
    places = 4 if cost is not None and cost < 10 else None
    show_kpis(
        [
            Kpi("Cost", usd(cost, places), None, f"{count(summary.calls)} LLM calls", usd_exact(cost)),
            Kpi("Tokens in / out", f"{count(summary.input_tokens)} / {count(summary.output_tokens)}"),
            Kpi("Took", duration(summary.duration_us)),
            Kpi("Steps", count(summary.spans), None, many(summary.errors, "error") if summary.errors else "no errors"),
        ]
    )  # fmt: skip


def _waterfall(view: View, lake: Lake, tree: Sequence[Node]) -> None:
    figure = waterfall_figure(tree, lake.colours(now().date()), view.span)
    height = figure.layout.height
    with st.container(height=_TALLEST_PX if height > _TALLEST_PX else "content", border=False, key="waterfall-box"):
        show_figure(
            figure,
            # A picked step changes the figure; a key of its own lets the same step be clicked again.
            key=f"waterfall-{view.span or 'none'}",
            alt=f"Waterfall of {many(len(tree), 'step')}: name, time and cost of each.",
            pick=lambda span: go(view.at_span(None if span == view.span else span)),
        )


def _why(spans: pl.DataFrame) -> None:
    split = resent(spans)
    st.markdown("**Why it costs this**")
    left, right = st.columns(2, gap="large")
    with left:
        st.caption(headlines.history(split).replace("$", r"\$"))
        show_figure(
            history_figure(split),
            key="history",
            alt=f"Bars of each call's input: new text and history. {headlines.history(split)}",
        )
    with right:
        kinds = parts(spans)
        st.caption("What the tokens were, and what they cost.")
        show_figure(
            twin_figure(kinds),
            key="twin",
            alt="; ".join(f"{part.name}: {part.tokens:,} tokens, {usd_exact(part.cost_usd)}" for part in kinds),
        )


def _attributes(view: View, tree: Sequence[Node]) -> None:
    ids = [str(node.span["span_id"]) for node in tree]
    names = {
        identity: f"{'  ' * node.depth}{visible(str(node.span['name'] or ''), 60)}"
        for identity, node in zip(ids, tree, strict=True)
    }
    st.session_state["span"] = view.span if view.span in names else None

    def picked() -> None:
        go(view.at_span(st.session_state["span"]))

    st.selectbox(
        "Step",
        [None, *ids],
        key="span",
        format_func=lambda identity: names[identity] if identity else "Pick a step to see all that was recorded",
        on_change=picked,
        label_visibility="collapsed",
    )
    if view.span in names:
        st.dataframe(
            _facts_table(next(node for node in tree if node.span["span_id"] == view.span)),
            hide_index=True,
            alt="Everything recorded on the picked step.",
            column_config={"column": st.column_config.TextColumn(width="medium"), "value": st.column_config.TextColumn(width="large")},
        )


def _facts_table(node: Node) -> pl.DataFrame:
    rows = [
        (name, _written(value))
        for name, value in node.span.items()
        if name not in {"attributes", "resource"} and value is not None
    ]
    for prefix in ("attributes", "resource"):
        found = node.span[prefix]
        rows += [(f"{prefix}.{key}", _written(value)) for key, value in _pairs(found)]
    return pl.DataFrame(
        {"column": [visible(name, 200) for name, _ in rows], "value": [visible(value, 2000) for _, value in rows]}
    )


def _pairs(found: object) -> list[tuple[str, object]]:
    if isinstance(found, dict):
        return sorted(found.items())
    if isinstance(found, list):
        return sorted((each["key"], each["value"]) for each in found)
    return []


def _written(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, default=str)
