"""Charts of whatever was answered: pure functions from a frame and a choice to a figure."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal

import polars as pl
import pytest

from spanledger_dashboard.charts.built import (
    MOST_BARS,
    MOST_SERIES,
    Choice,
    build,
    choice_of,
    fits,
    groups,
    measures,
    places,
    suggested,
)

DAYS = pl.DataFrame(
    {
        "dt": [date(2026, 11, 3), date(2026, 11, 3), date(2026, 11, 4), None],
        "model": ["gpt-5", "haiku", "gpt-5", "gpt-5"],
        "calls": [3, 2, 5, 1],
        "usd": [Decimal("1.500000000001"), None, Decimal("2.25"), Decimal("0.1")],
        "tags": [["a"], [], ["b"], None],
        "nothing": pl.Series([None] * 4, dtype=pl.Int64),
    }
)
HOSTILE = "<b onload=x>%{y}\u202e"


def test_what_can_be_an_axis_a_length_and_a_colour_depends_on_the_type() -> None:
    assert places(DAYS) == ["dt", "model", "calls", "usd", "nothing"]
    assert measures(DAYS) == ["calls", "usd"]
    assert groups(DAYS) == ["dt", "model", "calls", "nothing"]


def test_money_along_time_coloured_by_the_name_suggests_itself() -> None:
    assert suggested(DAYS) == Choice("bar", "dt", "usd", "model")
    assert suggested(DAYS.select("model", "calls").unique("model")) == Choice("bar", "model", "calls", None)
    assert suggested(DAYS.select("calls")) is None
    assert suggested(DAYS.select("model", "tags")) is None
    many = pl.DataFrame({"at": [datetime(2026, 1, 1, tzinfo=UTC)] * 61, "n": range(61)}).with_columns(
        pl.col("at") + pl.duration(minutes=pl.col("n"))
    )
    assert suggested(many) == Choice("line", "at", "n", None)


def test_a_choice_is_read_from_an_address_only_if_it_names_the_columns() -> None:
    asked = {"kind": "line", "x": "dt", "y": "usd", "colour": "model"}
    assert choice_of(asked, DAYS.columns) == Choice("line", "dt", "usd", "model")
    assert choice_of(asked | {"colour": "gone"}, DAYS.columns) is None
    assert choice_of(asked | {"kind": "pie"}, DAYS.columns) is None
    assert choice_of({"kind": "bar"}, DAYS.columns) is None
    assert fits(DAYS, Choice("bar", "dt", "usd", "model"))
    assert not fits(DAYS, Choice("bar", "tags", "usd"))
    assert not fits(DAYS, Choice("bar", "dt", "model"))
    assert not fits(DAYS, Choice("bar", "dt", "usd", "usd"))


def test_bars_of_days_are_stacked_by_colour_with_the_exact_value_on_hover() -> None:
    drawn = build(DAYS, Choice("bar", "dt", "usd", "model"), {"haiku": "#123456"})
    first, second = drawn.figure.data
    assert [(bar.name, list(bar.x), list(bar.y)) for bar in (first, second)] == [
        ("gpt-5", [date(2026, 11, 3), date(2026, 11, 4)], [1.500000000001, 2.25]),
        ("haiku", [date(2026, 11, 3)], [None]),
    ]
    assert second.marker.color == "#123456"
    assert first.customdata[0] == ["2026-11-03", "1.500000000001", "gpt-5"]
    assert drawn.figure.layout.yaxis.tickprefix == "$"
    assert drawn.figure.layout.yaxis.rangemode == "tozero"
    assert drawn.notes == ("not drawn, because there is no dt: 1 row", "not drawn, because there is no usd: 1 row")
    assert drawn.alt == "Bars of usd by dt, coloured by model; the most is 2.25 at 2026-11-04."


def test_bars_of_names_lie_in_the_order_of_the_answer() -> None:
    frame = pl.DataFrame({"user": ["zoe", None, "ann"], "calls": [5, 7, 1]})
    drawn = build(frame, Choice("bar", "user", "calls"), {})
    (bars,) = drawn.figure.data
    assert (bars.orientation, list(bars.x), list(bars.y)) == ("h", [5.0, 7.0, 1.0], [0, 1, 2])
    axis = drawn.figure.layout.yaxis
    assert (axis.ticktext, axis.tickvals, axis.range) == (("zoe", "NULL", "ann"), (0, 1, 2), (2.5, -0.5))
    assert drawn.figure.layout.xaxis.tickprefix == ""
    assert drawn.notes == ()


@pytest.mark.parametrize("kind", ["line", "area"])
def test_lines_go_along_their_axis_in_whatever_order_rows_came(kind: str) -> None:
    frame = pl.DataFrame({"n": [3, 1, 2], "usd": [Decimal(30), Decimal(10), Decimal(20)]})
    asked = choice_of({"kind": kind, "x": "n", "y": "usd"}, frame.columns)
    assert asked is not None
    (line,) = build(frame, asked, {}).figure.data
    assert (list(line.x), list(line.y)) == ([1, 2, 3], [10.0, 20.0, 30.0])
    assert (line.stackgroup == "one") == (kind == "area")


def test_points_may_lie_anywhere_and_their_axis_need_not_begin_at_zero() -> None:
    frame = pl.DataFrame({"tokens": [100, 900], "usd": [Decimal("5.1"), Decimal("5.2")]})
    drawn = build(frame, Choice("points", "tokens", "usd"), {})
    assert drawn.figure.data[0].mode == "markers"
    assert drawn.figure.layout.yaxis.rangemode == "normal"


def test_what_is_too_much_to_see_is_cut_and_told() -> None:
    rows = [(f"u{user}", f"m{model}", 1) for user in range(MOST_BARS + 5) for model in range(MOST_SERIES + 2)]
    frame = pl.DataFrame(rows, schema=["user", "model", "calls"], orient="row")
    drawn = build(frame, Choice("bar", "user", "calls", "model"), {})
    assert len(drawn.figure.data) == MOST_SERIES
    assert drawn.figure.layout.yaxis.ticktext[-1] == f"u{MOST_BARS - 1}"
    assert drawn.notes == (
        f"the first {MOST_SERIES} of {MOST_SERIES + 2} values of model are drawn",
        f"the first {MOST_BARS} of {MOST_BARS + 5} values of user are drawn",
    )


def test_names_of_strangers_are_text_in_axes_legends_and_hovers() -> None:
    frame = pl.DataFrame({HOSTILE: [HOSTILE, "b"], "usd": [1, 2]})
    drawn = build(frame, Choice("bar", HOSTILE, "usd", HOSTILE), {})
    told = drawn.figure.to_json()
    assert "<b onload" not in told.replace("\\u003c", "<")
    assert "\u202e" not in told
    assert all("%{y}" not in trace.hovertemplate for trace in drawn.figure.data)
