"""`spanledger contract`: check the file of what was agreed on with providers, and show what it says."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import fields
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Final

import click

from spanledger.contract import Contract, Scope, named
from spanledger.contract_file import read_contract
from spanledger.settings import load

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_ALWAYS: Final = Scope("*")
_NO_FILE: Final = (
    "spanledger: there is no contract; write contract.toml into {home}, or name a file by SPANLEDGER_CONTRACT "
    "(docs/contracts.md has all entries)"
)


@click.group("contract")
def command() -> None:
    """Check and show the contract: your prices, discounts, deployments, hardware and fees.

    FILE is the one of the settings where it is left out: SPANLEDGER_CONTRACT, else contract.toml in the home folder.

    \b
    Examples:
      spanledger contract check
      spanledger contract show ours.toml
      spanledger price openai gpt-4o --contract ours.toml \\
          --usage '{"input_tokens": 5000}'
    """


@command.command("check")
@click.argument("file", required=False, type=click.Path(path_type=Path))
def check(file: Path | None) -> None:
    """Say whether FILE can be used; where it can't, the line and the key. Exit codes: 0 it can, 1 it can't."""
    read = _read(file)
    if read is not None:
        counts = ", ".join(f"{len(listed)} {kind}" for kind, listed in _listed(read).items() if listed)
        click.echo(f"{read.path}: {counts or 'nothing in it'}")


@command.command("show")
@click.argument("file", required=False, type=click.Path(path_type=Path))
@click.option("--format", "form", type=click.Choice(("table", "json")), default="table", show_default=True)
def show(file: Path | None, form: str) -> None:
    """Show what FILE says, an entry a line; with --format json an object of lists."""
    read = _read(file)
    if read is None:
        return
    listed = _listed(read)
    if form == "json":
        click.echo(json.dumps(listed, indent=1, ensure_ascii=False))
        return
    for kind, entries in listed.items():
        if entries:
            click.echo(f"{kind}:")
            _print_table(entries)
            click.echo()


def _read(file: Path | None) -> Contract | None:
    settings = load()
    path = file or named(settings)
    if path is not None:
        return read_contract(path)
    click.echo(_NO_FILE.format(home=settings.home), err=True)
    return None


def _listed(contract: Contract) -> dict[str, list[dict[str, str]]]:
    return {
        "deployments": [{**_scope(one.scope), "model": one.model} for one in contract.deployments],
        "prices": [
            {
                **_scope(one.scope),
                "model": one.name,
                "context": one.context,
                "usd_per_million": _prices(one.row["prices"]),
            }
            for one in contract.prices
        ],
        "discounts": [
            {
                "name": one.name,
                **_scope(one.scope),
                "percent": _plain(100 - Decimal(100 * one.factor.numerator) / one.factor.denominator),
                "meters": ", ".join(sorted(one.meters)) or "all",
            }
            for one in contract.discounts
        ],
        "fees": [
            {"name": one.name, **_scope(one.scope), "usd_per_month": _plain(one.usd_per_month), "spread": one.spread}
            for one in contract.fees
        ],
        "commitments": [
            {"name": one.name, **_scope(one.scope), "usd": _plain(one.usd)} for one in contract.commitments
        ],
        "fx": [{field.name: str(getattr(one, field.name)) for field in fields(one)} for one in contract.fx],
    }


def _scope(scope: Scope) -> dict[str, str]:
    return {
        "provider": scope.provider,
        "models": ", ".join(scope.models),
        "account": scope.account or "",
        "from": "" if scope.from_ns == _ALWAYS.from_ns else _instant(scope.from_ns),
        "to": "" if scope.to_ns == _ALWAYS.to_ns else _instant(scope.to_ns),
    }


def _instant(at_ns: int) -> str:
    moment = _EPOCH + timedelta(microseconds=at_ns // 1000)
    return moment.isoformat().replace("+00:00", "Z").removesuffix("T00:00:00Z")


def _prices(prices: dict[str, int]) -> str:
    """Write atto-dollars a unit: tokens by the million, all else by the unit."""
    return ", ".join(
        f"{name} {_plain(Decimal(atto).scaleb(-12 if name.endswith('_tokens') else -18))}"
        for name, atto in prices.items()
    )


def _plain(number: Decimal) -> str:
    return f"{number.normalize():f}"


def _print_table(entries: Sequence[dict[str, str]]) -> None:
    names = [name for name in entries[0] if any(entry[name] for entry in entries)]
    rows = [names, *([entry[name] for name in names] for entry in entries)]
    widths = [max(len(row[place]) for row in rows) for place in range(len(names))]
    for row in rows:
        line = "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True))
        click.echo(f"  {line}".rstrip(), file=sys.stdout)
