"""Level five: one request, step by step, how it ended, and why it costs what it does.

How the request ended comes after the waterfall, in a place kept free. Why it costs that, and the drivers, which price
its calls a second time, are drawn when the waterfall is on the screen: before, they would keep each other waiting.
Picking a step redraws the waterfall and the step, and nothing else.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta
from decimal import Decimal
from typing import Final, Literal

import polars as pl
import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from spanledger_analytics.parts import Part, parts
from spanledger_analytics.reports.calendar import Period
from spanledger_analytics.reports.question import Question
from spanledger_analytics.resent import Resent, resent
from spanledger_analytics.spend import ALL, Doubts, cost_of
from spanledger_analytics.tree import Facts, facts, nodes, steps, total
from spanledger_dashboard import headlines
from spanledger_dashboard.charts.drivers import NAMES, drivers_figure
from spanledger_dashboard.charts.trace import history_figure, twin_figure
from spanledger_dashboard.components.card import card, show_answer
from spanledger_dashboard.components.figure import show_figure, show_table
from spanledger_dashboard.components.heading import show_heading
from spanledger_dashboard.components.kpis import Kpi, show_kpis
from spanledger_dashboard.components.step import show_step
from spanledger_dashboard.components.trouble import told
from spanledger_dashboard.components.waterfall import show_waterfall
from spanledger_dashboard.data import Lake
from spanledger_dashboard.format import count, day_name, duration, many, markdown, share, usd, usd_exact, visible
from spanledger_dashboard.state import View, go, parse

_DAY: Final = timedelta(days=1)
_DRIVERS_PX: Final = 330
"""What the drivers of a request take up, about."""
_WHY_PX: Final = 430
_LATER: Final = ("why-later", "drivers-later")
"""What is drawn when the waterfall stands."""
_DRAWN: Final = "drawn-trace"
"""The trace whose waterfall stands on the screen, in the session: no part of where the reader is."""
_MOST_OUTCOMES: Final = 4
_BRACKETS: Final = str.maketrans("[]", "()")
"""A badge ends with a bracket, wherever it stands."""
_COLOURS: Final[dict[bool | None, Literal["green", "red", "gray"]]] = {True: "green", False: "red", None: "gray"}
"""Of what is said about the end of work."""


def show(view: View, day: date | None, trace_id: str, lake: Lake) -> None:
    """Draw a trace; a click on a step picks it."""
    if day is None or not lake.trace(day, trace_id).height:
        st.warning(f"No step of the request {trace_id} is in the lake: the link is wrong, or its days were deleted.")
        st.button("Show all days", on_click=go, args=(view.top(),), type="primary")
        return
    spans = lake.trace(day, trace_id)
    work = steps(spans)
    summary, split = facts(work), resent(work)
    show_heading(
        headlines.trace(str(work["name"][0] or "(no name)"), summary, split),
        headlines.took(summary) + _tags(spans),
        _doubts(summary),
    )
    ended = st.empty()
    kept = view.days if view.filters == ALL else 1
    _kpis(summary, total(cost_of(lake.day(one, ALL, kept)) for one in summary.days))
    _steps(day, trace_id, lake, has_calls=bool(summary.calls))
    if summary.calls:
        _drivers(lake, day, trace_id)
        _why(trace_id, split, parts(work))
    show_table(spans, key="trace", query="trace")
    _outcomes(ended, spans, day, trace_id, lake)


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


def _kpis(summary: Facts, of_days: Decimal | None) -> None:
    cost = summary.cost_usd
    places = 4 if cost is not None and cost < 10 else None
    errors = many(summary.errors, "error") if summary.errors else "no errors"
    part = f"{share(cost, of_days)} of {' and '.join(map(day_name, summary.days))}" if cost else None
    show_kpis(
        [
            Kpi("Cost", usd(cost, places), None, part, usd_exact(cost)),
            Kpi("LLM calls", count(summary.calls), None, f"{many(summary.spans, 'step')}{_retries(summary)}"),
            Kpi(
                "Tokens in / out",
                f"{count(summary.input_tokens)} / {count(summary.output_tokens)}",
                help=f"{summary.input_tokens:,} in, {summary.output_tokens:,} out",
            ),
            Kpi("Took", duration(summary.duration_us), None, errors),
        ]
    )


def _retries(summary: Facts) -> str:
    if not summary.retries:
        return ""
    cost = f", perhaps {usd(summary.retry_usd)} beside the bill" if summary.retry_usd else ""
    return f", {many(summary.retries, 'attempt')} repeated{cost}"


def _outcomes(place: DeltaGenerator, spans: pl.DataFrame, day: date, trace_id: str, lake: Lake) -> None:
    """Say how the work ended, where somebody said so."""
    sessions = spans["session_id"].drop_nulls().unique(maintain_order=True).to_list()
    said = lake.outcomes(day, trace_id, sessions)
    if said.height:
        with place.container(horizontal=True, gap="small", vertical_alignment="center"):
            for row in said.head(_MOST_OUTCOMES).iter_rows(named=True):
                said_of = headlines.outcome(row).translate(_BRACKETS)
                st.badge(markdown(said_of, 200), color=_COLOURS[headlines.succeeded(row)])


@st.fragment
def _steps(day: date, trace_id: str, lake: Lake, *, has_calls: bool) -> None:
    """Draw the waterfall and the picked step; both are in the cache when a step is picked."""
    with told("steps"):
        _draw_steps(day, trace_id, lake, has_calls=has_calls)


def _draw_steps(day: date, trace_id: str, lake: Lake, *, has_calls: bool) -> None:
    def drawn() -> None:
        st.session_state[_DRAWN] = trace_id
        st.rerun(_LATER)

    view = parse(st.query_params.to_dict())
    tree = nodes(steps(lake.trace(day, trace_id)))
    picked = view.span if view.span in {node.span["span_id"] for node in tree} else None
    with st.container(border=True, key="steps"):
        show_waterfall(
            trace_id,
            tree,
            lake.colours(),
            picked,
            lambda span: go(view.at_span(span)),
            drawn if has_calls and not _stands(trace_id) else None,
        )
        if picked is not None:
            show_step(lake.span(day, trace_id, picked).row(0, named=True))
        elif view.span is not None:
            st.caption("The step that this link names is not in the request.")


@card("drivers", _DRIVERS_PX, later=_LATER[1])
def _drivers(lake: Lake, day: date, trace_id: str) -> None:
    """Draw what the dollars were for: the parts of every prompt and answer; their place, until the waterfall stands."""
    if not _stands(trace_id, _DRIVERS_PX):
        return
    asked = Question(Period(day - _DAY, day + _DAY))
    answer = lake.report("drivers", asked, trace=trace_id)
    frame = answer.frame
    headline = headlines.drivers(frame, NAMES[frame["part"][0]] if frame.height else "")
    st.markdown(f"**{markdown(headline, 300)}**")
    if frame.height:
        words = [
            f"{NAMES[part]}: {usd_exact(cost)}, {tokens:,} tokens"
            for part, cost, tokens in frame.select("part", "cost_usd", "tokens").iter_rows()
        ]
        show_figure(drivers_figure(frame), key="drivers-figure", alt=f"{headline}. {'; '.join(words)}.")
    for note in answer.notes[1:]:
        # What the headline says already.
        if note.startswith("the largest part is"):
            continue
        st.caption(markdown(f"{note[:1].upper()}{note[1:]}.", 400))
    show_answer(lake, "drivers", "drivers", asked, trace=trace_id)


def _stands(trace_id: str, height: int = 0) -> bool:
    """Tell whether the waterfall is on the screen; if not, keep a place of some height (px) free."""
    stands: bool = st.session_state.get(_DRAWN) == trace_id
    if not stands and height:
        st.skeleton(height)
    return stands


@card("why", _WHY_PX, later=_LATER[0])
def _why(trace_id: str, split: Resent, kinds: Sequence[Part]) -> None:
    """Draw how the history grew, and what the tokens were."""
    if not _stands(trace_id, _WHY_PX):
        return
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
