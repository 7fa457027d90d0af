"""A chart as pages show it: clicks that move the URL, words for who can't see it, and its table and SQL."""

from __future__ import annotations

from collections.abc import Callable

import plotly.graph_objects as go
import polars as pl
import streamlit as st
from streamlit.elements.lib.column_types import ButtonColumnResult, ColumnConfig

from spanledger_analytics.connection import load_query
from spanledger_dashboard.charts.colours import INK, LINE, PAPER
from spanledger_dashboard.charts.layout import CONFIG
from spanledger_dashboard.state import while_here

Columns = dict[str, ColumnConfig | ButtonColumnResult | str | None]
"""Settings of a table's columns, by name."""


def show_figure(figure: go.Figure, *, key: str, alt: str, pick: Callable[[str], None] | None = None) -> None:
    """Draw a figure; a click on its hit layer calls `pick` with the id under the pointer."""
    theme = "dark" if st.context.theme.type == "dark" else "light"
    figure.update_layout(
        font_color=INK[theme],
        hoverlabel={"bgcolor": PAPER[theme], "bordercolor": LINE[theme], "font": {"color": INK[theme]}},
    )
    if pick is None:
        st.plotly_chart(figure, key=key, config=CONFIG, theme=None, alt=alt)
        return

    # What Streamlit makes of none; a figure that is told so at once is not drawn again.
    figure.update_layout(dragmode="pan")

    def picked() -> None:
        points = st.session_state[key].selection.points
        # Clicking the same place again clears the selection, which is no pick.
        if points:
            pick(points[0]["customdata"][0])

    st.plotly_chart(
        figure, key=key, config=CONFIG, theme=None, alt=alt, on_select=while_here(picked), selection_mode="points"
    )


def show_table(frame: pl.DataFrame, *, key: str, query: str, config: Columns | None = None) -> None:
    """Offer the numbers behind a chart, and the SQL that they come from, behind one fold."""
    fold = st.expander("Table and SQL", key=f"{key}-fold", on_change="rerun", type="compact")
    if fold.open:
        with fold:
            st.dataframe(
                frame, key=f"{key}-table", hide_index=True, column_config=money_columns(frame) | (config or {})
            )
            st.caption(r"How this is computed: \$files are the live files of the days asked for.")
            st.code(load_query(query).strip(), language="sql")


def money_columns(frame: pl.DataFrame) -> Columns:
    """Return column settings that write money with four decimals, shares as percent and tokens with thousands."""
    settings: Columns = {}
    for name in frame.columns:
        if name.endswith("_usd"):
            settings[name] = st.column_config.NumberColumn(f"{_words(name, '_usd')}, USD", format="%.4f")
        elif name.endswith("_share"):
            settings[name] = st.column_config.NumberColumn(_words(name, "_share"), format="percent")
        elif name.endswith("_tokens"):
            settings[name] = st.column_config.NumberColumn(name.replace("_", " "), format="localized")
        else:
            settings[name] = _words(name)
    return settings


def _words(name: str, unit: str = "") -> str:
    return name.removesuffix(unit).replace("_", " ")
