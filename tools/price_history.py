"""List where the price book differs from what price maps said in their time, to find prices that want a date.

    pip download --no-deps --uploaded-prior-to 2024-06-01 litellm      # one release for each date of interest
    unzip -p litellm-*.whl litellm/model_prices_and_context_window_backup.json > maps/2024-06-01.litellm-1.39.5.json
    python tools/price_history.py maps

A map is JSON in litellm's form, which tokencost has, too; its file's name begins with the day it is of. A row of the
answer is a model whose price in the maps was another than the book's from one map to another: the list to look
through. A map may be wrong or late, so nothing is taken over without a look at who else says so.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from itertools import groupby
from pathlib import Path
from typing import Any, Final

from spanledger.book import shipped_book
from spanledger.rates import TOKEN_METERS, list_rates
from spanledger_analytics.price_windows import instant_of
from spanledger_cli.aligned import write_table

PROVIDERS: Final = {
    "anthropic": "anthropic",
    "azure": "azure",
    "bedrock": "aws",
    "bedrock_converse": "aws",
    "cohere": "cohere",
    "cohere_chat": "cohere",
    "deepseek": "deepseek",
    "fireworks_ai": "fireworks",
    "gemini": "google",
    "groq": "groq",
    "mistral": "mistral",
    "openai": "openai",
    "perplexity": "perplexity",
    "text-completion-openai": "openai",
    "together_ai": "together",
    "vertex_ai-anthropic_models": "google",
    "vertex_ai-embedding-models": "google",
    "vertex_ai-language-models": "google",
    "xai": "x-ai",
}
"""The maps' names of providers to the book's; others are left out."""
PRICES: Final = {
    "input_uncached_tokens": "input_cost_per_token",
    "cache_read_tokens": "cache_read_input_token_cost",
    "cache_write_5m_tokens": "cache_creation_input_token_cost",
    "output_text_tokens": "output_cost_per_token",
    "input_audio_tokens": "input_cost_per_audio_token",
    "output_audio_tokens": "output_cost_per_audio_token",
}
"""Meter to its price in a map."""
Row = dict[str, str]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("maps", type=Path, help="folder of maps, named YYYY-MM-DD.NAME.json")
    parser.add_argument("--provider", help="only this one, as the book names it")
    options = parser.parse_args()
    found = [row for path in sorted(options.maps.glob("*.json")) for row in differing(path)]
    rows = [row for row in joined(found) if options.provider in (None, row["provider"])]
    print("\n".join(write_table(rows, ("provider", "model", "meter", "maps", "book", "first", "last", "seen"))))
    print(f"{len(rows)} differences", file=sys.stderr)


def differing(path: Path) -> Iterator[Row]:
    """Yield the prices of a map that the book had otherwise on its day; what the book doesn't know is left out."""
    day = path.name[:10]
    at_ns = instant_of(datetime.fromisoformat(day).replace(tzinfo=UTC))
    entries: Mapping[str, Any] = json.loads(path.read_text("utf-8"), parse_float=Decimal)
    for name, entry in entries.items():
        provider = PROVIDERS.get(str(entry.get("litellm_provider"))) if isinstance(entry, dict) else None
        if provider is None:
            continue
        model = name.removeprefix(f"{entry['litellm_provider']}/").removeprefix("gemini/")
        windows = list_rates(shipped_book(), provider, model).windows
        held = next((window for window in windows if window.holds(at_ns, 1)), None)
        for meter, key in PRICES.items():
            stated = entry.get(key)
            rate = held.token_rates[TOKEN_METERS.index(meter)] if held is not None else None
            if rate is not None and isinstance(stated, int | Decimal) and stated and _atto(stated) != rate:
                told = {"provider": provider, "model": model, "meter": meter, "day": day}
                yield told | {"maps": _million(_atto(stated)), "book": _million(rate)}


def joined(rows: list[Row]) -> Iterator[Row]:
    """Join what several maps say alike."""

    def alike(row: Row) -> tuple[str, ...]:
        return tuple(row[name] for name in ("provider", "model", "meter", "maps", "book"))

    for _, group in groupby(sorted(rows, key=lambda row: (*alike(row), row["day"])), key=alike):
        days = [dict(row) for row in group]
        yield days[0] | {"first": days[0]["day"], "last": days[-1]["day"], "seen": str(len(days))}


def _atto(usd: int | Decimal) -> int:
    return int((Decimal(usd) * 10**18).to_integral_value())


def _million(atto: int) -> str:
    return f"{(Decimal(atto) / 10**12).normalize():f}"


if __name__ == "__main__":
    main()
