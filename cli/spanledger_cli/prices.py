"""`spanledger prices`: look at the price book, which is list prices alone: contracts have a command of their own.

Prices are shown a million tokens and a unit, as providers publish them, and exact: they are texts in JSON.
"""

from __future__ import annotations

import csv
import json
import sys
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import click

from spanledger.book import PriceBook, shipped_book
from spanledger.instants import DAY_NS, END_OF_TIME, EVERY_DAY
from spanledger.rates import TOKEN_METERS, PriceContext, Window, list_rates

EXIT_UNKNOWN: Final = 3
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_DAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")

Row = dict[str, str]


@click.group("prices")
def command() -> None:
    """Look at the price book: what a model costs, when, and where that stands.

    \b
    Examples:
      spanledger prices list --provider anthropic --at 2025-06-01
      spanledger prices explain deepseek deepseek-v4-pro \\
          --at 2026-11-20T08:00:00Z
      spanledger prices diff old/prices_base.jsonl new/prices_base.jsonl
    """


@command.command("list")
@click.option("--provider", help="Only this provider, by any of its names.")
@click.option("--model", help="Only models whose name has this text in it.")
@click.option("--at", type=click.DateTime(["%Y-%m-%d", "%Y-%m-%dT%H:%M:%SZ"]), help="Only what holds then (UTC).")
@click.option("--format", "form", type=click.Choice(("table", "csv", "json")), default="table")
def list_prices(provider: str | None, model: str | None, at: datetime | None, form: str) -> None:
    """List the plain prices: a line a model, period and tier."""
    book = shipped_book()
    wanted = book.provider_id(provider) if provider else None
    if provider and wanted is None:
        raise click.UsageError(f"the book has no provider {provider}; see: spanledger prices list")
    at_ns = _ns(at) if at else None
    rows = [
        _row(name, window)
        for name, found in _named(book)
        if (wanted is None or name == wanted) and (model is None or model.lower() in found.lower())
        for window in _reachable(list_rates(book, name, found).windows)
        if at_ns is None or window.from_ns <= at_ns < window.to_ns
    ]
    _write(rows, form)


@command.command()
@click.argument("provider")
@click.argument("model")
@click.option("--at", type=click.DateTime(["%Y-%m-%d", "%Y-%m-%dT%H:%M:%SZ"]), help="When (UTC); default: now.")
@click.option("--processing", help="batch.")
@click.option("--service-tier", help="flex, priority, ...")
@click.option("--speed", help="fast.")
@click.option("--region", help="As the provider names it.")
def explain(
    provider: str,
    model: str,
    at: datetime | None,
    processing: str | None,
    service_tier: str | None,
    speed: str | None,
    region: str | None,
) -> None:
    """Show as JSON what MODEL is matched with and every window of its prices; `holds` marks those of the moment."""
    at_ns = _ns(at) if at else time.time_ns()
    found = list_rates(shipped_book(), provider, model, PriceContext(processing, service_tier, speed, region))
    windows = [_explained(window, at_ns) for window in found.windows]
    answer = {"provider": provider, "model": model, "matched_model": found.matched_model}
    click.echo(json.dumps({**answer, "unpriced_reason": found.unpriced_reason, "windows": windows}, indent=2))
    if not windows:
        sys.exit(EXIT_UNKNOWN)


@command.command()
@click.argument("old", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.argument("new", type=click.Path(exists=True, dir_okay=False, path_type=Path))
def diff(old: Path, new: Path) -> None:
    """Show what differs between the plain prices of two files of the book: a line a price, - old and + new."""
    before, after = (_lines(PriceBook(path.read_text("utf-8"), "")) for path in (old, new))
    for name in [*before, *(name for name in after if name not in before)]:
        gone = [line for line in before.get(name, ()) if line not in after.get(name, ())]
        come = [line for line in after.get(name, ()) if line not in before.get(name, ())]
        for sign, lines in (("-", gone), ("+", come)):
            for line in lines:
                click.echo(f"{sign} {name}: {line}")


def _named(book: PriceBook) -> Iterator[tuple[str, str]]:
    """Yield each (provider, model) once."""
    yield from dict.fromkeys(book.names())


def _reachable(windows: Sequence[Window]) -> list[Window]:
    """Leave out windows with the same bounds as an earlier one, which is the one charged."""
    first: dict[tuple[int, ...], Window] = {}
    for one in windows:
        clock = one.daily_from_ns, one.daily_to_ns, one.weekdays
        first.setdefault((one.from_ns, one.to_ns, *clock, one.above, one.up_to), one)
    return list(first.values())


def _lines(book: PriceBook) -> dict[str, list[str]]:
    return {
        f"{provider}/{model}": [_in_words(window) for window in _reachable(list_rates(book, provider, model).windows)]
        for provider, model in _named(book)
    }


def _in_words(window: Window) -> str:
    row = _row("", window)
    return " ".join(f"{key}={value}" for key, value in row.items() if value and key not in ("provider", "price_id"))


def _row(provider: str, window: Window) -> Row:
    prices = _prices(window)
    return {
        "provider": provider,
        "model": window.matched_model,
        "price_id": window.price_id,
        **_when(window),
        "prices": "free" if window.free else " ".join(f"{meter}={price}" for meter, price in prices.items()),
        "source": window.source or "",
    }


def _when(window: Window) -> Row:
    days = [day for number, day in enumerate(_DAYS) if window.weekdays >> number & 1]
    whole = (window.daily_from_ns, window.daily_to_ns) == (0, DAY_NS)
    return {
        "from": "" if window.from_ns <= -END_OF_TIME else _moment(window.from_ns),
        "to": "" if window.to_ns >= END_OF_TIME else _moment(window.to_ns),
        "days": "" if window.weekdays == EVERY_DAY else ",".join(days),
        "hours": "" if whole else f"{_clock(window.daily_from_ns)}-{_clock(window.daily_to_ns)}",
        "input": (f">{window.above}" if window.above >= 0 else "")
        + (f"<={window.up_to}" if window.up_to < END_OF_TIME else ""),
    }


def _prices(window: Window) -> Row:
    """Return dollars a million tokens and a unit, without meters that cost what an earlier one of their kind does."""
    shown: Row = {}
    kinds: dict[str, set[int]] = {"input": set(), "output": set()}
    for meter, rate in zip(TOKEN_METERS, window.token_rates, strict=True):
        kind = kinds["output" if meter.startswith(("output", "reasoning")) else "input"]
        if rate is not None and rate not in kind:
            kind.add(rate)
            shown[meter] = _dollars(rate * 10**6)
    fees = {unit: rate for unit, rate in window.unit_rates.items() if not unit.endswith("_tokens")}
    if window.request_rate:
        fees["requests"] = window.request_rate
    return shown | {unit: f"${_dollars(rate)}" for unit, rate in fees.items()}


def _explained(window: Window, at_ns: int) -> dict[str, object]:
    in_force = any(window.holds(at_ns, total) for total in (max(window.above, 0) + 1, window.above + 1))
    factors = [{"name": one.name, "factor": f"{one.factor:f}", "source": one.source} for one in window.multipliers]
    return {"price_id": window.price_id, "holds": in_force, **_when(window)} | {
        "prices": _prices(window),
        "source": window.source,
        "multipliers": factors,
    }


def _write(rows: list[Row], form: str) -> None:
    if form == "json":
        click.echo(json.dumps(rows, ensure_ascii=False, indent=2))
    elif form == "csv":
        writer = csv.DictWriter(sys.stdout, rows[0] if rows else ["provider"], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    else:
        for row in rows:
            when = " ".join(filter(None, (f"{key} {row[key]}" if row[key] else "" for key in _WHEN)))
            click.echo(f"{row['provider']}/{row['model']}  {when + '  ' if when else ''}{row['prices']}")


_WHEN: Final = ("from", "to", "days", "hours", "input")


def _dollars(atto: int) -> str:
    whole, rest = divmod(atto, 10**18)
    return f"{whole}.{rest:018}".rstrip("0").rstrip(".")


def _moment(at_ns: int) -> str:
    return (_EPOCH + timedelta(microseconds=at_ns // 1000)).isoformat().replace("+00:00", "Z")


def _clock(day_ns: int) -> str:
    minutes = day_ns // (60 * 10**9)
    return f"{minutes // 60:02}:{minutes % 60:02}"


def _ns(at: datetime) -> int:
    return (at.replace(tzinfo=UTC) - _EPOCH) // timedelta(microseconds=1) * 1000
