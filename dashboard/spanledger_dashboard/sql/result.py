"""What came of a question: a table or a chart with files to take away, an error with its place, a sentence."""

from __future__ import annotations

from decimal import Decimal
from functools import partial
from typing import Final

import polars as pl
import pyarrow as pa
import streamlit as st
from streamlit.elements.lib.column_types import ColumnConfig

from spanledger_analytics.plain_values import cell, in_reach
from spanledger_dashboard.charts import built
from spanledger_dashboard.charts.built import KINDS, Choice
from spanledger_dashboard.components.figure import show_figure
from spanledger_dashboard.data import Lake, now
from spanledger_dashboard.format import duration, many, markdown

from . import session
from .answers import MOST_COLUMNS, as_csv, as_held, as_parquet, places_of, shown
from .asking import LIMITS, Asking, Outcome
from .sheet import LOOKS, Look, Sheet, go

_POLL_S: Final = 0.5
_PATIENCE_S: Final = 0.8
"""An answer that comes within it is drawn at once."""
_MOST_SHOWN: Final = 5_000
_PLAN: Final = ["explain_key", "explain_value"]
_ROW_PX: Final = 35
_MOST_HEIGHT_PX: Final = 520
_LONGEST: Final = 600


def show_result(sheet: Sheet, asking: Asking, lake: Lake) -> None:
    """Draw how a question ended, or that it is on its way."""
    if not asking.wait(_PATIENCE_S) or asking.outcome is None:
        _show_waiting(asking)
        return
    session.note(asking)
    outcome = asking.outcome
    if outcome.wrong:
        _show_error(outcome.wrong)
    elif outcome.stopped:
        st.subheader("Not answered", anchor=False)
        st.warning(markdown(outcome.stopped, _LONGEST))
    elif outcome.table is None:
        st.subheader("Done; this statement has no answer", anchor=False)
    elif outcome.table.column_names == _PLAN:
        st.subheader("How it would be run", anchor=False)
        st.code("\n".join(map(str, outcome.table.column("explain_value").to_pylist())), language=None, height=460)
    else:
        _show_answer(sheet, outcome, outcome.table, lake)


@st.fragment(run_every=_POLL_S)
def _show_waiting(asking: Asking) -> None:
    """Say how long it takes, and offer to stop it."""
    if asking.wait(0):
        st.rerun()
    st.subheader("Waiting for a place" if asking.waits else "Asking the lake", anchor=False)
    with st.container(horizontal=True, vertical_alignment="center"):
        st.button("Stop", on_click=asking.stop, key="sql-stop")
        few = "A few questions are answered at once; this one is next." if asking.waits else ""
        first = "what you may see is copied first, then " if asking.copies else ""
        st.caption(few or f"{asking.passed():.0f} s; {first}it is ended after {LIMITS.seconds:.0f} s.")


def _show_error(wrong: str) -> None:
    """Write the message as text, and the place as it stands in the query."""
    message, _, place = wrong.partition("\n\n")
    first, _, more = message.partition("\n")
    st.subheader(markdown(first, _LONGEST), anchor=False)
    if more:
        st.markdown(markdown(more, _LONGEST))
    if place:
        st.code(place, language=None)


def _show_answer(sheet: Sheet, outcome: Outcome, table: pa.Table, lake: Lake) -> None:
    table = in_reach(table)
    frame = shown(table, _MOST_SHOWN)
    with st.container(gap="xxsmall"):
        st.subheader(markdown(_answer(table), 300), anchor=False)
        with st.container(horizontal=True, gap="small", vertical_alignment="center"):
            asked = f"{many(table.num_columns, 'column')} in {duration(outcome.seconds * 1e6)}"
            st.caption(f"{asked}. The address has the query and this look at its answer: share it.")
            if outcome.note:
                st.badge(outcome.note, color="orange", help="Nothing is known of the rows that are missing.")
            if table.num_rows > _MOST_SHOWN:
                st.badge(f"the first {_MOST_SHOWN:,} rows are shown, files have all", color="gray")
            if table.num_columns > MOST_COLUMNS:
                st.badge(f"the first {MOST_COLUMNS} columns are shown, files have all", color="gray")
    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
        _show_looks(sheet)
        with st.container(horizontal=True, gap="small", width="content"):
            _show_files(table)
    if sheet.look == "chart":
        _show_chart(sheet, frame, lake)
    else:
        _show_table(frame)


def _answer(table: pa.Table) -> str:
    """Return the answer where it is one value, else how long it is."""
    if table.shape == (1, 1):
        value = table.column(0)[0].as_py()
        told = f"{value.normalize():f}" if isinstance(value, Decimal) else cell(value)
        return f"{table.column_names[0]}: {'NULL' if value is None else told}"
    return many(table.num_rows, "row")


def _show_looks(sheet: Sheet) -> None:
    def chosen() -> None:
        look: Look | None = st.session_state["sql-look"]
        if look:
            go(sheet.looked_at(look))

    st.session_state["sql-look"] = sheet.look
    st.segmented_control(
        "Look", LOOKS, key="sql-look", format_func=str.capitalize, on_change=chosen, label_visibility="collapsed"
    )


def _show_files(table: pa.Table) -> None:
    """Offer files, which are made when they are asked for."""
    named = f"answer-{now():%Y-%m-%d-%H%M%S}"
    for name, ending, kind, made in (
        ("CSV", "csv", "text/csv", as_csv),
        ("Parquet", "parquet", "application/vnd.apache.parquet", as_parquet),
    ):
        st.download_button(
            name, partial(made, table), f"{named}.{ending}", kind, key=f"sql-{ending}", on_click="ignore"
        )


def _show_table(frame: pl.DataFrame) -> None:
    held = pl.DataFrame([as_held(values) for values in frame.iter_columns()])
    st.dataframe(
        held,
        key="sql-table",
        hide_index=True,
        placeholder="NULL",
        row_height=_ROW_PX,
        height=min(_MOST_HEIGHT_PX, _ROW_PX * (max(1, len(frame)) + 1) + 3),
        column_config={name: _column(frame[name], held[name]) for name in frame.columns},
    )


def _column(values: pl.Series, texts: pl.Series) -> ColumnConfig:
    """Return how a column is written: to the last digit, as numbers where a browser's numbers can hold it."""
    if values.dtype == pl.Date:
        return st.column_config.DateColumn(format="YYYY-MM-DD")
    if values.dtype.is_decimal() or values.dtype.is_integer():
        if texts.dtype == pl.String:
            return st.column_config.TextColumn(alignment="right")
        return st.column_config.NumberColumn(format=f"%.{places_of(values)}f")
    return st.column_config.Column()


def _show_chart(sheet: Sheet, frame: pl.DataFrame, lake: Lake) -> None:
    wanted = built.choice_of(sheet.chart, frame.columns)
    choice = wanted if wanted and built.fits(frame, wanted) else built.suggested(frame)
    if choice is None:
        st.caption("There is nothing to draw: a chart needs a number, and a column to draw it by.")
        return
    if sheet.chart and choice != wanted:
        st.caption("The chart that was asked for doesn't go with these columns; this one suggests itself.")
    _show_choices(sheet, frame, choice)
    drawn = built.build(frame, choice, lake.colours())
    show_figure(drawn.figure, key="sql-chart", alt=drawn.alt)
    for said in drawn.notes:
        st.caption(markdown(said, _LONGEST))


def _show_choices(sheet: Sheet, frame: pl.DataFrame, choice: Choice) -> None:
    """Draw a box for each part of the chart; a choice only writes the URL, with the rest of what is drawn."""
    offered: dict[str, list[str]] = {
        "kind": list(KINDS),
        "x": built.places(frame),
        "y": built.measures(frame),
        "colour": built.groups(frame),
    }
    drawn = {name: getattr(choice, name) for name in offered}

    def chosen(name: str) -> None:
        go(sheet.looked_at("chart", **drawn | {name: st.session_state[f"sql-{name}"]}))

    for (name, values), column in zip(offered.items(), st.columns(len(offered)), strict=True):
        st.session_state[f"sql-{name}"] = drawn[name]
        column.selectbox(
            name.capitalize(),
            values,
            index=None if name == "colour" else 0,
            key=f"sql-{name}",
            placeholder="One colour",
            on_change=chosen,
            args=(name,),
        )
