"""Figures and sentences of the attribution page: who makes the cost, what is in it, what is nobody's, what is left."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import plotly.graph_objects as go
import polars as pl
import pytest

from spanledger_dashboard import attribution_words as words
from spanledger_dashboard.charts.colours import BLUE, GREY, PALE, RED
from spanledger_dashboard.charts.coverage import coverage_figure
from spanledger_dashboard.charts.icicle import icicle_figure, slabs_of
from spanledger_dashboard.charts.margins import margins_figure
from spanledger_dashboard.charts.pareto import MOST_BARS, pareto, pareto_figure
from spanledger_dashboard.charts.unit_cost import unit_cost_figure

MONEY = pl.Decimal(38, 12)
NAMES = {"team": "(no team)", "feature": "(no feature)"}


def marks(figure: go.Figure) -> list[dict[str, Any]]:
    """Return a figure's traces; plotly raises an error for what it does not know."""
    found = go.Figure(figure.to_dict()).to_dict()["data"]
    assert isinstance(found, list)
    return found


def ranked(costs: list[str], nobody: str | None = None) -> pl.DataFrame:
    """Build a report on concentration by user: u-1, u-2 ..., and what names none."""
    count = len(costs)
    told = {
        "user": [f"u-{rank}" for rank in range(1, count + 1)] + [None] * (nobody is not None),
        "rank": [*range(1, count + 1)] + [None] * (nobody is not None),
        "cost_usd": [Decimal(cost) for cost in [*costs, *([nobody] if nobody else [])]],
    }
    return pl.DataFrame(told, schema_overrides={"cost_usd": MONEY}).with_columns(
        pl.lit(2).alias("calls"), pl.lit(0).alias("unpriced_calls"), pl.lit(0).alias("estimated_calls")
    )


def totals(rows: list[tuple[str | None, str | None, str]]) -> pl.DataFrame:
    frame = pl.DataFrame(rows, schema=["team", "feature", "cost_usd"], orient="row")
    return frame.with_columns(pl.col("cost_usd").cast(MONEY), pl.lit(3).alias("calls"))


TEAMS = totals(
    [
        ("search", "hotels", "60"),
        ("search", "flights", "20"),
        ("support", "answers", "12"),
        (None, "answers", "7.9"),
        ("tiny", "a", "0.05"),
        ("dust", "b", "0.05"),
    ]
)


def test_bars_that_make_80_percent_are_dark_and_the_line_runs_over_what_has_a_name() -> None:
    told = pareto(ranked(["60", "25", "10", "5"], nobody="50"), "user")
    bars, line, point, hit = marks(pareto_figure(told))
    assert (list(bars["y"]), list(bars["marker"]["color"])) == ([60, 25, 10, 5, 50], [BLUE, BLUE, PALE, PALE, GREY])
    assert list(line["y"]) == [60, 85, 95, 100]
    assert (list(point["x"]), list(point["y"])) == ([1], [85])
    assert [identity for identity, _ in hit["customdata"]] == ['["u-1"]', '["u-2"]', '["u-3"]', '["u-4"]', '[""]']
    assert hit["customdata"][4][1] == "<b>names no user</b><br><b>$50</b> · 33 % of all that was spent<br>2 calls"


def test_many_users_have_ranks_for_names_and_the_rest_is_one_bar_that_leads_nowhere() -> None:
    told = pareto(ranked(["10"] + ["1"] * 99), "user")
    bars, *_, hit = marks(pareto_figure(told))
    assert len(bars["y"]) == MOST_BARS + 1
    assert bars["y"][-1] == 40
    assert hit["customdata"][-1] == ["", "<b>40 more users</b><br><b>$40</b> · 37 %"]


@pytest.mark.parametrize(
    ("frame", "said"),
    [
        (ranked(["90"] + ["1"] * 19), "5 % of users make 83 % of the cost: 1 of 20"),
        (
            ranked(["90"] + ["1"] * 19, nobody="109"),
            "5 % of users make 83 % of what names one: 1 of 20; 50 % names none",
        ),
        (ranked(["50", "40", "10"]), "u-1 is 50 % of the cost; 2 of 3 users make 90 % of the cost"),
        (ranked(["100"], nobody="0.5"), "u-1 is 100 % of the cost"),
        (ranked([], nobody="3"), "No call with a price names a user"),
    ],
)
def test_the_title_says_how_few_make_how_much(frame: pl.DataFrame, said: str) -> None:
    assert words.concentration(pareto(frame, "user")) == said


def test_parts_lie_beside_what_they_are_parts_of_and_small_ones_are_one() -> None:
    slabs = slabs_of(TEAMS, ("team", "feature"), NAMES, {})
    assert [(slab.level, slab.path, slab.name, slab.cost_usd) for slab in slabs] == [
        (0, ("search",), "search", Decimal(80)),
        (1, ("search", "hotels"), "hotels", Decimal(60)),
        (1, ("search", "flights"), "flights", Decimal(20)),
        (0, ("support",), "support", Decimal(12)),
        (1, ("support", "answers"), "answers", Decimal(12)),
        (0, ("",), "(no team)", Decimal("7.9")),
        (1, ("", "answers"), "answers", Decimal("7.9")),
        (0, (), "2 more teams", Decimal("0.1")),
    ]
    assert [(slab.start, slab.size) for slab in slabs][:4] == [(0, 0.8), (0, 0.6), (0.6, 0.2), (0.8, 0.12)]
    whole = Decimal(100)
    assert words.inside(slabs, whole) == "search is 80 % of $100.00, 75 % of that hotels"
    (drawn,) = marks(icicle_figure(slabs, ("team", "feature"), whole))
    assert drawn["customdata"][1] == [
        '["search", "hotels"]',
        "<b>hotels</b><br><b>$60</b> · 60 % of the total<br>75 % of its team<br>3 calls",
    ]
    assert drawn["customdata"][7][0] == ""


def test_models_have_their_own_colour_inside_a_feature() -> None:
    frame = pl.DataFrame(
        {"model": ["gpt-5"], "cost_usd": [Decimal(1)], "calls": [1]}, schema_overrides={"cost_usd": MONEY}
    )
    assert [slab.colour for slab in slabs_of(frame, ("model",), {"model": ""}, {"gpt-5": "#123456"})] == ["#123456"]


def test_named_and_unnamed_add_up_to_the_total() -> None:
    row = {"tag": "team", "cost_usd": Decimal("7.25"), "cost_share": Decimal("0.725"), "calls": 3}
    whole, named, hit = marks(coverage_figure([row], Decimal(10), 4, "team"))
    assert (list(named["x"]), list(named["marker"]["color"]), list(whole["text"])) == (
        [72.5],
        [BLUE],
        ["72 %  ·  $2.75 not"],
    )
    assert hit["customdata"][0][1] == (
        "<b>team</b><br>named by 3 calls: <b>$7.25</b><br>not by 1 call: <b>$2.75</b><br>together $10"
    )
    assert words.unallocated("team", Decimal("2.75"), Decimal(10), "batch") == (
        "$2.75 names no team, 28 % of the cost; most of it comes from batch"
    )
    assert words.unallocated("team", Decimal(0), Decimal(10), None) == "Every dollar names a team"
    assert words.unallocated("team", Decimal(0), None, None) == "Nothing here has a price"


def test_a_tag_of_calls_without_a_price_has_an_unknown_share() -> None:
    row = {"tag": "team", "cost_usd": None, "cost_share": None, "calls": 3}
    whole, _, hit = marks(coverage_figure([row], Decimal(10), 4, "team"))
    assert list(whole["text"]) == ["unknown  ·  $10.00 not"]
    assert hit["customdata"][0][1].startswith("<b>team</b><br>named by 3 calls: <b>no price</b><br>not by 1 call: ")


def paid(name: str, revenue: str, cost: str) -> dict[str, Any]:
    margin = Decimal(revenue) - Decimal(cost)
    known = {"revenue_usd": Decimal(revenue), "cost_usd": Decimal(cost), "margin_usd": margin}
    return {"customer": name, "margin_share": margin / Decimal(revenue), "calls": 1, "unpriced_calls": 0, **known}


def test_what_costs_more_than_it_brings_is_red() -> None:
    rows = [paid("globex", "10", "15"), paid("acme", "100", "20")]
    revenue, cost, above, *_ = marks(margins_figure(rows, "customer"))
    assert (list(revenue["x"]), list(cost["x"]), list(above["x"])) == ([10, 100], [20], [15])
    assert above["marker"]["color"] == RED
    assert words.margin(rows, "customer") == "68 % of $110.00 revenue is left; globex costs more than it brings"
    assert words.margin(rows[:1], "customer") == "Cost is $5.00 above revenue; globex costs more than it brings"


def work(name: str | None, success: str | None, request: str, high: str | None = None) -> dict[str, Any]:
    counts = {"successes": 3, "failures": 1, "silent": 0, "undecided": 0, "unpriced_calls": 0}
    prices = {"success_usd": success, "request_usd": request, "session_usd": "1", "call_usd": "1", "cost_usd": "4"}
    known = {column: None if price is None else Decimal(price) for column, price in prices.items()}
    ends = {"low_usd": None if high is None else Decimal("0.5"), "high_usd": None if high is None else Decimal(high)}
    return {"feature": name, **counts, **known, **ends}


def test_a_success_has_a_whisker_and_a_request_a_pale_bar() -> None:
    rows = [work("research", "2", "0.5", "9"), work("answers", "0.4", "0.1"), work(None, None, "0.2")]
    bars, *_ = marks(unit_cost_figure(rows, "feature", "(no feature)"))
    assert (list(bars["x"]), list(bars["marker"]["color"])) == ([2, 0.4, 0.2], [BLUE, BLUE, PALE])
    assert list(bars["error_x"]["array"]) == [1, 0, 0]
    assert list(bars["error_x"]["arrayminus"]) == [1.5, 0, 0]
    assert words.unit_cost(rows, "feature") == "A success costs $0.400 for answers and $2.00 for research, 5.0x"
    assert words.unit_cost(rows[2:], "feature") == "A request costs $0.200 without a feature"
