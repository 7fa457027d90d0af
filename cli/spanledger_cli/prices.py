"""`spanledger prices`: the price book, which is list prices alone: contracts have a command of their own.

Prices are shown a million tokens and a unit, as providers publish them, and exact: they are texts in JSON.
"""

from __future__ import annotations

import csv
import json
import sys
import time
from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Final

import click

from spanledger import base_file
from spanledger.book import BASE, PriceBook, shipped_text
from spanledger.rates import PriceContext, Window, list_rates
from spanledger.settings import load
from spanledger_analytics.price_windows import charged, charged_at, in_words, instant_of, prices, when

from . import base_update, price_changes
from .aligned import write_table
from .in_force import book_as_set

EXIT_UNKNOWN: Final = 3
_DAY: Final = click.DateTime(["%Y-%m-%d", "%Y-%m-%dT%H:%M:%SZ"])

Row = dict[str, str]


@click.group("prices")
def command() -> None:
    """Look at the price book, and renew it: what a model costs, when, and where that stands.

    \b
    Examples:
      spanledger prices list --provider anthropic --at 2025-06-01
      spanledger prices explain deepseek deepseek-v4-pro \\
          --at 2026-11-20T08:00:00Z
      spanledger prices diff --from 2024-06-01 --to 2024-12-01 --provider openai
      pip install -U genai-prices && spanledger prices update --dry-run
    """


@command.command("list")
@click.option("--provider", help="Only this provider, by any of its names.")
@click.option("--model", help="Only models whose name has this text in it.")
@click.option("--at", type=_DAY, help="Only what holds then (UTC).")
@click.option("--format", "form", type=click.Choice(("table", "csv", "json")), default="table")
def list_prices(provider: str | None, model: str | None, at: datetime | None, form: str) -> None:
    """List the plain prices: a line a model, period and tier."""
    book = book_as_set(load())
    wanted = _provider_id(book, provider)
    rows = []
    for name, found in dict.fromkeys(book.names()):
        if (wanted is None or name == wanted) and (model is None or model.lower() in found.lower()):
            windows = list_rates(book, name, found).windows
            shown = charged_at(windows, instant_of(at)) if at else charged(windows)
            rows += [_row(name, window) for window in shown]
    _write(rows, form)


def _provider_id(book: PriceBook, name: str | None) -> str | None:
    known = book.provider_id(name) if name else None
    if name and known is None:
        raise click.UsageError(f"the book has no provider {name}; see: spanledger prices list")
    return known


@command.command()
@click.argument("provider")
@click.argument("model")
@click.option("--at", type=_DAY, help="When (UTC); default: now.")
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
    at_ns = instant_of(at) if at else time.time_ns()
    found = list_rates(book_as_set(load()), provider, model, PriceContext(processing, service_tier, speed, region))
    windows = [_explained(window, at_ns) for window in found.windows]
    answer = {"provider": provider, "model": model, "matched_model": found.matched_model}
    click.echo(json.dumps({**answer, "unpriced_reason": found.unpriced_reason, "windows": windows}, indent=2))
    if not windows:
        sys.exit(EXIT_UNKNOWN)


@command.command()
@click.argument("files", nargs=-1, metavar="[OLD NEW]", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--from", "first", type=_DAY, help="Compare what is charged then (UTC) ...")
@click.option("--to", "second", type=_DAY, help="... with what is charged then; default: now.")
@click.option("--overlay", is_flag=True, help="Compare the base with what the overlay says otherwise.")
@click.option("--provider", help="Only this provider, by any of its names.")
@click.option("--model", help="Only models whose name has this text in it.")
@click.option("--format", "form", type=click.Choice(("table", "json")), default="table")
def diff(
    files: tuple[Path, ...],
    first: datetime | None,
    second: datetime | None,
    overlay: bool,
    provider: str | None,
    model: str | None,
    form: str,
) -> None:
    """Show which prices differ, a row a meter: dollars a million tokens, or with $ a unit.

    \b
    What is compared:
      spanledger prices diff                        your base with the shipped one
      spanledger prices diff old.jsonl new.jsonl    two files
      spanledger prices diff --from 2026-06-01      that day with today
      spanledger prices diff --overlay              the base with the overlay

    Between two days it is what calls without context cost, by the overlay and the base together; else every price
    of the files, those for batches and tiers of service among them.
    """
    asked = [bool(files), first is not None or second is not None, overlay]
    if sum(asked) > 1 or len(files) == 1 or (second is not None and first is None):
        raise click.UsageError("give two files, or --from and --to, or --overlay, or nothing of these")
    book = book_as_set(load())
    rows = list(_differences(book, files, first, second, overlay))
    wanted = _provider_id(book, provider)
    rows = [
        row
        for row in rows
        if (wanted is None or row["provider"] == wanted) and (model is None or model.lower() in row["model"].lower())
    ]
    if form == "json":
        click.echo(json.dumps(rows, ensure_ascii=False, indent=2))
    elif rows:
        click.echo("\n".join(price_changes.table(rows)))
    if not rows:
        click.echo("spanledger: no price differs", err=True)


def _differences(
    book: PriceBook, files: tuple[Path, ...], first: datetime | None, second: datetime | None, overlay: bool
) -> Iterable[Row]:
    if files:
        return price_changes.between_books(*(base_update.read_draft(path).book for path in files))
    if first is not None:
        second_ns = instant_of(second) if second else time.time_ns()
        return price_changes.between_days(book, instant_of(first), second_ns)
    shipped = shipped_text(BASE)
    path = base_file.named(load())
    if overlay:
        return price_changes.overlaid(PriceBook(base_file.read_base(path)[1] if path else shipped, ""), book)
    if path is None:
        click.echo("spanledger: there is no base of yours; spanledger prices update makes one", err=True)
        return []
    return price_changes.between_books(PriceBook(shipped, ""), PriceBook(base_file.read_base(path)[1], ""))


@command.command()
@click.option(
    "--from",
    "source",
    type=click.Path(exists=True, path_type=Path),
    help="A genai-prices (folder, wheel or environment) or a base made elsewhere (.jsonl); default: what is installed.",
)
@click.option("--dry-run", is_flag=True, help="Show what would change, and change nothing.")
@click.option("--force", is_flag=True, help="Put it in force though it is older than, or lacks, what is there.")
@click.option("--reset", is_flag=True, help="Go back to the shipped base.")
def update(source: Path | None, *, dry_run: bool, force: bool, reset: bool) -> None:
    """Put the prices of a newer genai-prices in force, and show what changes: a row a meter, then counts by provider.

    \b
    Examples:
      pip install -U genai-prices
      spanledger prices update --dry-run
      spanledger prices update
      spanledger prices update --from other-venv
      spanledger prices update --reset

    They are written into the home folder (or the file of SPANLEDGER_PRICES), in place of the shipped base; the overlay
    and your contract still win over them. Programs read the file when they start, a collector whenever it changes. A
    base that is older than the one in force, or lacks models or dates of the shipped one, is refused.

    Exit codes: 0 done or nothing to do, 1 refused.
    """
    settings = load()
    path = base_file.place(settings)
    if reset:
        _reset(path, source is not None or force, dry_run)
        return
    draft = base_update.make(source)
    header, now = _base_in_force(path)
    changes = _show_changes(draft.header.library, header.library, now, draft.book)
    refused = list(base_update.objections(draft, header))
    for reason in refused:
        click.echo(f"spanledger: {reason}", err=True)
    if refused and not force:
        raise base_update.UpdateError("not put in force; give --force if that is what you want")
    if dry_run or (not changes and not refused):
        click.echo(f"spanledger: {'nothing is written' if changes else 'nothing to do'}", err=True)
        return
    base_file.write_base(path, replace(draft.header, forced=bool(refused)), draft.lines)
    click.echo(f"spanledger: wrote {path}", err=True)
    click.echo(f"spanledger: {_NEXT}", err=True)


_COUNTS: Final = ("provider", "new", "changed", "gone")
_NEXT: Final = "what is booked already keeps its price; see what would change by: spanledger reprice --dry-run"


def _base_in_force(path: Path) -> tuple[base_file.Header, PriceBook]:
    """Return the base that counts now: the user's, where it can be used."""
    try:
        header, text = base_file.read_base(path)
    except base_file.BaseFileError as error:
        if path.exists():
            click.echo(f"spanledger: {error}", err=True)
        header, text = base_file.shipped_header(), shipped_text(BASE)
    return header, PriceBook(text, "")


def _show_changes(new: str, old: str, before: PriceBook, after: PriceBook) -> bool:
    """Print what changes; say whether anything does."""
    rows = list(price_changes.between_books(before, after))
    if rows:
        click.echo("\n".join(price_changes.table(rows)))
        click.echo()
        click.echo("\n".join(write_table(price_changes.summary(rows, before, after), _COUNTS, _COUNTS)))
    models = len({(row["provider"], row["model"]) for row in rows})
    click.echo(f"spanledger: from {old} to {new}: prices of {models:,} models differ", err=True)
    return bool(rows)


def _reset(path: Path, more: bool, dry_run: bool) -> None:
    if more:
        raise click.UsageError("--reset goes with --dry-run only")
    if not path.exists():
        click.echo(f"spanledger: there is no {path}; the shipped base is in force", err=True)
        return
    header, now = _base_in_force(path)
    _show_changes(base_file.shipped_header().library, header.library, now, PriceBook(shipped_text(BASE), ""))
    if not dry_run:
        path.unlink()
        click.echo(f"spanledger: removed {path}", err=True)
        click.echo(f"spanledger: {_NEXT}", err=True)


def _row(provider: str, window: Window) -> Row:
    shown = prices(window)
    return {
        "provider": provider,
        "model": window.matched_model,
        "price_id": window.price_id,
        **when(window),
        "prices": "free" if window.free else " ".join(f"{meter}={price}" for meter, price in shown.items()),
        "source": window.source or "",
    }


def _explained(window: Window, at_ns: int) -> dict[str, object]:
    holds = any(window.holds(at_ns, total) for total in (max(window.above, 0) + 1, window.above + 1))
    factors = [{"name": one.name, "factor": f"{one.factor:f}", "source": one.source} for one in window.multipliers]
    return {"price_id": window.price_id, "holds": holds, **when(window)} | {
        "prices": prices(window),
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
            told = in_words(row)
            click.echo(f"{row['provider']}/{row['model']}  {told + '  ' if told else ''}{row['prices']}")
