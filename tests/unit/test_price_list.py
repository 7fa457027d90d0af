"""The book as people look it up."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import polars as pl
from click.testing import CliRunner

from spanledger.book import PriceBook, current_book
from spanledger_analytics.price_list import history, models
from spanledger_cli import cli
from spanledger_dashboard.charts.price_history import changes, price_figure

AT = datetime(2026, 11, 20, tzinfo=UTC)
_PER_TOKEN = 10**12
"""Atto-dollars a token of a dollar a million."""
LINES = [
    {"generated": "for a test", "library": "test 1.0", "format": 1},
    {"provider": "acme", "match": {"equals": "acme"}, "sources": ["https://acme.example/prices"]},
    {
        "model": "rocket",
        "match": ["rocket"],
        "contexts": {"processing=batch": 1},
        "tables": [
            [
                {
                    "to": "2026-03-01T00:00:00Z",
                    "prices": {"input_tokens": 4 * _PER_TOKEN, "output_tokens": 8 * _PER_TOKEN},
                },
                {
                    "from": "2026-03-01T00:00:00Z",
                    "prices": {
                        "input_tokens": 3 * _PER_TOKEN,
                        "cache_read_tokens": 3 * _PER_TOKEN // 10,
                        "output_tokens": 6 * _PER_TOKEN,
                    },
                },
            ],
            [{"prices": {"input_tokens": 2 * _PER_TOKEN, "output_tokens": 4 * _PER_TOKEN}}],
        ],
    },
]
BOOK = PriceBook("\n".join(json.dumps(line) for line in LINES), "")
MARCH = datetime(2026, 3, 1, tzinfo=UTC)
PAGE = "https://acme.example/prices"


def test_a_model_is_listed_at_what_it_is_charged_then() -> None:
    assert models(BOOK, AT).to_dicts() == [
        {
            "provider": "acme",
            "model": "rocket",
            "when": "",
            "input": Decimal(3),
            "cache_read": Decimal("0.3"),
            "cache_write": Decimal(3),
            "output": Decimal(6),
            "fees": "",
            "since": MARCH,
            "price_id": "base:acme/rocket@2026-03-01",
            "source": PAGE,
        }
    ]
    assert models(BOOK, MARCH - timedelta(seconds=1))["output"].to_list() == [Decimal(8)]


def test_a_history_has_a_row_a_meter_and_period_and_leaves_out_what_says_the_same() -> None:
    told = history(BOOK, "acme", "rocket")
    assert told.select("meter", "starts_at", "ends_at", "price_usd").rows() == [
        ("input_uncached_tokens", None, MARCH, Decimal(4)),
        ("input_uncached_tokens", MARCH, None, Decimal(3)),
        ("cache_read_tokens", None, MARCH, Decimal(4)),
        ("cache_read_tokens", MARCH, None, Decimal("0.3")),
        ("output_text_tokens", None, MARCH, Decimal(8)),
        ("output_text_tokens", MARCH, None, Decimal(6)),
    ]
    assert told["a_million"].all()
    assert set(told["source"]) == {PAGE}


def test_a_context_has_a_history_of_its_own_and_an_unknown_model_none() -> None:
    told = history(BOOK, "acme", "rocket", "processing=batch")
    assert told.select("meter", "price_usd").rows() == [
        ("input_uncached_tokens", Decimal(2)),
        ("output_text_tokens", Decimal(4)),
    ]
    assert history(BOOK, "acme", "boat").is_empty()


def test_the_list_says_what_the_command_says() -> None:
    day = f"{AT:%Y-%m-%d}"
    command = CliRunner().invoke(
        cli, ["prices", "list", "--provider", "anthropic", "--at", day, "--format", "json"], catch_exceptions=False
    )
    listed = models(current_book(), AT).filter(provider="anthropic")
    assert sorted(listed["price_id"]) == sorted(row["price_id"] for row in json.loads(command.stdout))
    by_id = {row["price_id"]: row["prices"] for row in json.loads(command.stdout)}
    for row in listed.iter_rows(named=True):
        if said := dict(pair.split("=") for pair in by_id[row["price_id"]].split(" ") if "=" in pair):
            assert Decimal(said["input_uncached_tokens"]) == row["input"], row


def test_a_history_is_drawn_as_steps_from_before_the_first_change_until_now() -> None:
    told = changes(history(BOOK, "acme", "rocket"))
    drawn = {trace.name: trace for trace in price_figure(told, AT).data}
    assert list(drawn) == ["input", "cache read", "output"]
    output = drawn["output"]
    assert list(output.y) == [8.0, 8.0, 6.0, 6.0]
    assert [f"{moment:%Y-%m-%d}" for moment in output.x] == ["2025-12-01", "2026-03-01", "2026-03-01", "2026-11-20"]
    assert output.line.shape == "hv"
    assert output.customdata[2] == "<b>$6</b> a million output<br>base:acme/rocket@2026-03-01"


def test_a_price_that_is_to_come_is_drawn_after_now_not_back_to_it() -> None:
    told = changes(history(BOOK, "acme", "rocket")).filter(meter="output_text_tokens")
    (trace,) = price_figure(told, datetime(2026, 2, 1, tzinfo=UTC)).data
    assert [f"{moment:%Y-%m-%d}" for moment in trace.x] == ["2025-12-01", "2026-03-01", "2026-03-01", "2026-05-30"]


def test_a_period_without_a_price_is_a_gap() -> None:
    rows = changes(history(BOOK, "acme", "rocket")).filter(meter="output_text_tokens")
    later = rows.with_columns(starts_at=pl.col("starts_at") + timedelta(days=30))
    (trace,) = price_figure(later, AT).data
    assert list(trace.y) == [8.0, 8.0, None, 6.0, 6.0]
