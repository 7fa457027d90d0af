"""One step of a trace in full: what it cost, its attempts, and every column and attribute that was recorded."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from math import isfinite
from typing import Any, Final

import polars as pl
import streamlit as st

from spanledger import names
from spanledger_analytics.tree import SpanRow, is_charged, is_refused
from spanledger_dashboard.format import duration, markdown, usd_exact, visible

_MAPS: Final = ("tags", "units", "attributes", "resource")
_APART: Final = {*_MAPS, "events"}
_LONGEST: Final = 2000
_HEIGHT_PX: Final = 330
_NO: Final = {"no": "no", "yes": "yes", "unknown": "perhaps"}
"""Whether an attempt was billed, in words."""


def show_step(span: SpanRow) -> None:
    """Draw a row of the query `span`."""
    st.markdown(f"**{markdown(span['name'] or '(no name)', 200)}**  \n{markdown(_in_short(span), 300)}")
    tries = attempts(span)
    if tries.height:
        st.markdown(table(tries))
    column = st.column_config
    st.dataframe(
        recorded(span),
        key="recorded",
        hide_index=True,
        height=_HEIGHT_PX,
        alt="Everything recorded on the picked step.",
        column_config={"column": column.TextColumn(width="medium"), "value": column.TextColumn(width="large")},
    )


def _in_short(span: SpanRow) -> str:
    words = [duration(span["duration_us"])]
    if is_charged(span):
        words += [
            usd_exact(span["cost_usd"]),
            f"{span['input_tokens'] or 0:,} tokens in, {span['output_tokens'] or 0:,} out",
        ]
    if is_refused(span):
        words.append(f"refused by {visible(span['guard_policy'] or 'the policy')}, never sent")
    if span["cost_usd"] is None and span["unpriced_reason"]:
        words.append(f"no price: {visible(span['unpriced_reason'])}")
    if span["retry_cost_usd"]:
        words.append(f"failed attempts may have cost {usd_exact(span['retry_cost_usd'])} more, in no sum")
    if span["status"] == "error":
        words.append(f"failed: {visible(span['error_type'] or span['status_message'] or 'error')}")
    return "  ·  ".join(words)


def attempts(span: SpanRow) -> pl.DataFrame:
    """Return the HTTP attempts that a call told of: attempt, answer, took, billed, retry after; no rows if none."""
    told = [event["attributes"] for event in _events(span) if event.get("name") == names.ATTEMPT_EVENT]
    rows = [
        (
            int(_number(each.get(names.ATTEMPT_NUMBER), number)),
            str(each.get(names.HTTP_STATUS) or each.get(names.ERROR_TYPE) or "ok"),
            duration(_number(each.get(names.ATTEMPT_DURATION_S), 0) * 1e6),
            _NO.get(str(each.get(names.ATTEMPT_BILLED)), "perhaps"),
            str(each.get(names.ATTEMPT_RETRY_AFTER, "")),
        )
        for number, each in enumerate(told, start=1)
    ]
    named = ("attempt", "answer", "took", "billed", "retry after")
    kinds = (pl.Int64, pl.String, pl.String, pl.String, pl.String)
    return pl.DataFrame(rows, schema=dict(zip(named, kinds, strict=True)), orient="row")


def _number(told: object, otherwise: float) -> float:
    """Return a number that a stranger told, if it is one."""
    try:
        number = float(str(told))
    except ValueError:
        return otherwise
    return number if isfinite(number) else otherwise


def table(tries: pl.DataFrame) -> str:
    """Write attempts as Markdown, because a data grid costs a tenth of a second."""
    lines = ["| " + " | ".join(tries.columns) + " |", "|--:|:--|--:|:--|:--|"]
    # The bar would end a cell, also where it is escaped or code.
    cells = ((markdown(str(value).replace("|", "¦"), 40) for value in row) for row in tries.iter_rows())
    lines += ["| " + " | ".join(row) + " |" for row in cells]
    return "\n".join(lines)


def _events(span: SpanRow) -> list[Mapping[str, Any]]:
    found: list[Mapping[str, Any]] = json.loads(span["events"]) if span["events"] else []
    return found


def recorded(span: SpanRow) -> pl.DataFrame:
    """Return what is known of a step as rows of column and value, unknown ones left out."""
    rows = [(name, _written(value)) for name, value in span.items() if name not in _APART and value is not None]
    for name in _MAPS:
        rows += [(f"{name}.{key}", _shown(key, value)) for key, value in _pairs(span.get(name))]
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
