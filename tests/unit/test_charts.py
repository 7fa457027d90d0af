"""Figures are pure: frames in, marks out."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import plotly.graph_objects as go
import polars as pl
import pytest

from ledger_rows import call, hotel_trace, trace_frame
from spanledger_analytics.parts import parts
from spanledger_analytics.reports.drivers import PARTS
from spanledger_analytics.resent import resent
from spanledger_dashboard.charts.colours import GREY, palette
from spanledger_dashboard.charts.drivers import NAMES, drivers_figure
from spanledger_dashboard.charts.ranking import users_figure
from spanledger_dashboard.charts.spend import days_figure, hours_figure
from spanledger_dashboard.charts.trace import history_figure, twin_figure

START = datetime(2026, 11, 3, 9, tzinfo=UTC)
FIRST, TODAY = date(2026, 11, 1), date(2026, 11, 3)
COLOURS = {"gpt-5": "#0072B2", "claude-opus-4-5": "#D55E00"}


def totals(**columns: list[Any]) -> pl.DataFrame:
    rows = len(next(iter(columns.values())))
    rest = {"requests": 1, "calls": 2, "input_tokens": 10, "output_tokens": 5, "unpriced_calls": 0, "errors": 0}
    rest |= {"estimated_calls": 0, "estimated_usd": 0}
    filled = {name: [value] * rows for name, value in rest.items()} | columns
    return pl.DataFrame(filled, schema_overrides={"cost_usd": pl.Decimal(38, 12)})


def traces(figure: go.Figure) -> list[dict[str, Any]]:
    """Return a figure's traces; plotly raises an error for what it does not know."""
    found = go.Figure(figure.to_dict()).to_dict()["data"]
    assert isinstance(found, list)
    return found


def days() -> go.Figure:
    by_day = totals(dt=[FIRST, TODAY], cost_usd=[Decimal(3), Decimal("0.5")], unpriced_calls=[1, 0])
    by_model = totals(
        dt=[FIRST, FIRST, TODAY],
        model=["gpt-5", "claude-opus-4-5", "gpt-5"],
        cost_usd=[Decimal(1), Decimal(2), Decimal("0.5")],
    )
    return days_figure(by_day, by_model, COLOURS, FIRST, TODAY, TODAY)


def test_days_are_stacked_by_model_dearest_first_and_quiet_days_are_zero() -> None:
    *bars, _ = traces(days())
    assert [(bar["name"], list(bar["y"]), bar["marker"]["color"]) for bar in bars] == [
        ("claude-opus-4-5", [2.0, 0.0, 0.0], "#D55E00"),
        ("gpt-5", [1.0, 0.0, 0.5], "#0072B2"),
    ]


def test_today_is_hatched_and_named_so_far() -> None:
    *bars, hit = traces(days())
    assert [list(bar["marker"]["pattern"]["shape"]) for bar in bars] == [["", "", "/"]] * 2
    assert hit["customdata"][2][1].startswith("<b>Tue 3 Nov so far</b>")


def test_every_day_can_be_clicked_and_says_its_exact_cost() -> None:
    hit = traces(days())[-1]
    assert [column[0] for column in hit["customdata"]] == ["2026-11-01", "2026-11-02", "2026-11-03"]
    assert hit["customdata"][0][1].split("<br>") == [
        "<b>Sun 1 Nov</b>",
        "<b>$3</b> · 1 request · 2 calls",
        "claude-opus-4-5  $2.00 (67 %)",
        "gpt-5  $1.00 (33 %)",
        "1 call without a price",
    ]
    assert hit["customdata"][1][1] == "<b>Mon 2 Nov</b><br>no calls"
    assert list(hit["y"]) == [1, 1, 1]


def test_hours_carry_the_same_weekday_as_a_line() -> None:
    hours = totals(hour=[9], cost_usd=[Decimal(1)])
    before = totals(hour=[8, 9], cost_usd=[Decimal(4), None])
    by_model = totals(hour=[9], model=["gpt-5"], cost_usd=[Decimal(1)])
    bar, line, hit = traces(hours_figure(hours, by_model, before, "Tue 27 Oct", COLOURS, None))
    assert (bar["y"][9], sum(bar["y"])) == (1.0, 1.0)
    assert (line["name"], line["y"][8], line["y"][9], sum(line["y"])) == ("Tue 27 Oct", 4.0, 0.0, 4.0)
    assert [column[0] for column in hit["customdata"]] == [str(hour) for hour in range(24)]
    assert hit["customdata"][8][1] == "<b>08:00-09:00 UTC</b><br>no calls<br>Tue 27 Oct: $4.00"


def test_many_models_become_other_and_sum_to_the_same() -> None:
    models = [f"model-{number:02d}" for number in range(12)]
    by_model = totals(dt=[FIRST] * 12, model=models, cost_usd=[Decimal(20 - number) for number in range(12)])
    by_day = totals(dt=[FIRST], cost_usd=[Decimal(174)])
    *bars, _ = traces(days_figure(by_day, by_model, {}, FIRST, FIRST, TODAY))
    assert [bar["name"] for bar in bars] == [*models[:8], "other"]
    assert sum(bar["y"][0] for bar in bars) == 174


@pytest.mark.parametrize(("name", "left"), [("u-017", 47), ("WWWWW", 72), ("\u6771\u4eac", 36), ("x" * 40, 180)])
def test_bars_have_room_for_the_longest_name_beside_them(name: str, left: int) -> None:
    users = totals(user_id=["u", name], cost_usd=[Decimal(2), Decimal(1)])
    assert users_figure(users, Decimal(3)).layout.margin.l == left


def test_users_show_cost_share_and_the_lack_of_a_user() -> None:
    users = totals(user_id=["ann", ""], cost_usd=[Decimal(3), None])
    figure = users_figure(users, Decimal(4))
    bar, hit = traces(figure)
    assert list(bar["text"]) == ["$3.00  ·  75 %", "no price"]
    assert bar["marker"]["color"][1] == GREY
    assert [row[0] for row in hit["customdata"]] == ["ann", ""]
    assert hit["customdata"][1][1].startswith("<b>(no user)</b><br><b>no price</b><br>")
    assert figure.to_dict()["layout"]["yaxis"]["ticktext"] == ["ann", "(no user)"]


@pytest.mark.parametrize("name", ["<b>x</b>", "<a href='http://198.51.100.1'>x</a>"])
def test_names_reach_no_figure_as_tags(name: str) -> None:
    users = totals(user_id=[name], cost_usd=[Decimal(1)])
    by_model = totals(dt=[FIRST], model=[name], cost_usd=[Decimal(1)])
    figures = (
        users_figure(users, Decimal(1)),
        days_figure(totals(dt=[FIRST], cost_usd=[Decimal(1)]), by_model, {}, FIRST, FIRST, TODAY),
    )
    for figure in figures:
        shown = [trace for trace in traces(figure) if trace.pop("customdata", None) is None] + [
            figure.to_dict()["layout"]
        ]
        assert name not in str(shown)
    hovers = [column[1] for figure in figures for column in traces(figure)[-1]["customdata"]]
    assert not [hover for hover in hovers if name in hover]


def test_history_splits_each_calls_input() -> None:
    bars = traces(history_figure(resent(trace_frame(hotel_trace(1, START)))))
    assert [(bar["name"], list(bar["x"])) for bar in bars[:3]] == [
        ("new text", [3000, 1500, 500]),
        ("history, sent again", [0, 3050, 4900]),
        ("output", [50, 350, 200]),
    ]


def test_many_calls_stand_side_by_side() -> None:
    calls = [call(1, number, START.replace(minute=number), uncached=1000 * number) for number in range(1, 21)]
    bars = traces(history_figure(resent(trace_frame(calls))))
    assert [bar["name"] for bar in bars] == ["new text", "history, sent again", "output"]
    assert list(bars[0]["x"]) == list(range(1, 21))
    assert list(bars[0]["y"])[:3] == [1000, 900, 900]
    assert list(bars[1]["y"])[:3] == [0, 1100, 2100]


def test_hundreds_of_calls_become_areas_of_the_same_numbers() -> None:
    start = START.replace(hour=0)
    calls = [call(1, number, start + timedelta(minutes=number), uncached=1000 * number) for number in range(1, 161)]
    areas = traces(history_figure(resent(trace_frame(calls))))
    assert [(area["name"], area["type"], list(area["y"])[1:3]) for area in areas] == [
        ("new text", "scatter", [900, 900]),
        ("history, sent again", "scatter", [1100, 2100]),
        ("output", "scatter", [100, 100]),
    ]
    assert areas[0]["customdata"][1] == "gpt-5: 2,000 in, 100 out, $0.0035; 39 % of it for history"


def test_twin_bars_are_shares_of_tokens_and_of_cost() -> None:
    bars = traces(twin_figure(parts(trace_frame(hotel_trace(1, START)))))
    assert [(bar["name"], [round(value, 1) for value in bar["x"]]) for bar in bars] == [
        ("input, uncached", [95.6, 87.8]),
        ("output", [4.4, 12.2]),
    ]


def test_drivers_show_what_was_sent_again_apart_and_add_up_to_each_part() -> None:
    frame = pl.DataFrame(
        [
            ("system_prompt", Decimal("0.09"), Decimal("0.6"), 8668, Decimal("0.06"), Decimal(0), 3),
            ("history", Decimal("0.03"), Decimal("0.2"), 1977, Decimal("0.03"), Decimal("0.01"), 2),
            ("output", Decimal("0.03"), Decimal("0.2"), 600, Decimal(0), Decimal(0), 3),
            ("unknown", None, None, 10, None, None, 1),
        ],
        schema=["part", "cost_usd", "cost_share", "tokens", "again_usd", "saved_usd", "calls"],
        orient="row",
    )
    *bars, words = traces(drivers_figure(frame))
    assert [(bar["name"], [round(length, 3) for length in bar["x"]]) for bar in bars] == [
        ("sent the first time", [0.03, 0, 0, 0]),
        ("answered", [0, 0, 0.03, 0]),
        ("sent again in this request", [0.06, 0.03, 0, 0]),
    ]
    assert [text.strip() for text in words["text"]] == [
        "$0.0900  ·  60 %  ·  8,668 tokens",
        "$0.0300  ·  20 %  ·  1,977 tokens",
        "$0.0300  ·  20 %  ·  600 tokens",
        "no price  ·  10 tokens",
    ]
    assert bars[0]["customdata"][1][0].split("<br>") == [
        "<b>history, sent again</b>",
        "<b>$0.03</b> · 1,977 tokens · 2 calls",
        "$0.03 of it for what had been sent before",
        "the prompt cache saved $0.01 of it",
    ]
    assert set(NAMES) == set(PARTS)


def test_a_model_keeps_its_colour_and_no_two_share_one() -> None:
    some = palette(["gpt-5", "claude-opus-4-5", "llama-4"])
    more = palette(["gpt-5", "claude-opus-4-5", "llama-4", "gemini-3-pro", "text-embedding-3-small"])
    assert {model: more[model] for model in some} == some
    many = palette([f"gpt-{number}" for number in range(5)] + [f"claude-{number}" for number in range(5)])
    assert len(set(many.values())) == 10
