"""Flatten genai-prices and our overlay into the two price files that ship with `spanledger` (`make prices`).

The dated rows are got by asking the library at every corner (date, time of day, context, tier), not by reading its
rules: what it answers is what is stored, and the library is not needed at run time. Rounding happens once, here:
a price is a whole number of atto-dollars (1e-18 USD) per unit, half up.
"""

from __future__ import annotations

import argparse
import itertools
import json
import sys
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from decimal import ROUND_HALF_UP, Decimal
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

from genai_prices import types
from genai_prices.data import providers
from genai_prices.units import UnitDef, _get_registry

ROOT: Final = Path(__file__).parents[1]
BASE: Final = ROOT / "instrumentation/spanledger/prices_base.jsonl"
OVERLAY: Final = ROOT / "instrumentation/spanledger/prices_overlay.jsonl"
OVERLAY_SOURCE: Final = ROOT / "tools/prices_overlay.toml"

OUR_NAMES: Final = {
    "cache_audio_read_tokens": "cache_read_audio_tokens",
    "cache_image_read_tokens": "cache_read_image_tokens",
    "output_reasoning_tokens": "reasoning_tokens",
}
"""Units that the library names otherwise; every other unit keeps its name."""

Row = dict[str, Any]
Json = dict[str, Any]
DAY_S: Final = 86_400


def main(arguments: Sequence[str] | None = None) -> None:
    """Write both files; with --into, elsewhere."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--into", type=Path, default=BASE.parent, help="folder to write to")
    into: Path = parser.parse_args(arguments).into
    (into / BASE.name).write_text(_lines(base_records()), "utf-8")
    (into / OVERLAY.name).write_text(_lines(overlay_records(OVERLAY_SOURCE)), "utf-8")
    print(f"wrote {into / BASE.name} and {into / OVERLAY.name}", file=sys.stderr)


def base_records() -> Iterator[Json]:
    """Yield the header, then each provider followed by its models in matching order."""
    yield _header(f"genai-prices {version('genai-prices')}")
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


def overlay_records(source: Path) -> Iterator[Json]:
    """Yield the overlay in the same shape, from TOML that a person writes (see the head of that file)."""
    yield _header(source.name)
    book = tomllib.loads(source.read_text("utf-8"), parse_float=Decimal)
    records = [(str(entry["provider"]), _overlay_record(entry)) for entry in book.get("model", [])]
    records += [(str(entry["provider"]), _multiplier_record(entry)) for entry in book.get("multiplier", [])]
    records += [(str(entry["provider"]), _fee_record(entry)) for entry in book.get("fee", [])]
    records.sort(key=lambda pair: pair[0])
    for provider, entries in itertools.groupby(records, key=lambda pair: pair[0]):
        yield {"provider": provider}
        yield from (record for _, record in entries)


def _header(origin: str) -> Json:
    return {"generated": f"by tools/flatten_prices.py (make prices) from {origin}; do not edit", "format": 1}


def _lines(records: Iterator[Json]) -> str:
    return "".join(json.dumps(record, separators=(",", ":"), ensure_ascii=False) + "\n" for record in records)


# The base book


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
        row["prices"] = {_name(unit): _atto(_at(value, inside), unit.per) for unit, value in priced}
        rows.append(row)
    return rows


def _at(value: Decimal | types.TieredPrices, total_input: int) -> Decimal:
    if isinstance(value, Decimal):
        return value
    return next((tier.price for tier in reversed(value.tiers) if total_input > tier.start), value.base)


def _atto(price: Decimal, per: int) -> int:
    return int((price * 10**18 / per).to_integral_value(ROUND_HALF_UP))


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


# The overlay

_PRICE_TABLES: Final = ("usd_per_million", "usd_per_unit")


def _check_source(entry: Mapping[str, Any], name: str) -> None:
    if not str(entry.get("source", "")).startswith("https://") or "checked" not in entry:
        raise SystemExit(f"overlay {entry['provider']}/{name}: needs `source` (https) and `checked` (a date)")


def _multiplier_record(entry: Mapping[str, Any]) -> Json:
    _check_source(entry, entry["name"])
    if len(entry["context"]) != 1:
        raise SystemExit(f"overlay {entry['provider']}/{entry['name']}: a multiplier is about one key of the context")
    record: Json = {"multiplier": entry["name"]}
    record |= {key: _written(entry[key]) for key in ("match", "context", "from", "to", "except") if key in entry}
    return record | {"factor": str(Decimal(entry["factor"])), "source": entry["source"]}


def _fee_record(entry: Mapping[str, Any]) -> Json:
    _check_source(entry, entry["unit"])
    return {"fee": entry["unit"], "price": _atto(Decimal(entry["usd"]), 1), "source": entry["source"]}


def _overlay_record(entry: Mapping[str, Any]) -> Json:
    _check_source(entry, entry["model"])
    contexts: dict[str, int] = {"": 0}
    tables: list[list[Row]] = [[]]
    for row in entry["row"]:
        name = "&".join(f"{key}={value}" for key, value in sorted(row.get("context", {}).items()))
        index = contexts.setdefault(name, len(contexts))
        tables += [[]] * (index == len(tables))
        tables[index] = [*tables[index], _overlay_row(row)]
    del contexts[""]
    record: Json = {"model": entry["model"], "match": entry.get("match", entry["model"]), "source": entry["source"]}
    record |= {"minimums": entry["minimums"]} if "minimums" in entry else {}
    return record | ({"contexts": contexts} if contexts else {}) | {"tables": tables}


def _overlay_row(row: Mapping[str, Any]) -> Row:
    kept: Row = {
        key: _written(row[key]) for key in ("from", "to", "weekdays", "daily", "above", "up_to", "free") if key in row
    }
    per_million = {f"{key}": _atto(Decimal(value), 10**6) for key, value in row.get("usd_per_million", {}).items()}
    per_unit = {f"{key}": _atto(Decimal(value), 1) for key, value in row.get("usd_per_unit", {}).items()}
    unknown = row.keys() - {"from", "to", "weekdays", "daily", "above", "up_to", "free", "context", *_PRICE_TABLES}
    if unknown:
        raise SystemExit(f"overlay row {dict(row)}: unknown key {min(unknown)}")
    return kept | {"prices": per_million | per_unit}


def _written(value: object) -> object:
    return value.isoformat().replace("+00:00", "Z") if isinstance(value, datetime) else value


if __name__ == "__main__":
    main()
