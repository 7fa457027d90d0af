"""Our figure is plotly's, less its checks."""

from __future__ import annotations

import plotly.graph_objects as go
import pytest

from spanledger_dashboard.charts.figure import Figure


def written(figure: go.Figure) -> go.Figure:
    """Tell a figure of all that figures of the pages have."""
    figure.update_layout(height=300, margin={"l": 4}, plot_bgcolor="red", font_color="black", legend={"y": 1})
    figure.update_layout(legend_font_color="black", yaxis2={"overlaying": "y"}, margin={"r": 8})
    figure.update_xaxes(fixedrange=True, tickfont_color="grey")
    figure.update_yaxes(range=[0, 1], tickfont={"size": 10})
    figure.add_bar(name="a", x=[1, 2], y=[3, None], marker={"color": "blue"}, marker_line_width=0)
    figure.add_scatter(x=[1], y=[2], mode="text", text=["word"], error_x={"value": 1})
    figure.add_shape(type="rect", xref="paper", x0=0, x1=1, y0=0, y1=1, line_width=0)
    figure.add_annotation(text="note", x=1, y=1, showarrow=False)
    return figure


def test_a_figure_is_what_plotly_makes_of_the_same_words() -> None:
    ours, theirs = written(Figure()), written(go.Figure())
    assert go.Figure(ours.to_dict()).to_dict() == theirs.to_dict()
    assert (ours.data, ours.layout) == (theirs.data, theirs.layout)


def test_a_property_that_plotly_does_not_know_is_refused_where_it_is_looked_at() -> None:
    figure = Figure()
    figure.update_layout(hight=300)
    with pytest.raises(ValueError, match="hight"):
        _ = figure.layout


def test_one_figure_leaves_another_as_it_is() -> None:
    written(Figure())
    assert Figure().to_dict() == {"data": [], "layout": {}}
