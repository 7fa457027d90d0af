"""Flatten genai-prices, the library that the base of the price book comes from, into dated rows of whole numbers.

The rows are got by asking the library at every corner (date, time of day, context, tier), not by reading its rules:
what it answers is what is stored, and the library is not needed at run time. Rounding happens once, here: a price is
a whole number of atto-dollars (1e-18 USD) per unit, half up. `python -m spanledger_cli.flatten` writes the base for
`spanledger prices update`, in a process of its own, so that the library may come from anywhere.
"""

from __future__ import annotations

import itertools
import json
import sys
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, date, datetime, time, timedelta
from decimal import ROUND_HALF_UP, Decimal
from importlib.metadata import distributions
from pathlib import Path
from typing import Any, Final

import genai_prices
from genai_prices import types
from genai_prices.data import providers
from genai_prices.units import UnitDef, _get_registry

from spanledger.base_file import FORMAT

OUR_NAMES: Final = {
    "cache_audio_read_tokens": "cache_read_audio_tokens",
    "cache_image_read_tokens": "cache_read_image_tokens",
    "output_reasoning_tokens": "reasoning_tokens",
}
"""Units that the library names otherwise; every other unit keeps its name."""

Row = dict[str, Any]
Json = dict[str, Any]
DAY_S: Final = 86_400


def library() -> str:
    """Return the library's name and version: of the one that is read here, which need not be the one installed."""
    folder = str(Path(str(genai_prices.__file__)).parents[1])
    found = next(iter(distributions(name="genai-prices", path=[folder])), None)
    return f"genai-prices {found.version if found else 'of an unknown version'}"


def base_records() -> Iterator[Json]:
    """Yield each provider followed by its models in matching order."""
    for provider in providers:
        head = {
            "provider": provider.id,
            "match": provider.provider_match and _clause(provider.provider_match),
            "guess": provider.model_match and _clause(provider.model_match),
            "fallback": provider.fallback_model_providers,
            "sources": provider.pricing_urls,
        }
        yield {key: value for key, value in head.items() if value}
        for model in provider.models:
            yield _model_record(provider, model)


def header(origin: str, **more: str) -> Json:
    """Return the first line of a file that ships."""
    return {
        "generated": f"by tools/flatten_prices.py (make prices) from {origin}; do not edit",
        **more,
        "format": FORMAT,
    }


def lines(records: Iterable[Json]) -> str:
    """Write a record a line."""
    return "".join(json.dumps(record, separators=(",", ":"), ensure_ascii=False) + "\n" for record in records)


def atto(price: Decimal, per: int) -> int:
    """Return a price for `per` units as whole atto-dollars a unit, half up."""
    return int((price * 10**18 / per).to_integral_value(ROUND_HALF_UP))


# One model


def _model_record(provider: types.Provider, model: types.ModelInfo) -> Json:
    record: Json = {"model": model.id, "match": _clause(model.match)}
    tables = [_table(model, {})]
    contexts: dict[str, int] = {}
    for context in _contexts(model):
        table = _table(model, context)
        if table not in tables:
            tables.append(table)
        if tables.index(table):
            contexts["&".join(f"{key}={value}" for key, value in sorted(context.items()))] = tables.index(table)
    minimums = _minimums(provider, model)
    if minimums:
        record["minimums"] = minimums
    if contexts:
        record["contexts"] = contexts
    record["tables"] = tables
    return record


def _contexts(model: types.ModelInfo) -> Iterator[dict[str, str]]:
    """Yield every combination of the context values that the model knows, the empty one left out."""
    known: dict[str, list[str]] = {}
    for variant in model.price_variants or ():
        for key, value in variant.when.items():
            if value != value.strip().lower():
                raise SystemExit(f"{model.id}: context {key}={value} is not in lower case; look-ups are")
            known.setdefault(key, [])
            if value not in known[key]:
                known[key].append(value)
    choices = [[None, *values] for values in known.values()]
    for values in itertools.product(*choices):
        context = {key: value for key, value in zip(known, values, strict=True) if value is not None}
        if context:
            yield context


def _table(model: types.ModelInfo, context: Mapping[str, str]) -> list[Row]:
    """Ask the library inside every interval between two edges; join neighbours that agree."""
    dates, times = _edges(model)
    spans: list[tuple[date | None, date | None, list[Row]]] = []
    for start, end in itertools.pairwise([None, *dates, None]):
        day_inside = start or (end - timedelta(days=1) if end else date(2026, 1, 1))
        day = _day_rows(model, context, day_inside, times)
        if spans and spans[-1][2] == day:
            spans[-1] = (spans[-1][0], end, day)
        else:
            spans.append((start, end, day))
    return [
        ({"from": _instant(start)} if start else {}) | ({"to": _instant(end)} if end else {}) | row
        for start, end, day in spans
        for row in day
    ]


def _edges(model: types.ModelInfo) -> tuple[list[date], list[int]]:
    constraints = [price.constraint for price in model.prices] if isinstance(model.prices, list) else []
    constraints += [variant.constraint for variant in model.price_variants or ()]
    dates = {edge.start_date for edge in constraints if isinstance(edge, types.StartDateConstraint)}
    times = {0, DAY_S}
    for edge in constraints:
        if isinstance(edge, types.TimeOfDateConstraint):
            times |= {_second_of_day(edge.start_time), _second_of_day(edge.end_time)}
    return sorted(dates), sorted(times)


def _second_of_day(value: time) -> int:
    if value.tzinfo not in (None, UTC) or value.microsecond:
        raise SystemExit(f"time of day {value} is not a whole second in UTC")
    return value.hour * 3600 + value.minute * 60 + value.second


def _day_rows(model: types.ModelInfo, context: Mapping[str, str], day: date, times: list[int]) -> list[Row]:
    spans: list[tuple[int, int, list[Row]]] = []
    for start, end in itertools.pairwise(times):
        instant = datetime(day.year, day.month, day.day, tzinfo=UTC) + timedelta(seconds=start)
        tiers = _tier_rows(model, model.get_prices(instant, context))
        if spans and spans[-1][2] == tiers:
            spans[-1] = (spans[-1][0], end, tiers)
        else:
            spans.append((start, end, tiers))
    return [
        ({"daily": [_clock(start), _clock(end)]} if (start, end) != (0, DAY_S) else {}) | row
        for start, end, tiers in spans
        for row in tiers
    ]


def _tier_rows(model: types.ModelInfo, prices: types.ModelPrice) -> list[Row]:
    registry = _get_registry()
    priced = [(registry.unit_for_price_key(key), value) for key, value in prices.__dict__.items() if value is not None]
    if not priced:
        return [{"free": True, "prices": {}}] if _is_free(model) else [{"prices": {}}]
    tiered = [value for _, value in priced if isinstance(value, types.TieredPrices)]
    starts = sorted({tier.start for value in tiered for tier in value.tiers})
    rows: list[Row] = []
    for above, up_to in itertools.pairwise([None, *starts, None]):
        inside = above + 1 if above is not None else 0
        row: Row = {"above": above} if above is not None else {}
        row |= {"up_to": up_to} if up_to is not None else {}
        row["prices"] = {_name(unit): atto(_at(value, inside), unit.per) for unit, value in priced}
        rows.append(row)
    return rows


def _at(value: Decimal | types.TieredPrices, total_input: int) -> Decimal:
    if isinstance(value, Decimal):
        return value
    return next((tier.price for tier in reversed(value.tiers) if total_input > tier.start), value.base)


def _name(unit: UnitDef) -> str:
    # An inherited text price would need an ancestor of its own in spanledger.pricing.
    if unit.dimensions.get("modality") == "text" and unit.dimensions["family"] == "tokens":
        raise SystemExit(f"the library now prices {unit.usage_key}: teach spanledger.pricing the unit first")
    return OUR_NAMES.get(unit.usage_key, unit.usage_key)


def _is_free(model: types.ModelInfo) -> bool:
    """Tell an empty price that means free from one that means nobody knows: only words in the data say so."""
    words = f"{model.price_comments or ''} {model.description or ''}".lower()
    return ":free" in str(model.match) or "free of charge" in words or "included in the subscription" in words


def _minimums(provider: types.Provider, model: types.ModelInfo) -> dict[str, int]:
    """Find what a single second is billed as (the library holds such minimums in code)."""
    prices = model.get_prices(datetime(2026, 1, 1, tzinfo=UTC))
    rate = getattr(prices, "audio_hours", None)
    if rate is None or not rate:
        return {}
    usage = types.Usage(audio_seconds=1)
    if prices.input_audio_hours is not None:
        usage = types.Usage(audio_seconds=1, input_audio_seconds=1)
    billed = model.calc_price(usage, provider).total_price * 3600 / rate
    seconds = int(billed.to_integral_value())
    return {"audio_seconds": seconds, "input_audio_seconds": seconds} if seconds != 1 else {}


def _clause(clause: types.MatchLogic) -> object:
    """Write a match rule: text is equality, a list is any of, the rest an object of one key."""
    match clause:
        case types.ClauseEquals(text):
            return text.lower()
        case types.ClauseOr(clauses):
            return [_clause(inner) for inner in clauses]
        case types.ClauseAnd(clauses):
            return {"all": [_clause(inner) for inner in clauses]}
        case types.ClauseStartsWith(text):
            return {"starts_with": text.lower()}
        case types.ClauseEndsWith(text):
            return {"ends_with": text.lower()}
        case types.ClauseContains(text):
            return {"contains": text.lower()}
        case types.ClauseRegex(pattern):
            return {"regex": pattern}


def _instant(day: date) -> str:
    return f"{day.isoformat()}T00:00:00Z"


def _clock(second: int) -> str:
    return f"{second // 3600:02}:{second // 60 % 60:02}:{second % 60:02}"


if __name__ == "__main__":
    sys.stdout.reconfigure(encoding="utf-8")  # type: ignore[union-attr]
    sys.stdout.write(lines([{"library": library(), "format": FORMAT}, *base_records()]))
