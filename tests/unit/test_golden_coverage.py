"""What the calls of tests/fixtures/golden_prices.csv are about: nothing that a bill can have may be missing."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from decimal import Decimal

import pytest

from golden import GOLDEN, Golden

PROVIDERS = {
    "openai": 4,
    "anthropic": 4,
    "aws.bedrock": 3,
    "google": 3,
    "azure.ai.openai": 2,
    "gcp.vertex_ai": 2,
    "mistral_ai": 2,
    "deepseek": 2,
    "groq": 3,
    "cohere": 2,
    "x_ai": 2,
    "openrouter": 1,
    "together_ai": 1,
}
"""Provider to the number of years that its calls are from, at least."""
WEEKEND = (5, 6)
_TOOLS = frozenset({"code_interpreter_sessions", "code_execution_hours", "storage_searches"})

KINDS: dict[str, tuple[int, Callable[[Golden], bool]]] = {
    "cached read": (30, lambda one: one.call.usage.cache_read_tokens > 0),
    "cache write for 5 minutes": (10, lambda one: one.call.usage.cache_write_5m_tokens > 0),
    "cache write for an hour": (4, lambda one: one.call.usage.cache_write_1h_tokens > 0),
    "reasoning": (5, lambda one: one.call.usage.reasoning_tokens > 0),
    "batch": (15, lambda one: one.call.context.processing == "batch"),
    "flex": (3, lambda one: one.call.context.service_tier == "flex"),
    "priority": (4, lambda one: one.call.context.service_tier == "priority"),
    "fast": (1, lambda one: one.call.context.speed == "fast"),
    "embeddings": (7, lambda one: "embed" in one.call.model and one.cost_usd is not None),
    "rerank": (3, lambda one: "search_units" in one.call.usage.units),
    "audio tokens": (8, lambda one: one.call.usage.input_audio_tokens > 0),
    "seconds of sound": (1, lambda one: "seconds" in one.call.usage.units),
    "characters spoken": (2, lambda one: "characters" in one.call.usage.units),
    "images": (1, lambda one: one.call.usage.output_image_tokens > 0),
    "web search": (4, lambda one: "web_searches" in one.call.usage.units),
    "other tools": (3, lambda one: bool(_TOOLS & one.call.usage.units.keys())),
    "fine-tunes": (8, lambda one: one.call.model.startswith("ft:")),
    "ids with a region": (5, lambda one: one.call.model.startswith(("us.", "eu.", "global.", "arn:"))),
    "regions": (7, lambda one: one.call.context.region is not None),
    "a name without a date that changed its price": (15, lambda one: one.what.startswith("the alias")),
    "off-peak at weekends": (3, lambda one: one.call.provider == "deepseek" and _day(one) in WEEKEND),
    "off-peak by hours": (4, lambda one: one.call.provider == "deepseek" and _day(one) not in WEEKEND),
    "unknown": (9, lambda one: one.cost_usd is None),
    "free": (2, lambda one: one.cost_usd == 0),
}
"""What a bill can have, to the least number of calls that have it, and how such a call is told."""

TABLE_2024 = {
    ("gpt-4-turbo", 5_000, 600): "0.068",
    ("gpt-4-turbo", 2_000 * 10**6, 0): "20000",
    ("gpt-4o", 5_000, 600): "0.034",
    ("gpt-3.5-turbo", 5_000, 600): "0.0034",
    ("claude-3-opus-20240229", 5_000, 600): "0.12",
    ("claude-3-sonnet-20240229", 5_000, 600): "0.024",
    ("claude-3-haiku-20240307", 5_000, 600): "0.002",
}
"""(Model, input, output) to dollars in May 2024: the table of the field's standard text."""

THREADS = (
    "Arize-ai/phoenix/issues/10036",
    "Arize-ai/phoenix/issues/10783",
    "langfuse/langfuse/issues/10592",
    "earendil-works/pi/issues/2148",
    "langfuse/langfuse/issues/14808",
    "pydantic/pydantic-ai/issues/3995",
    "Agenta-AI/agenta/pull/5717",
    "BerriAI/litellm/issues/30135",
    "rossoctl/cortex/pull/816",
)
"""Public threads about a wrong cost, each with the right one.

Of the eleven that we know, the flex call of gpt-5-mini has its price from elsewhere (TEXTS), and a
sum by tags is no call.
"""
TEXTS = ("flex: gpt-5-mini",)


def _day(one: Golden) -> int:
    return datetime.fromisoformat(one.at).weekday()


def _years(provider: str) -> set[str]:
    return {one.at[:4] for one in GOLDEN if one.call.provider == provider and one.cost_usd is not None}


def test_every_provider_has_calls_of_several_years() -> None:
    assert {name: len(_years(name)) for name, least in PROVIDERS.items() if len(_years(name)) < least} == {}


def test_every_year_has_calls_of_several_providers() -> None:
    providers = {year: {one.call.provider for one in GOLDEN if one.at[:4] == year} for year in _YEARS}

    assert {year: found for year, found in providers.items() if len(found) < _YEARS[year]} == {}


_YEARS = {"2023": 3, "2024": 8, "2025": 12, "2026": 7}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_charge_has_calls(kind: str) -> None:
    least, is_one = KINDS[kind]

    found = [one.what for one in GOLDEN if is_one(one)]

    assert len(found) >= least, found


@pytest.mark.parametrize(
    ("provider", "threshold"),
    [("openai", 272_000), ("anthropic", 200_000), ("anthropic", 100_000), ("google", 128_000), ("x_ai", 128_000)],
)
def test_a_tier_is_tried_at_its_threshold_and_one_token_above(provider: str, threshold: int) -> None:
    totals = {one.call.usage.input_tokens for one in GOLDEN if one.call.provider == provider}

    assert {threshold, threshold + 1} <= totals
    assert any(total < threshold for total in totals)


def test_the_table_of_2024_is_there() -> None:
    found = {
        (one.call.model, one.call.usage.input_tokens, one.call.usage.output_tokens): one.cost_usd
        for one in GOLDEN
        if one.at.startswith("2024-05")
    }

    assert {key: found.get(key) for key in TABLE_2024} == {key: Decimal(cost) for key, cost in TABLE_2024.items()}


def test_what_users_found_wrong_elsewhere_is_there() -> None:
    sources = {one.source.removeprefix("https://github.com/") for one in GOLDEN}

    assert [thread for thread in THREADS if thread not in sources] == []
    assert set(TEXTS) <= {one.what for one in GOLDEN}
