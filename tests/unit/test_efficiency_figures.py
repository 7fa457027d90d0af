"""Figures of the page on efficiency: frames of reports in, marks out."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import plotly.graph_objects as go
import polars as pl

from spanledger_dashboard.cards.waste import Found, found_of
from spanledger_dashboard.charts.cache import Health, cache_figure, health_of
from spanledger_dashboard.charts.growth import paid_figure, sent_figure
from spanledger_dashboard.charts.purposes import parts_of, purposes_figure

MONEY = pl.Decimal(38, 12)


def traces(figure: go.Figure) -> list[dict[str, Any]]:
    """Return a figure's traces; plotly raises an error for what it does not know."""
    found = go.Figure(figure.to_dict()).to_dict()["data"]
    assert isinstance(found, list)
    return found


def frame(columns: tuple[str, ...], *rows: tuple[object, ...]) -> pl.DataFrame:
    made = pl.DataFrame(rows, schema=list(columns), orient="row", infer_schema_length=None)
    return made.with_columns(pl.col(name).cast(MONEY) for name in columns if name.endswith("_usd"))


HEALTH = frame(
    ("feature", "prefix", "calls", "input_usd", "hit_share", "saved_usd", "could_save_usd", "best", "input_tokens",
     "cacheable_tokens"),
    ("find", "7", 10, Decimal(4), Decimal("0.5"), Decimal(2), Decimal(1), "whole_1h", 900, 200),
    ("find", "8", 5, Decimal(1), Decimal("0.9"), Decimal("-0.5"), Decimal(0), "as it is", 100, 600),
    ("<b>", "7", 2, Decimal(1), None, Decimal(0), Decimal(3), "front_5m", 50, 0),
    (None, None, 3, Decimal(9), None, None, None, None, 70, 0),
)  # fmt: skip


def test_the_cache_of_a_feature_is_that_of_its_prefixes_and_what_nothing_is_known_of_is_left_out() -> None:
    whole_1h, front_5m = "the whole prompt for 1 hour", "tools and system prompt for 5 minutes"
    assert health_of(HEALTH, "feature", 8) == [
        Health("<b>", Decimal(0), Decimal(3), Decimal(1), None, 2, 50, (front_5m,)),
        Health("find", Decimal("1.5"), Decimal(1), Decimal(5), Decimal("0.8"), 15, 1000, (whole_1h,)),
    ]
    assert [one.name for one in health_of(HEALTH, "prefix", 1)] == ["prefix 7"]


def test_what_could_be_saved_is_hatched_beside_what_was_and_names_are_text() -> None:
    saved, could, words = traces(cache_figure(health_of(HEALTH, "feature", 8)))
    assert (list(saved["x"]), list(could["x"])) == ([0.0, 1.5], [3.0, 1.0])
    assert could["marker"]["pattern"]["shape"] == "/"
    assert list(words["text"]) == ["  $3.00 more", "  $1.00 more  ·  80 % read"]
    assert saved["customdata"][1][0].split("<br>") == [
        "<b>find</b>",
        "saved $1.5, writes paid",
        "could save $1 more",
        "15 calls · 1,000 tokens in, $5",
        "80 % read of what could have been",
        "best: cache the whole prompt for 1 hour",
    ]
    assert saved["customdata"][0][0].startswith("<b>&lt;b&gt;</b>")


DRIVERS = frame(
    ("feature", "part", "cost_usd", "tokens", "again_usd", "saved_usd", "calls"),
    ("find", "history", Decimal(3), 300, Decimal(2), Decimal(1), 4),
    ("find", "output", Decimal(1), 100, Decimal(0), Decimal(0), 4),
    (None, "output", Decimal(2), 200, Decimal(0), Decimal(0), 1),
    ("draft", "failed_calls", Decimal("0.5"), 10, Decimal(0), Decimal(0), 1),
    ("local", "unknown", None, 10, None, None, 1),
)


def test_parts_are_stacked_by_feature_and_what_is_beyond_the_dearest_is_one_row() -> None:
    assert list(parts_of(DRIVERS).items()) == [
        ("history", Decimal(3)),
        ("output", Decimal(3)),
        ("failed_calls", Decimal("0.5")),
    ]
    *bars, words = traces(purposes_figure(DRIVERS, "feature", 2))
    assert [(bar["name"], list(bar["x"])) for bar in bars] == [
        ("history, sent again", [3.0, 0.0, 0.0]),
        ("answers", [1.0, 2.0, 0.0]),
        ("failed calls, paid", [0.0, 0.0, 0.5]),
    ]
    figure = purposes_figure(DRIVERS, "feature", 2)
    assert list(figure.layout.yaxis.ticktext) == ["find", "(none)", "all others"]
    assert list(words["text"]) == ["  $4.00  ·  62 %", "  $2.00  ·  31 %", "  $0.500  ·  8 %"]
    assert bars[0]["customdata"][0][0].split("<br>") == [
        "<b>find: history, sent again</b>",
        "<b>$3</b> · 75 % of it · 4 calls",
        "300 tokens",
        "$2 of it for what had been sent before",
        "the prompt cache saved $1 of it",
    ]


GROWTH = frame(
    ("step", "calls", "input_tokens", "grown_tokens", "history_share", "call_usd", "cost_usd"),
    (1, 4, 1000, None, None, Decimal("0.5"), Decimal(2)),
    (2, 2, 1501, 501, Decimal("0.6"), Decimal("0.75"), Decimal("1.5")),
)


def test_what_a_call_sends_is_told_apart_where_there_are_fingerprints() -> None:
    new, history, blind = traces(sent_figure(GROWTH))
    assert (new["name"], list(new["y"])) == ("new", [0, 600])
    assert (history["name"], list(history["y"])) == ("history, sent again", [0, 901])
    assert (blind["name"], list(blind["y"])) == ("not told apart", [1000, 0])
    assert new["customdata"][1][0].split("<br>") == [
        "<b>call 2</b> · 2 calls",
        "1,501 tokens in each",
        "$1.5 in all · $0.75 each",
        "+501 tokens on the call before",
        "60 % of it had been sent before",
    ]


def test_all_calls_of_a_step_stand_with_what_they_cost() -> None:
    (paid,) = traces(paid_figure(GROWTH))
    assert (list(paid["x"]), list(paid["y"])) == ([1, 2], [2.0, 1.5])


def test_a_finding_is_told_once_with_the_places_that_make_most_of_it() -> None:
    found = frame(
        ("feature", "model", "finding", "cost_usd", "cost_share", "calls", "tokens", "cheaper_models"),
        ("find", "gpt-5", "dear_model", Decimal("0.2"), Decimal("0.1"), 3, 30, "b, a"),
        (None, None, "dear_model", Decimal("0.5"), Decimal("0.005"), 1, 10, "c, a"),
        ("find", "gpt-5", "unused_cap", Decimal(0), Decimal(0), 9, 90, None),
        ("find", "local", "failed", None, None, 2, 20, None),
        ("draft", "gpt-5", "dear_model", Decimal("0.1"), Decimal("0.3"), 1, 5, "a"),
    )
    places = ("(none) ($0.500, <1 % of its cost)", "find · gpt-5 ($0.200, 10 % of its cost)")
    assert found_of(found) == [
        Found("dear_model", Decimal("0.8"), 5, 45, places, ("a", "b", "c")),
        Found("unused_cap", Decimal(0), 9, 90, ("find · gpt-5 ($0, 0 % of its cost)",), ()),
        Found("failed", None, 2, 20, ("find · local (no price)",), ()),
    ]
