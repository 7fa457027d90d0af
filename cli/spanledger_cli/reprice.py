"""`spanledger reprice`: what was booked at a wrong price, or before a contract was there, gets its price."""

from __future__ import annotations

import shutil
import sys
from datetime import date, datetime
from typing import TYPE_CHECKING, Final

import click

from spanledger import contract
from spanledger.lake_path import LakePath
from spanledger.settings import load

from . import lakes
from .in_force import price_as_set
from .progress import counting, say

if TYPE_CHECKING:
    import pyarrow as pa

    from spanledger_collector.repricing import Repriced

FORMATS: Final = ("table", "csv", "json")
_DAY: Final = click.DateTime(["%Y-%m-%d"])


@click.command()
@click.option("--lake", type=lakes.LAKE, help=lakes.HELP)
@click.option("--from", "first", type=_DAY, help="First UTC day; default: the first that there is.")
@click.option("--to", "last", type=_DAY, help="Last UTC day, inclusive; default: the last that there is.")
@click.option("--provider", default="*", help="Only calls of this provider (* and ? may stand in it).")
@click.option("--model", default="*", help="Only calls that this model answered (* and ? may stand in it).")
@click.option("--dry-run", is_flag=True, help="Say what would change, and change nothing.")
@click.option(
    "--currency", metavar="CODE", help="Show amounts in this currency, too, by the rates of the contract: EUR."
)
@click.option("--format", "form", type=click.Choice(FORMATS), default="table", show_default=True)
def command(
    lake: LakePath | None,
    first: datetime | None,
    last: datetime | None,
    provider: str,
    model: str,
    *,
    dry_run: bool,
    currency: str | None,
    form: str,
) -> None:
    """Price again what has been booked, by today's price book and contract, and say what changes by day and model.

    \b
    Examples:
      spanledger reprice --dry-run
      spanledger reprice --from 2026-11-01 --to 2026-11-30 --provider openai
      spanledger reprice --dry-run --currency EUR
      spanledger sql --as-of 2026-11-15 "select sum(cost_usd) from llm_calls"
      spanledger sql "select * from corrections where reason = 'repriced'"

    Rows are never changed: views show the new price, `spans_as_booked` the old one, and `corrections` both. A day is
    one step, so that stopping half-way and starting again does no harm. Calls that today's book has no price for keep
    the one that they have.
    """
    from spanledger_collector.candidates import Wanted
    from spanledger_collector.repricing import reprice, rows_between

    from .answer import write

    settings = load(lake=lake)
    lakes.check_readable(settings.lake)
    price_as_set(settings)
    code = currency and _with_rates(currency)
    days = (first.date() if first else date.min, last.date() if last else date.max)
    wanted = Wanted(*days, provider, model)
    with counting("rows priced again", rows_between(settings.lake, wanted)) as looked:
        done = list(reprice(settings.lake, wanted, dry_run=dry_run, looked=looked))
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    table = _table(done)
    words = write(_in_currency(table, code) if code else table, form, sys.stdout.buffer, width)
    if words:
        say(words)
    changed = sum(sum(day.changes["calls"].to_pylist()) for day in done)
    say(
        f"{changed:,} of {sum(day.calls for day in done):,} calls {'would change' if dry_run else 'have another price'}"
    )
    if kept := sum(day.without_price for day in done):
        say(f"{kept:,} calls have no price in today's book, and keep the one they have")


def _with_rates(currency: str) -> str:
    """Return the code of a currency that the contract has rates of."""
    from spanledger_analytics.currency import first_rate

    code = currency.upper()
    if first_rate(contract.in_force(), code) is None:
        raise click.UsageError(f"the contract has no rate of {code}; add an entry [[fx]] to it (docs/contracts.md)")
    return code


def _in_currency(table: pa.Table, code: str) -> pa.Table:
    from spanledger_analytics.currency import add_currency, first_rate

    shown = add_currency(table, ("old_usd", "new_usd", "difference_usd"), code, contract.in_force())
    if lacking := shown[f"difference_{code.lower()}"].null_count:
        say(f"{lacking:,} rows are from before the first rate of {code}, {first_rate(contract.in_force(), code)}")
    return shown


def _table(done: list[Repriced]) -> pa.Table:
    import pyarrow as pa

    rows = [{"day": day.dt, **change} for day in done for change in day.changes.to_pylist()]
    money = pa.decimal128(38, 12)
    schema = pa.schema(
        [
            ("day", pa.date32()),
            ("provider", pa.string()),
            ("model", pa.string()),
            ("calls", pa.int64()),
            ("old_usd", money),
            ("new_usd", money),
            ("difference_usd", money),
        ]
    )
    for row in rows:
        row["difference_usd"] = (row["new_usd"] or 0) - (row["old_usd"] or 0)
    return pa.Table.from_pylist(rows, schema=schema)
