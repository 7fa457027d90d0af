"""One step of a trace in full: every column and attribute that was recorded."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import Final

import polars as pl
import streamlit as st

from spanledger import names
from spanledger_analytics.tree import Node
from spanledger_dashboard.format import visible
from spanledger_dashboard.state import View, go

_MAPS: Final = ("attributes", "resource")
_LONGEST: Final = 2000


def show_step(view: View, tree: Sequence[Node]) -> None:
    """Offer the steps by name (the way without a mouse) and list the picked one's values."""
    steps = {
        str(node.span["span_id"]): "\u2003" * node.depth + visible(str(node.span["name"] or "(no name)"), 60)
        for node in tree
    }
    st.session_state["step"] = view.span if view.span in steps else None

    def picked() -> None:
        go(view.at_span(st.session_state["step"]))

    st.selectbox(
        "Step",
        list(steps),
        index=None,
        key="step",
        format_func=steps.__getitem__,
        placeholder="Pick a step, here or above, to see all that was recorded on it",
        on_change=picked,
        label_visibility="collapsed",
    )
    for node in tree:
        if node.span["span_id"] == view.span:
            column = st.column_config
            st.dataframe(
                recorded(node),
                hide_index=True,
                alt="Everything recorded on the picked step.",
                column_config={
                    "column": column.TextColumn(width="medium"),
                    "value": column.TextColumn(width="large"),
                },
            )


def recorded(node: Node) -> pl.DataFrame:
    """Return what is known of a step as rows of column and value, unknown ones left out."""
    rows = [(name, _written(value)) for name, value in node.span.items() if name not in _MAPS and value is not None]
    for name in _MAPS:
        rows += [(f"{name}.{key}", _shown(key, value)) for key, value in _pairs(node.span[name])]
    return pl.DataFrame(
        {
            "column": [visible(name, 200) for name, _ in rows],
            "value": [visible(value, _LONGEST) for _, value in rows],
        },
        schema={"column": pl.String, "value": pl.String},
    )


def _shown(key: str, value: object) -> str:
    """Write a value, except what was said and heard: who looks at costs need not read along."""
    written = _written(value)
    return f"({len(written)} characters of content, to be read with SQL)" if key in names.CONTENT else written


def _pairs(found: object) -> list[tuple[str, object]]:
    if isinstance(found, dict):
        return sorted(found.items())
    if isinstance(found, list):
        return sorted((each["key"], each["value"]) for each in found)
    return []


def _written(value: object) -> str:
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%dT%H:%M:%S.%f}Z"
    return str(value) if isinstance(value, str | Decimal) else json.dumps(value, default=str)
