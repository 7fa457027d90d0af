"""When alerts fired: a lane a rule and scope, a bar from the firing to the end."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final

import plotly.graph_objects as go
import polars as pl

from spanledger_dashboard.format import day_name, figure_text

from .colours import GREY, ORANGE, RED
from .layout import TIMES, base

SEVERITIES: Final[Mapping[str, str]] = {"critical": RED, "warning": ORANGE, "info": GREY}
"""To the colour of its bars."""
_ROW_PX: Final = 30
_THRESHOLD: Final = frozenset({"basis", "period", "threshold"})
"""Labels that tell alerts of one budget apart."""
_SHORTEST: Final = 0.004
"""Part of the width that an episode of no length gets."""


def episodes_figure(frame: pl.DataFrame, begin: datetime, until: datetime) -> go.Figure:
    """Draw the frame of the report `alerts` between two moments (UTC); what is pending is left out."""
    rows = [row for row in frame.to_dicts() if row["fired_at"] is not None]
    lanes = list(dict.fromkeys(lane(row) for row in rows))
    figure = base(_ROW_PX * len(lanes) + 60, bargap=0.4, barmode="overlay")
    least = (until - begin) * _SHORTEST
    for severity, colour in SEVERITIES.items():
        shown = [row for row in rows if row["severity"] == severity]
        if not shown:
            continue
        first = [min(max(row["fired_at"], begin), until - least) for row in shown]
        last = [max(row["resolved_at"] or until, start + least) for row, start in zip(shown, first, strict=True)]
        figure.add_bar(
            name=severity,
            y=[lanes.index(lane(row)) for row in shown],
            base=[_clock(start) for start in first],
            x=[(end - start) / timedelta(milliseconds=1) for start, end in zip(first, last, strict=True)],
            orientation="h",
            marker={"color": colour, "line": {"width": 0}},
            customdata=[[_hover(row)] for row in shown],
            hovertemplate="%{customdata[0]}<extra></extra>",
        )
    figure.update_layout(
        xaxis=TIMES | {"range": [_clock(begin), _clock(until)], "showgrid": True},
        yaxis={
            "tickvals": list(range(len(lanes))),
            "ticktext": [figure_text(name, 34) for name in lanes],
            "range": [len(lanes) - 0.5, -0.5],
            "showgrid": False,
            "ticklabelstandoff": 8,
        },
    )
    return figure


def lane(row: Mapping[str, Any]) -> str:
    """Name what an alert of the report is about, in plain text: its rule and scope, without a budget's thresholds."""
    told = [part for part in row["scope"].split(", ") if part and part.partition("=")[0] not in _THRESHOLD]
    return " · ".join([row["rule"], *told])


def _clock(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S}"


def _hover(row: Mapping[str, Any]) -> str:
    fired, over = row["fired_at"], row["resolved_at"]
    ended = "it still does" if over is None else f"over {day_name(over.date())} {over:%H:%M} UTC"
    return "<br>".join(
        (
            f"<b>{figure_text(row['rule'])}</b> {figure_text(row['scope'], 60)}",
            f"fired {day_name(fired.date())} {fired:%H:%M} UTC, {ended}",
            figure_text(row["summary"], 120),
        )
    )
