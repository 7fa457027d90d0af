"""Figures and sentences of the page that compares."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import plotly.graph_objects as go
import pytest

from spanledger_analytics.reports.decomposition import PARTS
from spanledger_dashboard import compare_words as words
from spanledger_dashboard.charts.bridge import bridge_figure
from spanledger_dashboard.charts.colours import BLUE, GREY, ORANGE, VERMILLION
from spanledger_dashboard.charts.moment import intervals_figure, levels_figure
from spanledger_dashboard.charts.sides import sides_figure


def marks(figure: go.Figure) -> list[dict[str, Any]]:
    """Return a figure's traces; plotly raises an error for what it does not know."""
    found = go.Figure(figure.to_dict()).to_dict()["data"]
    assert isinstance(found, list)
    return found


def mover(before: str, now: str, state: str = "both", **parts: str) -> dict[str, Any]:
    told = dict.fromkeys(PARTS, Decimal(0)) | {name: Decimal(value) for name, value in parts.items()}
    costs = {"cost_usd": Decimal(now), "cost_before_usd": Decimal(before)}
    return told | costs | {"change_usd": costs["cost_usd"] - costs["cost_before_usd"], "state": state}


def test_the_bridge_leads_from_before_to_now_a_part_at_a_time() -> None:
    row = mover("100", "110", volume_usd="30", mix_usd="-25", cache_usd="5")
    bars, words_beside, hit = marks(bridge_figure(row))
    assert (list(bars["base"]), list(bars["x"])) == ([0, 100, 130, 105, 0], [100, 30, -25, 5, 110])
    assert list(bars["marker"]["color"]) == [GREY, VERMILLION, BLUE, VERMILLION, GREY]
    assert [text.strip() for text in words_beside["text"]] == ["$100.00", "+$30.00", "-$25.00", "+$5.00", "$110.00"]
    assert hit["customdata"][2][1] == "<b>mix of models</b><br><b>$-25</b> · 25 % of what was spent before"


@pytest.mark.parametrize(
    ("row", "said"),
    [
        (mover("100", "110", volume_usd="12", mix_usd="-2"), "Cost rose by $10.00, most of all by number of calls"),
        (mover("100", "90", volume_usd="2", price_usd="-12"), "Cost fell by $10.00, most of all by prices"),
        (mover("0", "9", "new", volume_usd="9"), "Cost rose by $9.00: there is nothing on one side"),
        (mover("5", "5"), "Cost is what it was before"),
    ],
)
def test_the_bridge_says_what_made_most_of_the_change(row: dict[str, Any], said: str) -> None:
    assert words.bridge(row) == said


def test_two_slices_stand_beside_each_other_and_say_how_many_times() -> None:
    row = {"model": None, "cost_usd": Decimal(8), "cost_before_usd": Decimal(2), "calls": 4, "calls_before": 1}
    one, other, hit = marks(sides_figure([row], "model", "(no model)", "team=a", "team=<b>"))
    assert [(bar["name"], list(bar["x"]), bar["marker"]["color"]) for bar in (one, other)] == [
        ("team=a", [8], BLUE),
        ("team=&lt;b&gt;", [2], ORANGE),
    ]
    assert hit["customdata"][0] == [
        "",
        "<b>(no model)</b><br>team=a: <b>$8</b> of 4 calls<br>team=&lt;b&gt;: <b>$2</b> of 1 call",
    ]
    told = row | {"change_usd": Decimal(6)}
    assert words.slices(told, "team=a", "team=b") == "team=a cost $8.00, 4.0x the $2.00 of team=b"
    assert words.slices(told | {"cost_before_usd": Decimal(0)}, "a", "b") == "a cost $8.00, b nothing"
    assert words.slices(None, "a", "b") == "a or b has no calls with a price"


@pytest.mark.parametrize(
    ("now", "before", "said"),
    [
        ("12", "10", "$12.00 against $10.00, $2.00 more (+20 %)"),
        ("4", "0", "$4.00 against $0, $4.00 more"),
        ("3", "3", "$3.00 in both"),
    ],
)
def test_two_periods_say_their_difference(now: str, before: str, said: str) -> None:
    assert words.periods(mover(before, now)) == said
    assert words.periods(None) == "One of the two has no calls with a price"


def judged(group: str, change: str, low: str | None, high: str | None) -> dict[str, Any]:
    ends = {"low_usd": None if low is None else Decimal(low), "high_usd": None if high is None else Decimal(high)}
    levels = {"per_request_before_usd": Decimal("0.01"), "per_request_usd": Decimal("0.01") + Decimal(change)}
    counts = {"requests": 5, "requests_before": 4}
    return {"group": group, "per_request_change_usd": Decimal(change), **ends, **levels, **counts}


def test_a_moment_has_levels_before_and_after_and_intervals_around_changes() -> None:
    rows = [judged("asked", "0.002", "0.001", "0.003"), judged("difference", "0.002", None, None)]
    (line,) = marks(levels_figure(rows))
    assert (list(line["y"]), line["line"]["color"]) == ([0.01, 0.012], BLUE)
    assert line["customdata"][1] == ["after: $0.012 a request, of 5 requests"]
    interval, point, lone = marks(intervals_figure(rows))
    assert (list(interval["x"]), list(point["x"]), list(lone["x"])) == ([0.001, 0.003], [0.002], [0.002])
    assert lone["customdata"] == [["<b>the difference</b><br><b>$0.002</b> a request<br>too few for an interval"]]


@pytest.mark.parametrize(
    ("row", "controlled", "said"),
    [
        (
            judged("difference", "-0.002", "-0.003", "-0.001"),
            True,
            "$0.00200 less than as the control went; chance alone hardly makes it",
        ),
        (judged("asked", "0.002", "-0.001", "0.005"), False, "$0.00200 more than before; it may be chance"),
        (judged("asked", "0.002", None, None), False, "$0.00200 more than before; too few to say how sure that is"),
    ],
)
def test_a_moment_says_whether_the_change_may_be_chance(row: dict[str, Any], controlled: bool, said: str) -> None:
    assert words.moment(row, controlled=controlled) == f"A request costs {said}"
