"""What one call costs: golden figures worked out by hand, and the rules of the evaluator."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from pathlib import Path

import pytest

from spanledger.book import PriceBook
from spanledger.pricing import COMPONENTS, MAX_COUNT, Charge, PriceContext, price, rates, unpriced
from spanledger.usage import Usage

PACKAGES = str(Path(__file__).parents[2] / "instrumentation")
PICO = 10**12
MILLION_TIMES_DOLLAR = 10**12
"""Atto-dollars a token of one dollar a million."""


def at(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp()) * 10**9


NOW = at("2026-11-22T12:00:00Z")
TOKENS = Usage(input_uncached_tokens=1_000_000, output_text_tokens=1_000_000)


def dollars(provider: str, model: str, usage: Usage, at_ns: int = NOW, context: PriceContext | None = None) -> Decimal:
    found = price(provider, model, usage, at_ns, context or PriceContext())
    assert found.cost_pico is not None, found
    return Decimal(found.cost_pico) / PICO


@pytest.mark.parametrize(
    ("tokens_in", "tokens_out", "cost"), [(5_000, 600, "0.068"), (12_950, 600, "0.1475"), (0, 0, "0")]
)
def test_gpt_4_turbo_at_ten_and_thirty_dollars_a_million(tokens_in: int, tokens_out: int, cost: str) -> None:
    usage = Usage(input_uncached_tokens=tokens_in, output_text_tokens=tokens_out)

    assert dollars("openai", "gpt-4-turbo", usage) == Decimal(cost)


def test_cached_input_is_charged_by_its_own_meters() -> None:
    """Claude Opus 5 at $5 in, $6.25 and $10 cache write, $0.50 cache read, $25 out a million; $10 a 1,000 searches."""
    usage = Usage(
        input_uncached_tokens=1_000,
        cache_read_tokens=20_000,
        cache_write_5m_tokens=400,
        cache_write_1h_tokens=3_000,
        output_text_tokens=500,
        reasoning_tokens=100,
        units={"web_searches": Decimal(2)},
    )

    found = price("anthropic", "claude-opus-5", usage, NOW)

    assert [(charge.meter, charge.amount_pico) for charge in found.charges] == [
        ("input_uncached_tokens", 5_000_000_000),
        ("cache_read_tokens", 10_000_000_000),
        ("cache_write_5m_tokens", 2_500_000_000),
        ("cache_write_1h_tokens", 30_000_000_000),
        ("output_text_tokens", 12_500_000_000),
        ("reasoning_tokens", 2_500_000_000),
        ("web_searches", 20_000_000_000),
    ]
    assert dict(zip(COMPONENTS, found[1:6], strict=True)) == {
        "cost_input": 5_000_000_000,
        "cost_cache_read": 10_000_000_000,
        "cost_cache_write": 32_500_000_000,
        "cost_output": 15_000_000_000,
        "cost_other": 20_000_000_000,
    }
    assert found.cost_pico == 82_500_000_000
    assert (found.price_id, found.matched_model) == ("base:anthropic/claude-opus-5", "claude-opus-5")
    assert (found.cost_source, found.unpriced_reason) == ("list", None)
    assert found.source == "https://www.anthropic.com/pricing#api"


@pytest.mark.parametrize(
    ("total", "cost"),
    [(199_999, "0.599997"), (200_000, "0.6"), (200_001, "1.200006")],
)
def test_a_tier_starts_above_its_threshold_and_takes_the_whole_call(total: int, cost: str) -> None:
    """Claude Sonnet 4.5 at $3 up to 200,000 tokens of input and $6 above."""
    assert dollars("anthropic", "claude-sonnet-4-5", Usage(input_uncached_tokens=total)) == Decimal(cost)


def test_cached_tokens_count_towards_the_threshold() -> None:
    """Claude Sonnet 4.5 above 200,000: $6 in, $0.60 cache read, $22.50 out: 0.006 + 0.1194006 + 0.0225."""
    usage = Usage(input_uncached_tokens=1_000, cache_read_tokens=199_001, output_text_tokens=1_000)

    assert dollars("anthropic", "claude-sonnet-4-5", usage) == Decimal("0.006") + Decimal("0.1194006") + Decimal(
        "0.0225"
    )


@pytest.mark.parametrize(
    ("instant", "cost", "start"),
    [("2026-08-20T23:59:59Z", "35", ""), ("2026-08-21T00:00:00Z", "24", "@2026-08-21")],
)
def test_a_price_change_holds_from_its_first_instant(instant: str, cost: str, start: str) -> None:
    """GPT-5.6 Sol fell from $5 and $30 to $4 and $20 a million; 200,000 tokens keep the call below the long tier."""
    usage = Usage(input_uncached_tokens=200_000, output_text_tokens=200_000)

    found = price("openai", "gpt-5.6-sol", usage, at(instant))

    assert found.cost_pico == Decimal(cost) / 5 * PICO
    assert found.price_id == f"base:openai/gpt-5.6-sol{start}"


@pytest.mark.parametrize(
    ("clock", "cost"), [("00:59:59", "0.66"), ("01:00:00", "1.32"), ("03:59:59", "1.32"), ("04:00:00", "0.66")]
)
def test_a_daily_window_is_half_open(clock: str, cost: str) -> None:
    """DeepSeek V4 Pro: $0.66 a million, $1.32 from 01:00 to 04:00 UTC."""
    usage = Usage(input_uncached_tokens=1_000_000)

    assert dollars("deepseek", "deepseek-v4-pro", usage, at(f"2026-11-02T{clock}Z")) == Decimal(cost)


@pytest.mark.parametrize(
    ("context", "cost", "price_id"),
    [
        (PriceContext(), "6", "@2026-08-21"),
        (PriceContext(service_tier="default"), "6", "@2026-08-21"),
        (PriceContext(service_tier="auto", region="us-east-1"), "6", "@2026-08-21"),
        (PriceContext(service_tier="Flex"), "3", "@2026-10-12+service_tier=flex"),
        (PriceContext(service_tier="priority"), "12", "@2026-10-12+service_tier=priority"),
        (PriceContext(processing="batch"), "3", "@2026-10-14+processing=batch"),
        (PriceContext(processing="batch", service_tier="standard"), "3", "@2026-10-14+processing=batch"),
        (PriceContext(service_tier="galactic"), "6", "@2026-08-21"),
    ],
)
def test_a_context_has_its_own_price_or_the_plain_one(context: PriceContext, cost: str, price_id: str) -> None:
    """GPT-5.6 Sol: $4 and $20 a million, flex and batch half, priority double; 250,000 tokens of each."""
    usage = Usage(input_uncached_tokens=250_000, output_text_tokens=250_000)

    found = price("openai", "gpt-5.6-sol", usage, NOW, context)

    assert (found.cost_pico, found.price_id) == (int(cost) * PICO, f"base:openai/gpt-5.6-sol{price_id}")


def test_a_context_before_its_price_was_known_has_the_plain_price_and_says_so() -> None:
    usage = Usage(input_uncached_tokens=1)

    found = price("openai", "gpt-5.6-sol", usage, at("2026-09-01T00:00:00Z"), PriceContext(service_tier="priority"))

    assert (found.cost_pico, found.price_id) == (4_000_000, "base:openai/gpt-5.6-sol@2026-08-21")


def test_reasoning_costs_what_output_costs_unless_priced_apart() -> None:
    usage = Usage(output_text_tokens=1_000_000, reasoning_tokens=1_000_000)

    assert dollars("openai", "gpt-5-mini", usage) == 4
    assert dollars("perplexity", "sonar-deep-research", usage) == 8 + 3


def test_a_fee_a_request_is_charged_once() -> None:
    """Perplexity Sonar: $1 and $1 a million tokens, $12 a 1,000 requests."""
    found = price("perplexity", "sonar", Usage(input_uncached_tokens=500, output_text_tokens=500), NOW)

    assert found.charges[-1] == Charge("requests", 1, 12 * 10**15, 12 * 10**9)
    assert found.cost_pico == 10**9 + 12 * 10**9


@pytest.mark.parametrize(("seconds", "billed"), [("0.5", 10), ("10", 10), ("90", 90)])
def test_a_minimum_is_billed_where_the_provider_has_one(seconds: str, billed: int) -> None:
    """Groq's whisper: $0.111 an hour, at least ten seconds."""
    found = price("groq", "whisper-large-v3", Usage(units={"audio_seconds": Decimal(seconds)}), NOW)

    (charge,) = found.charges
    assert charge.quantity == billed
    assert charge.amount_pico == round(Decimal("0.111") * billed / 3600 * PICO)


def test_free_is_zero_with_a_price_and_unknown_is_none_with_a_reason() -> None:
    free = price("openrouter", "deepseek/deepseek-r1:free", TOKENS, NOW)

    assert (free.cost_pico, free.cost_source, free.unpriced_reason) == (0, "list", None)
    assert free.price_id == "base:openrouter/deepseek/deepseek-r1:free"
    assert price("openai", "nothing-like-it", TOKENS, NOW) == unpriced("unknown_model")
    assert price("nobody", "gpt-4o", TOKENS, NOW) == unpriced("unknown_provider")
    assert price("cerebras", "qwen-3-coder-480b", TOKENS, NOW) == unpriced("no_price", "qwen-3-coder-480b")


@pytest.mark.parametrize(
    ("usage", "reason", "matched"),
    [
        (Usage(state="missing"), "no_usage", None),
        (Usage.from_totals(10, 0, cache_read_tokens=11), "inconsistent", None),
        (Usage(cache_read_tokens=-1), "inconsistent", None),
        (Usage(input_uncached_tokens=MAX_COUNT + 1), "inconsistent", None),
        (Usage(input_uncached_tokens=MAX_COUNT), "inconsistent", "gpt-4o"),
        (Usage(units={"web_searches": Decimal("NaN")}), "inconsistent", None),
        (Usage(units={"web_searches": Decimal("1e12")}), "inconsistent", None),
        (Usage(units={"moon_landings": Decimal(1)}), "no_price", "gpt-4o"),
        (Usage(units={"input_tokens": Decimal(1)}), "no_price", "gpt-4o"),
    ],
)
def test_a_call_that_cant_be_priced_says_why(usage: Usage, reason: str, matched: str | None) -> None:
    assert price("openai", "gpt-4o", usage, NOW) == unpriced(reason, matched)


def test_output_of_a_model_without_an_output_price_is_not_free() -> None:
    assert price("openai", "text-embedding-3-large", TOKENS, NOW).unpriced_reason == "no_price"


def test_estimated_usage_is_priced() -> None:
    assert dollars("openai", "gpt-4-turbo", Usage(input_uncached_tokens=100, state="estimated")) == Decimal("0.001")


def test_the_model_asked_for_stands_in_for_an_unknown_answer() -> None:
    found = price("openai", "my-deployment", TOKENS, NOW, request_model="gpt-4-turbo")

    assert (found.cost_pico, found.matched_model) == (40 * PICO, "gpt-4-turbo")
    assert price("openai", "my-deployment", TOKENS, NOW, request_model="other") == unpriced("unknown_model")


@pytest.mark.parametrize(
    ("provider", "model", "price_id"),
    [
        ("x_ai", "grok-4", "base:x-ai/grok-4-0709"),
        ("gcp.vertex_ai", "publishers/google/models/gemini-2.5-flash-lite", "base:google/gemini-2.5-flash-lite"),
        ("gcp.gemini", "models/gemini-2.5-flash-lite", "base:google/gemini-2.5-flash-lite"),
        ("gcp.vertex_ai", "claude-opus-5@20260401", "base:google/claude-opus-5"),
        ("azure.ai.openai", "gpt-4-turbo", "base:openai/gpt-4-turbo"),
        ("openai", "openai/gpt-4-turbo", "base:openai/gpt-4-turbo"),
        ("openai", "gpt-5-20250807", "base:openai/gpt-5"),
        ("litellm", "anthropic/claude-opus-5", "base:anthropic/claude-opus-5"),
        (" OpenAI ", "GPT-4-Turbo", "base:openai/gpt-4-turbo"),
    ],
)
def test_names_in_the_wild_find_their_price(provider: str, model: str, price_id: str) -> None:
    assert price(provider, model, Usage(input_uncached_tokens=1), NOW).price_id == price_id


def test_a_borrowed_model_has_list_prices_without_the_lenders_contexts() -> None:
    usage = Usage(input_uncached_tokens=100_000)

    assert dollars("azure", "gpt-5.6-sol", usage, NOW, PriceContext(service_tier="flex")) == Decimal("0.4")
    assert dollars("openai", "gpt-5.6-sol", usage, NOW, PriceContext(service_tier="flex")) == Decimal("0.2")


@pytest.mark.parametrize(
    ("provider", "name"),
    [("openai", "text-embedding-3-small"), ("azure", "gpt-5.6-sol"), ("openai", "gpt-5.6-sol")],
    ids=["no batch price is known", "the lender's batch price", "a batch price"],
)
def test_a_batch_never_has_the_plain_price(provider: str, name: str) -> None:
    plain, batch = (
        price(provider, name, Usage(input_uncached_tokens=100_000), NOW, PriceContext(processing))
        for processing in (None, "batch")
    )

    if batch.cost_pico is None:
        assert (batch.unpriced_reason, batch.matched_model) == ("no_price", name)
    else:
        assert plain.cost_pico == 2 * batch.cost_pico


def test_a_batch_of_a_free_model_is_free() -> None:
    free = book(model("a", {"prices": {}, "free": True}))

    assert price("acme", "a", Usage(1), NOW, PriceContext("batch"), book=free).cost_pico == 0


# Rules on a book made for the purpose


def book(*models: Mapping[str, object], overlay: tuple[Mapping[str, object], ...] = ()) -> PriceBook:
    def lines(records: tuple[Mapping[str, object], ...]) -> str:
        return "\n".join(json.dumps(record) for record in ({"generated": "here"}, {"provider": "acme"}, *records))

    return PriceBook(lines(models), lines(overlay) if overlay else "{}")


def model(name: str, *rows: Mapping[str, object]) -> dict[str, object]:
    return {"model": name, "match": {"starts_with": name}, "tables": [rows]}


def test_each_meter_is_rounded_half_up_by_itself() -> None:
    """At half a pico-dollar a token, 1 + 3 tokens are 1 + 2 pico-dollars, not round(2)."""
    acme = book(model("a", {"prices": {"input_tokens": 500_000, "output_tokens": 500_000}}))
    usage = Usage(input_uncached_tokens=1, output_text_tokens=3)

    found = price("acme", "a", usage, NOW, book=acme)

    assert [charge.amount_pico for charge in found.charges] == [1, 2]
    assert found.cost_pico == 3
    assert price("acme", "a", Usage(input_uncached_tokens=1), NOW, book=acme).cost_pico == 1
    just_below = book(model("a", {"prices": {"input_tokens": 499_999}}))
    assert price("acme", "a", Usage(input_uncached_tokens=1), NOW, book=just_below).cost_pico == 0


def test_fractions_of_a_unit_are_charged() -> None:
    acme = book(model("a", {"prices": {"gpu_seconds": 3 * 10**18}}))

    found = price("acme", "a", Usage(units={"gpu_seconds": Decimal("0.0000015")}), NOW, book=acme)

    assert found.charges == (Charge("gpu_seconds", Decimal("0.000002"), 3 * 10**18, 6_000_000),)


def test_a_meter_has_the_price_of_its_nearest_ancestor() -> None:
    acme = book(
        model("a", {"prices": {"input_tokens": 1, "cache_read_tokens": 2, "cache_write_tokens": 3, "output_tokens": 4}})
    )

    (window,) = rates("acme", "a", book=acme).windows

    assert window.token_rates == (1, 2, 3, 3, 3, 1, 2, 1, 4, 4, 4, 4)
    assert window.unit_rates == {
        "cache_read_image_tokens": 2,
        "input_video_tokens": 1,
        "output_citation_tokens": 4,
        "output_video_tokens": 4,
    }


def test_the_overlay_wins_where_it_has_a_price_and_leaves_the_rest_to_the_base() -> None:
    base = model("a", {"prices": {"input_tokens": 2 * MILLION_TIMES_DOLLAR}})
    past = {
        "model": "a-2024",
        "match": "a",
        "source": "https://example.com/pricing",
        "tables": [[{"to": "2024-10-02T00:00:00Z", "prices": {"input_tokens": 5 * MILLION_TIMES_DOLLAR}}]],
    }
    new = {"model": "b", "match": "b", "tables": [[{"prices": {"input_tokens": MILLION_TIMES_DOLLAR}}]]}
    acme = book(base, overlay=(past, new))
    usage = Usage(input_uncached_tokens=10**6)

    def priced(name: str, instant: str) -> tuple[int | None, str | None, str | None]:
        found = price("acme", name, usage, at(instant), book=acme)
        return found.cost_pico, found.price_id, found.source

    assert priced("a", "2024-10-01T23:59:59Z") == (5 * PICO, "overlay:acme/a-2024", "https://example.com/pricing")
    assert priced("a", "2024-10-02T00:00:00Z") == (2 * PICO, "base:acme/a", None)
    assert priced("a-0125", "2024-01-01T00:00:00Z") == (2 * PICO, "base:acme/a", None)
    assert priced("b", "2024-01-01T00:00:00Z") == (PICO, "overlay:acme/b", None)


def test_pricing_needs_nothing_but_the_standard_library() -> None:
    code = (
        "import sys; from spanledger.pricing import price; from spanledger.usage import Usage\n"
        "assert price('openai', 'gpt-4-turbo', Usage(input_uncached_tokens=1), 0).cost_pico == 10_000_000\n"
        "print(sorted({name.partition('.')[0] for name in sys.modules} - sys.stdlib_module_names))"
    )

    loaded = subprocess.run(
        [sys.executable, "-S", "-c", code], env={"PYTHONPATH": PACKAGES}, capture_output=True, text=True
    )

    assert (loaded.stdout.strip(), loaded.stderr) == ("['__main__', 'spanledger']", "")


def test_an_instant_outside_every_window_has_no_price() -> None:
    acme = book(model("a", {"from": "2025-01-01T00:00:00Z", "prices": {"input_tokens": 1}}))

    assert price("acme", "a", TOKENS, at("2024-12-31T23:59:59Z"), book=acme) == unpriced("no_price", "a")


def multiplier(name: str, context: Mapping[str, object], factor: str, **more: object) -> dict[str, object]:
    return {"multiplier": name, "context": context, "factor": factor, "source": "https://example.com/batch", **more}


HALF = multiplier("batch", {"processing": "batch"}, "0.5", **{"from": "2024-04-15T00:00:00Z"})
TENTH_MORE = multiplier("regional", {"region": {"regex": "^(?!global$)"}}, "1.1", match={"starts_with": "a"})


def test_a_factor_holds_from_its_first_instant_on_tokens_and_leaves_fees_alone() -> None:
    prices = {"input_tokens": 3 * MILLION_TIMES_DOLLAR, "input_video_tokens": 7, "web_searches": 10**16, "requests": 10}
    acme = book(model("a", {"prices": prices}), overlay=(HALF,))

    plain, batch = rates("acme", "a", PriceContext("batch"), book=acme).windows, rates("acme", "a", book=acme).windows
    (window,) = plain

    assert (window.price_id, window.from_ns) == ("base:acme/a*batch", at("2024-04-15T00:00:00Z"))
    assert window.token_rates[0] == 15 * 10**11
    assert (window.unit_rates["input_video_tokens"], window.unit_rates["web_searches"]) == (4, 10**16)
    assert window.request_rate == 10
    assert [factor.source for factor in window.multipliers] == ["https://example.com/batch"]
    assert [window.price_id for window in batch] == ["base:acme/a"]


def test_factors_of_several_parts_of_a_context_are_multiplied() -> None:
    acme = book(model("a", {"prices": {"input_tokens": 10**12}}), overlay=(HALF, TENTH_MORE))

    def cost(context: PriceContext) -> tuple[int | None, str | None]:
        found = price("acme", "a", Usage(input_uncached_tokens=10**6), NOW, context, book=acme)
        return found.cost_pico, found.price_id

    assert cost(PriceContext("batch", region="eu-west-1")) == (55 * 10**10, "base:acme/a*batch*regional")
    assert cost(PriceContext(region="eu-west-1")) == (11 * 10**11, "base:acme/a*regional")
    assert cost(PriceContext(region="Global")) == (10**12, "base:acme/a")


def test_a_price_made_for_the_context_wins_over_a_factor() -> None:
    tables = [[{"prices": {"input_tokens": 100}}], [{"prices": {"input_tokens": 40}}]]
    made = {"model": "a", "match": "a", "contexts": {"processing=batch": 1}, "tables": tables}
    past = {"model": "a", "match": "a", "source": "https://example.com", "tables": [[{"prices": {"input_tokens": 90}}]]}
    acme = book(made, overlay=(past, HALF))

    assert rates("acme", "a", PriceContext("batch"), book=acme).windows[0].token_rates[0] == 40
    assert rates("acme", "a", book=acme).windows[0].token_rates[0] == 90


def test_a_batch_before_batches_had_a_price_is_unpriced() -> None:
    acme = book(model("a", {"prices": {"input_tokens": 10**12}}), overlay=(HALF,))

    found = price("acme", "a", TOKENS, at("2024-04-14T23:59:59Z"), PriceContext("batch"), book=acme)

    assert found == unpriced("no_price", "a")


@pytest.mark.parametrize(
    ("instant", "rate"),
    [
        ("2026-09-04T05:59:59Z", 1),
        ("2026-09-04T06:00:00Z", 2),
        ("2026-09-04T09:59:59Z", 2),
        ("2026-09-04T10:00:00Z", 1),
        ("2026-09-05T08:00:00Z", 1),
        ("2026-09-06T08:00:00Z", 1),
        ("2026-09-07T08:00:00Z", 2),
    ],
)
def test_a_window_may_hold_on_some_days_of_the_week_only(instant: str, rate: int) -> None:
    """2026-09-04 is a Friday."""
    peak = {"weekdays": "mon-fri", "daily": ["06:00:00", "10:00:00"], "prices": {"input_tokens": 2 * 10**6}}
    acme = book(model("a", peak, {"prices": {"input_tokens": 10**6}}))

    found = price("acme", "a", Usage(input_uncached_tokens=1), at(instant), book=acme)

    assert found.cost_pico == rate
    assert found.price_id == ("base:acme/a~mon-fri~06:00:00" if rate == 2 else "base:acme/a")


def test_an_overlay_of_the_borrower_leaves_the_lenders_history_in_place() -> None:
    def lines(origin: str, records: tuple[Mapping[str, object], ...]) -> str:
        return "\n".join(json.dumps(record) for record in ({"generated": origin}, *records))

    borrower = {"provider": "cloud", "fallback": ["acme"]}
    base = lines("base", (borrower, {"provider": "acme"}, model("a", {"prices": {"input_tokens": 3}})))
    own = {**model("a", {"from": "2026-01-01T00:00:00Z", "prices": {"input_tokens": 1}}), "source": "https://e.com"}
    past = {**model("a", {"to": "2024-01-01T00:00:00Z", "prices": {"input_tokens": 2}}), "source": "https://e.com"}
    overlay = lines("overlay", ({"provider": "acme"}, past, {"provider": "cloud"}, own))

    windows = rates("cloud", "a", book=PriceBook(base, overlay)).windows

    assert [(window.price_id, window.token_rates[0]) for window in windows] == [
        ("overlay:cloud/a@2026-01-01", 1),
        ("overlay:acme/a", 2),
        ("base:acme/a", 3),
    ]
