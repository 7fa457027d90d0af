"""A figure that is written down as it is told.

Plotly's own checks every property each time one is set, which takes 20 ms for a stack of bars: longer than all else
that a page does for it. This one is checked where a test, or whoever else, looks at its `data` or `layout`.
"""

from __future__ import annotations

import re
from typing import Any, Final

import plotly.graph_objects as go

Properties = dict[str, Any]
_WHOLE: Final = frozenset({"error_x", "error_y", "paper_bgcolor", "plot_bgcolor"})
"""Names in which an underscore leads to no part."""


class Figure(go.Figure):  # type: ignore[misc]
    """A figure of plotly for whoever draws it; the methods below are all that may be called to make one."""

    def __init__(self) -> None:
        self._traces: list[Properties] = []
        self._properties: Properties = {}

    def add_bar(self, **properties: Any) -> None:
        """Add bars."""
        self._traces.append(_merged({"type": "bar"}, properties))

    def add_scatter(self, **properties: Any) -> None:
        """Add points, lines or words."""
        self._traces.append(_merged({"type": "scatter"}, properties))

    def add_shape(self, **properties: Any) -> None:
        """Add a rectangle or line."""
        self._properties.setdefault("shapes", []).append(_merged({}, properties))

    def add_annotation(self, **properties: Any) -> None:
        """Add words at a place."""
        self._properties.setdefault("annotations", []).append(_merged({}, properties))

    def update_layout(self, **properties: Any) -> None:
        """Set properties of the whole, and leave others as they are."""
        _merged(self._properties, properties)

    def update_xaxes(self, **properties: Any) -> None:
        """Set properties of every x axis that was told of."""
        self._update_axes("xaxis", properties)

    def update_yaxes(self, **properties: Any) -> None:
        """Set properties of every y axis that was told of."""
        self._update_axes("yaxis", properties)

    def to_dict(self) -> Properties:
        """Return the figure as plotly's JSON has it."""
        return {"data": [dict(trace) for trace in self._traces], "layout": dict(self._properties)}

    @property
    def data(self) -> Any:
        """Its traces, checked by plotly."""
        return go.Figure(self.to_dict()).data

    @property
    def layout(self) -> Any:
        """Its properties, checked by plotly."""
        return go.Figure(self.to_dict()).layout

    def _update_axes(self, kind: str, properties: Properties) -> None:
        axes = {kind, *(name for name in self._properties if re.fullmatch(rf"{kind}\d+", name))}
        for axis in sorted(axes):
            _merged(self._properties.setdefault(axis, {}), properties)


def _merged(into: Properties, properties: Properties) -> Properties:
    """Write properties into others; `tickfont_color` is the `color` of `tickfont`."""
    for name, value in properties.items():
        first, _, rest = (name, "", "") if name in _WHOLE else name.partition("_")
        if rest:
            _merged(into.setdefault(first, {}), {rest: value})
        elif isinstance(value, dict):
            _merged(into.setdefault(first, {}), value)
        else:
            into[first] = value
    return into
