"""Make the two price files that ship: the base from genai-prices, and the overlay of ours (`make prices`).

How the library is flattened stands in `spanledger_cli.flatten`, which makes a user's own base just the same.
"""

from __future__ import annotations

import argparse
import itertools
import sys
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

from spanledger_cli.flatten import Json, Row, atto, base_records, header, library, lines

ROOT: Final = Path(__file__).parents[1]
BASE: Final = ROOT / "instrumentation/spanledger/prices_base.jsonl"
OVERLAY: Final = ROOT / "instrumentation/spanledger/prices_overlay.jsonl"
OVERLAY_SOURCE: Final = ROOT / "tools/prices_overlay.toml"


def main(arguments: Sequence[str] | None = None) -> None:
    """Write both files; with --into, elsewhere."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--into", type=Path, default=BASE.parent, help="folder to write to")
    into: Path = parser.parse_args(arguments).into
    base = [header(library(), library=library()), *base_records()]
    (into / BASE.name).write_text(lines(base), "utf-8")
    (into / OVERLAY.name).write_text(lines(overlay_records(OVERLAY_SOURCE)), "utf-8")
    print(f"wrote {into / BASE.name} and {into / OVERLAY.name}", file=sys.stderr)


def overlay_records(source: Path) -> Iterator[Json]:
    """Yield the overlay in the same shape, from TOML that a person writes (see the head of that file)."""
    yield header(source.name)
    book = tomllib.loads(source.read_text("utf-8"), parse_float=Decimal)
    records = [(str(entry["provider"]), _overlay_record(entry)) for entry in book.get("model", [])]
    records += [(str(entry["provider"]), _multiplier_record(entry)) for entry in book.get("multiplier", [])]
    records += [(str(entry["provider"]), _fee_record(entry)) for entry in book.get("fee", [])]
    records.sort(key=lambda pair: pair[0])
    for provider, entries in itertools.groupby(records, key=lambda pair: pair[0]):
        yield {"provider": provider}
        yield from (record for _, record in entries)


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
    return {"fee": entry["unit"], "price": atto(Decimal(entry["usd"]), 1), "source": entry["source"]}


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
    per_million = {f"{key}": atto(Decimal(value), 10**6) for key, value in row.get("usd_per_million", {}).items()}
    per_unit = {f"{key}": atto(Decimal(value), 1) for key, value in row.get("usd_per_unit", {}).items()}
    unknown = row.keys() - {"from", "to", "weekdays", "daily", "above", "up_to", "free", "context", *_PRICE_TABLES}
    if unknown:
        raise SystemExit(f"overlay row {dict(row)}: unknown key {min(unknown)}")
    return kept | {"prices": per_million | per_unit}


def _written(value: object) -> object:
    return value.isoformat().replace("+00:00", "Z") if isinstance(value, datetime) else value


if __name__ == "__main__":
    main()
