"""The filter by any tag, key = value: a fold that asks what there is only when it is opened.

What tags calls carry stands on their spans alone, so the list is of the last days; any other can be typed.
"""

from __future__ import annotations

import polars as pl
import streamlit as st

from spanledger_analytics.reports.question import TAG
from spanledger_dashboard.data import Lake
from spanledger_dashboard.format import markdown, visible
from spanledger_dashboard.state import View, Window, go_from, while_here

from .options import cut_apart


def show_tags(view: View | Window, lake: Lake) -> None:
    """Draw the fold; its label says which tags calls have to carry."""
    picked = view.filters.tags
    label = ", ".join(f"{visible(key, 20)} = {visible(value or '(none)', 20)}" for key, value in picked) or "Any tags"
    fold = st.popover(markdown(label), key="tags", on_change="rerun", type="secondary")
    if fold.open:
        with fold:
            for key, value in picked:
                st.button(
                    markdown(f"Without {visible(key, 40)} = {visible(value or '(none)', 40)}", 120),
                    key=f"tag-off-{key}",
                    on_click=go_from,
                    args=(view.filtered(f"{TAG}{key}", None),),
                )
            _add(view, lake.tag_values())


def _add(view: View | Window, known: pl.DataFrame) -> None:
    keys = known["key"].unique(maintain_order=True).to_list()
    if not keys:
        st.caption("No call of the last days carries a tag; one can be typed all the same.")
    key = st.selectbox("Tag", keys, index=None, key="tag-key", placeholder="its key", accept_new_options=True)
    if not key:
        return
    values = ["", *known.filter(pl.col("key") == key)["value"].to_list()]
    words = cut_apart({value: value or "(calls without it)" for value in values}, 60)

    def chosen() -> None:
        value = st.session_state["tag-value"]
        st.session_state["tag-value"] = st.session_state["tag-key"] = None
        if value is not None:
            go_from(view.filtered(f"{TAG}{key}", value))

    st.selectbox(
        "Value",
        values,
        index=None,
        key="tag-value",
        placeholder="its value",
        format_func=words.__getitem__,
        accept_new_options=True,
        on_change=while_here(chosen),
    )
