"""The base book against the library it is made from; the overlay, which wins over it, is left out.

The short form looks up every third name and prices 20,000 random calls; with SPANLEDGER_PROVE set, every name and
80,000.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from importlib.metadata import version
from pathlib import Path

import pytest
from genai_prices import types
from genai_prices.data_snapshot import get_snapshot

from price_cases import Call, random_calls
from spanledger.book import PROVIDER_NAMES, PriceBook
from spanledger.pricing import Priced, price
from spanledger.usage import Usage

ROOT = Path(__file__).parents[2]
BOOK = ROOT / "instrumentation/spanledger/prices_base.jsonl"
BASE_BOOK = PriceBook(BOOK.read_text("utf-8"), "{}")
HEADER = json.loads(BOOK.read_text("utf-8").partition("\n")[0])
NAMES_APART, CALLS = (1, 80_000) if os.environ.get("SPANLEDGER_PROVE") else (3, 20_000)
LIBRARY = f"genai-prices {version('genai-prices')}"

pytestmark = pytest.mark.skipif(
    f"from {LIBRARY};" not in HEADER["generated"], reason=f"the book isn't of {LIBRARY}; run: make prices"
)


def test_the_shipped_files_are_what_the_generator_makes(tmp_path: Path) -> None:
    subprocess.run(
        [sys.executable, ROOT / "tools/flatten_prices.py", "--into", tmp_path], check=True, capture_output=True
    )

    for name in ("prices_base.jsonl", "prices_overlay.jsonl"):
        assert (tmp_path / name).read_bytes() == (BOOK.parent / name).read_bytes()


def test_every_name_that_the_library_knows_is_matched_to_the_same_model() -> None:
    names = sorted(set(_names()))
    assert len(names) > 20_000

    differences = [
        (*name, ours, theirs)
        for name in names[::NAMES_APART]
        if (ours := _found(*name)) != (theirs := _library_found(*name)) and ours is not None
    ]

    assert differences == []


def test_every_name_that_the_library_states_in_full_is_known() -> None:
    names = sorted({(provider.id, name) for provider, name in _stated_names()})
    assert len(names) > 3_000

    assert [name for name in names if _found(*name) != _library_found(*name)] == []


def _stated_names() -> Iterator[tuple[types.Provider, str]]:
    """Yield each model's id and the texts that its rule is equality with."""
    for provider in get_snapshot().providers:
        for model in provider.models:
            if model.is_match(model.id):
                yield provider, model.id
            clauses = model.match.or_ if isinstance(model.match, types.ClauseOr) else [model.match]
            yield from ((provider, clause.equals) for clause in clauses if isinstance(clause, types.ClauseEquals))


def test_random_calls_cost_what_the_library_says() -> None:
    outcomes = {"priced": 0, "no_price": 0}
    for call in random_calls(CALLS, seed=5, sharing=4, book=BASE_BOOK):
        ours = price(call.provider, call.model, call.usage, call.at_ns, call.context, book=BASE_BOOK)
        exact, priced_units = _library_price(call)
        if ours.cost_pico is None:
            assert ours.unpriced_reason == "no_price", call
            assert _plain_in_batch(call, exact) or _unpriced_meter(call.usage, priced_units), (call, priced_units)
            outcomes["no_price"] += 1
        else:
            assert abs(Decimal(ours.cost_pico) - exact.scaleb(12)) <= _tolerance(ours), (call, ours, exact)
            outcomes["priced"] += 1
    assert outcomes["priced"] > 0.5 * CALLS
    assert outcomes["no_price"] > CALLS / 200


def test_one_meter_is_rounded_half_up_from_the_librarys_exact_product() -> None:
    """A single token meter on models whose prices are whole atto-dollars: equal, with no tolerance."""
    compared = 0
    for call in random_calls(10_000, seed=6, book=BASE_BOOK):
        usage = Usage(input_uncached_tokens=call.usage.input_tokens)
        alone = Call(call.provider, call.model, usage, call.at_ns, call.context)
        ours = price(call.provider, call.model, usage, call.at_ns, call.context, book=BASE_BOOK)
        exact = _library_price(alone)[0].scaleb(12)
        if len(ours.charges) == 1 and exact == exact.quantize(Decimal("1e-6")):
            assert ours.cost_pico == int(exact.to_integral_value(ROUND_HALF_UP)), (alone, exact)
            compared += 1
    assert compared > 5_000


def _plain_in_batch(call: Call, exact: Decimal) -> bool:
    """Tell whether the library has the plain price for a batch, for want of a batch price: that one is never booked."""
    if call.context.processing != "batch":
        return False
    plain = Call(call.provider, call.model, call.usage, call.at_ns, call.context._replace(processing=None))
    return _library_price(plain)[0] == exact


def _tolerance(ours: Priced) -> Decimal:
    """Half a pico-dollar a meter, and half an atto-dollar a token for prices that aren't whole atto-dollars."""
    counted = sum((Decimal(charge.quantity) for charge in ours.charges), Decimal(0))
    return Decimal("0.5") * len(ours.charges) + counted * Decimal("0.5e-6")


def _library_price(call: Call) -> tuple[Decimal, set[str]]:
    provider, model = get_snapshot().find_provider_model(call.model, None, call.provider, None)
    at = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=call.at_ns // 1000)
    context = {
        key: value
        for key in ("processing", "service_tier", "speed", "region")
        if (value := getattr(call.context, key)) is not None
    }
    found = model.calc_price(
        _library_usage(call.usage), provider, genai_request_timestamp=at, price_context=context or None
    )
    return found.total_price, {key for key, value in found.model_price.__dict__.items() if value is not None}


def _library_usage(usage: Usage) -> types.Usage:
    units = dict(usage.units)
    if "input_audio_seconds" in units:
        units.setdefault("audio_seconds", units["input_audio_seconds"])
    return types.Usage(
        input_tokens=usage.input_tokens,
        output_tokens=usage.output_tokens,
        cache_read_tokens=usage.cache_read_tokens + usage.cache_read_audio_tokens,
        cache_write_tokens=usage.cache_write_5m_tokens + usage.cache_write_1h_tokens + usage.cache_write_12h_tokens,
        cache_write_5m_tokens=usage.cache_write_5m_tokens,
        cache_write_1h_tokens=usage.cache_write_1h_tokens,
        input_audio_tokens=usage.input_audio_tokens + usage.cache_read_audio_tokens,
        cache_audio_read_tokens=usage.cache_read_audio_tokens,
        input_image_tokens=usage.input_image_tokens,
        cache_image_read_tokens=0,
        output_reasoning_tokens=usage.reasoning_tokens,
        output_audio_tokens=usage.output_audio_tokens,
        output_image_tokens=usage.output_image_tokens,
        **units,
    )


def _unpriced_meter(usage: Usage, priced: set[str]) -> bool:
    """Tell whether a meter of the call has no price in the library, not even an ancestor's."""
    price_keys = {
        "web_searches": "web_searches_kcount",
        "storage_searches": "storage_searches_kcount",
        "input_characters": "input_mchars",
        "audio_seconds": "audio_hours",
        "input_audio_seconds": "audio_hours",
        "input_document_pages": "input_document_kpages",
    }
    used = {price_keys[unit] for unit, quantity in usage.units.items() if quantity}
    used |= {"input_mtok"} if usage.input_tokens else set()
    used |= {"output_mtok"} if usage.output_tokens else set()
    return not priced or bool(used - priced)


# Names


def _names() -> Iterator[tuple[str, str]]:
    """Yield (provider, model) for every id and every text in a match rule, and for spellings close to them."""
    chance = random.Random(3)
    aliases = ["gcp.vertex_ai", "gcp.gemini", "aws.bedrock", "mistral_ai", "azure", "litellm", "nobody"]
    for provider in get_snapshot().providers:
        for model in provider.models:
            for text in sorted({model.id, *_texts(model.match)}):
                for spelling in (text, text.upper(), f"{text}-x", f"x-{text}", f"{text}-20250807", f"us.{text}-v1:0"):
                    yield provider.id, spelling
                yield chance.choice(aliases), text
                yield "litellm", f"{provider.id}/{text}"


def _texts(clause: types.MatchLogic) -> Iterator[str]:
    match clause:
        case types.ClauseOr(clauses) | types.ClauseAnd(clauses):
            for inner in clauses:
                yield from _texts(inner)
        case types.ClauseEquals(text) | types.ClauseStartsWith(text) | types.ClauseContains(text):
            yield text.rstrip("@")
        case types.ClauseEndsWith(text) | types.ClauseRegex(text):
            yield text


def _found(provider: str, model: str) -> tuple[str, str] | None:
    found = BASE_BOOK.find(provider, model)
    return None if isinstance(found, str) else (found.entries[0].provider, found.entries[0].model)


def _library_found(provider: str, model: str) -> tuple[str, str] | None:
    """Ask the library, and where it has no answer, ask for the name without a prefix that names the provider."""
    snapshot = get_snapshot()
    try:
        _, found = snapshot.find_provider_model(model, None, PROVIDER_NAMES.get(provider, provider), None)
    except LookupError:
        head, _, rest = model.lower().partition("/")
        book_id = BASE_BOOK.provider_id
        strips = head in ("models", "publishers") or book_id(head) == book_id(provider) is not None
        return _library_found(provider, rest) if rest and strips else None
    owner = next(owner for owner in snapshot.providers if any(found is own for own in owner.models))
    return owner.id, found.id
