"""What all figures share: quiet axes, no tools, and the invisible layer that takes hovers and clicks."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence
from typing import Any, Final

import plotly.graph_objects as go

from .figure import Figure

CONFIG: Final[dict[str, Any]] = {"displayModeBar": False, "doubleClick": False, "scrollZoom": False}
"""For st.plotly_chart: nothing on a figure reacts but its clicks."""
GRID: Final = "rgba(128, 140, 152, 0.18)"
_LETTER_PX: Final = 7
_WIDE_PX: Final = 12
_WIDE: Final = frozenset("mw@%")
_GAP_PX: Final = 12
"""Between what is written and the axis, and before it."""
_LINE_PX: Final = 26
"""Of what is written under the axis."""
CLEAR: Final = "rgba(0, 0, 0, 0)"
LEGEND: Final[dict[str, Any]] = {
    "orientation": "h",
    "maxheight": 1,
    "y": 1.02,
    "yanchor": "bottom",
    "x": 0,
    "traceorder": "normal",
}
"""Above the plot; on a phone, where it is a column, as high as that, so that it doesn't scroll."""
TIMES: Final[dict[str, Any]] = {
    "type": "date",
    "nticks": 8,
    "tickformatstops": [
        {"dtickrange": [None, 43_200_000], "value": "%H:%M\n%-d %b"},
        {"dtickrange": [43_200_000, None], "value": "%-d %b"},
    ],
}
"""An axis of moments, which says hours within a day, else days."""
_FONT: Final = '"Source Sans", sans-serif'
_DRAWN: Final = 1
"""Streamlit tells plotly of each figure twice, in two copies: with this, the second is known to be the first.

Another figure never takes the place of one that is drawn. Nothing else may differ either, so Streamlit may lay no
theme over figures: it would be another one each time.
"""


def base(height: int, **layout: Any) -> go.Figure:
    """Return an empty figure in the house style."""
    figure = Figure()
    figure.update_layout(font={"family": _FONT, "size": 12}, margin_pad=8, datarevision=_DRAWN)
    figure.update_layout(
        **{
            "height": height,
            "margin": {"l": 4, "r": 8, "t": 8, "b": 4},
            "barmode": "stack",
            "bargap": 0.18,
            "dragmode": False,
            "clickmode": "event+select",
            # "x unified" breaks selection.
            "hovermode": "closest",
            "hoverlabel": {"align": "left"},
            "legend": LEGEND,
            "paper_bgcolor": CLEAR,
            "plot_bgcolor": CLEAR,
        }
        | layout
    )
    quiet = {"fixedrange": True, "zeroline": False, "automargin": True, "title": {"font": {"size": 14}}}
    figure.update_xaxes(**quiet, showgrid=False, title_standoff=20)
    figure.update_yaxes(**quiet, gridcolor=GRID, title_standoff=24)
    return figure


def keep_margins(figure: go.Figure, names: Iterable[str]) -> None:
    """Give the axes room for what is written at them, the longest of `names` at the left.

    Plotly would draw a figure, look how wide its words are, and draw it again: a quarter of the time that it takes.
    A legend still finds its own room, as it has more lines on a phone.
    """
    left = max((_width_px(name) for name in names), default=0)
    figure.update_layout(margin={"l": left + _GAP_PX, "b": _LINE_PX})
    figure.update_xaxes(automargin=False)
    figure.update_yaxes(automargin=False)


def _width_px(name: str) -> int:
    """Return how wide a name is, at most: some letters are wider than others."""
    return sum(_WIDE_PX if letter in _WIDE or _is_wide(letter) else _LETTER_PX for letter in name)


def _is_wide(letter: str) -> bool:
    return letter.isupper() or unicodedata.east_asian_width(letter) in "WF"


def add_beside(figure: go.Figure, ends: Sequence[float], places: Sequence[int], words: Sequence[str]) -> None:
    """Write words beside bars that lie: to the right of where each ends. They must be escaped already."""
    figure.add_scatter(
        x=list(ends),
        y=list(places),
        mode="text",
        text=list(words),
        textposition="middle right",
        cliponaxis=False,
        hoverinfo="skip",
        showlegend=False,
    )


def add_hit_columns(figure: go.Figure, places: Sequence[object], ids: Sequence[str], hovers: Sequence[str]) -> None:
    """Lay a transparent full-height bar over each place: it takes hover and click even where nothing is drawn.

    A click's `customdata[0]` is the id of the column. Hover texts must be escaped already.
    """
    figure.add_bar(x=list(places), y=[1] * len(places), yaxis="y2", **_hit(ids, hovers))
    figure.update_layout(yaxis2={"overlaying": "y", "range": [0, 1], "visible": False, "fixedrange": True})


def add_hit_rows(
    figure: go.Figure,
    ids: Sequence[str],
    hovers: Sequence[str],
    axis: str,
    span: tuple[float, float],
) -> None:
    """Lay a transparent bar over each row 0, 1, ... of an x axis whose range is `span`; like `add_hit_columns`.

    The figure's barmode must be "overlay".
    """
    start, end = span
    figure.add_bar(
        y=list(range(len(ids))),
        x=[end - start] * len(ids),
        base=[start] * len(ids),
        xaxis=axis,
        orientation="h",
        width=1,
        **_hit(ids, hovers),
    )


def _hit(ids: Sequence[str], hovers: Sequence[str]) -> dict[str, Any]:
    return {
        "name": "",
        "showlegend": False,
        "marker": {"color": CLEAR, "line": {"width": 0}},
        "customdata": [[identity, hover] for identity, hover in zip(ids, hovers, strict=True)],
        "hovertemplate": "%{customdata[1]}<extra></extra>",
        # Without these a click dims everything that was not clicked.
        "selected": {"marker": {"opacity": 1}},
        "unselected": {"marker": {"opacity": 1}},
    }
