"""The overlay, from the file that a person writes to the price of a call."""

from __future__ import annotations

import json
import runpy
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path

import pytest

from spanledger.book import PriceBook
from spanledger.pricing import PriceContext, price
from spanledger.usage import Usage

TOOL = Path(__file__).parents[2] / "tools/flatten_prices.py"
ENTRY = """
[[model]]
provider = "acme"
model = "roadrunner"
match = ["roadrunner", { starts_with = "roadrunner-2024-" }]
source = "https://example.com/pricing"
checked = 2026-11-22

[[model.row]]
to = 2024-10-02T12:30:00Z
usd_per_million = { input_tokens = "5", output_tokens = "15.5" }
usd_per_unit = { web_searches = "0.01" }

[[model.row]]
context = { processing = "batch" }
weekdays = "sat-sun"
daily = ["16:30:00", "24:00:00"]
above = 200000
usd_per_million = { input_tokens = "2.5" }

[[multiplier]]
provider = "acme"
name = "regional"
match = { starts_with = "road" }
context = { region = { starts_with = "eu-" } }
from = 2025-01-01T00:00:00Z
factor = "1.10"
source = "https://example.com/regions"
checked = 2026-11-22
"""

Compile = Callable[[str], list[dict[str, object]]]


@pytest.fixture
def compiled(tmp_path: Path) -> Compile:
    overlay_records: Callable[[Path], Iterator[dict[str, object]]] = runpy.run_path(str(TOOL))["overlay_records"]

    def compile_(text: str) -> list[dict[str, object]]:
        source = tmp_path / "prices_overlay.toml"
        source.write_text(text, "utf-8")
        return list(overlay_records(source))

    return compile_


def test_an_entry_becomes_dated_rows_of_atto_dollars(compiled: Compile) -> None:
    assert compiled(ENTRY)[1:] == [
        {"provider": "acme"},
        {
            "model": "roadrunner",
            "match": ["roadrunner", {"starts_with": "roadrunner-2024-"}],
            "source": "https://example.com/pricing",
            "contexts": {"processing=batch": 1},
            "tables": [
                [
                    {
                        "to": "2024-10-02T12:30:00Z",
                        "prices": {
                            "input_tokens": 5 * 10**12,
                            "output_tokens": 155 * 10**11,
                            "web_searches": 10**16,
                        },
                    }
                ],
                [
                    {
                        "weekdays": "sat-sun",
                        "daily": ["16:30:00", "24:00:00"],
                        "above": 200_000,
                        "prices": {"input_tokens": 25 * 10**11},
                    }
                ],
            ],
        },
        {
            "multiplier": "regional",
            "match": {"starts_with": "road"},
            "context": {"region": {"starts_with": "eu-"}},
            "from": "2025-01-01T00:00:00Z",
            "factor": "1.10",
            "source": "https://example.com/regions",
        },
    ]


def test_its_rows_price_calls(compiled: Compile) -> None:
    overlay = "\n".join(json.dumps(record) for record in compiled(ENTRY))
    book = PriceBook("{}", overlay)
    usage = Usage(input_uncached_tokens=200_001)

    def found(instant: str, context: PriceContext) -> tuple[int | None, str | None, str | None]:
        at_ns = int(datetime.fromisoformat(instant).timestamp()) * 10**9
        priced = price("acme", "roadrunner-2024-05-13", usage, at_ns, context, book=book)
        return priced.cost_pico, priced.price_id, priced.unpriced_reason

    assert found("2024-10-02T12:29:59Z", PriceContext()) == (1_000_005_000_000, "overlay:acme/roadrunner", None)
    assert found("2024-10-02T12:30:00Z", PriceContext()) == (None, None, "no_price")
    assert found("2026-01-02T16:30:00Z", PriceContext("batch")) == (None, None, "no_price")
    assert found("2026-01-03T16:30:00Z", PriceContext("batch")) == (
        500_002_500_000,
        "overlay:acme/roadrunner~sat-sun~16:30:00+processing=batch>200000",
        None,
    )
    assert found("2026-01-03T16:30:00Z", PriceContext("batch", region="eu-west-1")) == (
        550_002_750_000,
        "overlay:acme/roadrunner~sat-sun~16:30:00+processing=batch>200000*regional",
        None,
    )


@pytest.mark.parametrize("missing", ["source", "checked"])
def test_an_entry_without_a_source_or_a_date_is_refused(compiled: Compile, missing: str) -> None:
    entry = ENTRY.partition("[[multiplier]]")[0]
    unsourced = "\n".join(line for line in entry.splitlines() if not line.startswith(missing))

    with pytest.raises(SystemExit, match=r"overlay acme/roadrunner: needs `source` \(https\) and `checked`"):
        compiled(unsourced)
