"""What the demo's lake holds, asked in SQL like anyone would, and shown as two tables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import IO, Any, Final

import duckdb
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from spanledger_analytics.connection import connect, load_query
from spanledger_dashboard.format import many

from . import hotel
from .people import HOTEL_QUERY, SERVICE
from .plans import BilledCall

_PLAIN_WIDTH: Final = 110


@dataclass(frozen=True, slots=True)
class HotelCall:
    """One call of the hotel search, as booked."""

    input_tokens: int
    output_tokens: int
    cost_usd: Decimal


@dataclass(frozen=True, slots=True)
class Dearest:
    """Who or what cost the most."""

    name: str
    calls: int
    cost_usd: Decimal
    trace_id: str = ""


@dataclass(frozen=True, slots=True)
class Totals:
    """Everything in the lake."""

    calls: int
    input_tokens: int
    output_tokens: int
    cost_usd: Decimal
    failed_calls: int
    unpriced_calls: int
    unpriced_reasons: str


@dataclass(frozen=True, slots=True)
class Controls:
    """What the policy did to this run's calls."""

    refused_calls: int
    refused_usd: Decimal
    """Expected."""
    degraded_calls: int
    cached_calls: int
    avoided_usd: Decimal


@dataclass(frozen=True, slots=True)
class Summary:
    """The figures that the demo ends with."""

    totals: Totals
    user: Dearest | None
    request: Dearest | None
    hotel_calls: tuple[HotelCall, ...]
    billed_calls: int
    """On the local provider's bill of this run."""
    billed_tokens: int
    booked_calls: int
    """The same in the ledger."""
    booked_tokens: int
    controls: Controls


def count_missing(lake: Path, responses: Sequence[str], spans: Sequence[str]) -> int:
    """Return how many of these calls (by response id) and spans (by hex id) can't be asked for yet."""
    row = _ask(connect(lake), "arrived", responses=list(responses), spans=list(spans))[0]
    missing: int = len(set(responses)) + len(set(spans)) - row[0] - row[1]
    return missing


def summarise(lake: Path, bill: Sequence[BilledCall], since: datetime) -> Summary:
    """Ask the lake for its totals, and for what the agents did `since`, beside the provider's bill of it."""
    connection = connect(lake)
    users = _ask(connection, "dearest_user")
    requests = _ask(connection, "dearest_request")
    booked = _ask(connection, "ledger_of", service=SERVICE, since=since.isoformat())[0]
    return Summary(
        Totals(*_ask(connection, "totals")[0]),
        user=Dearest(*users[0]) if users else None,
        request=_request(requests[0]) if requests else None,
        hotel_calls=tuple(HotelCall(*row) for row in _ask(connection, "hotel_calls", agent=hotel.AGENT_NAME)),
        billed_calls=len(bill),
        billed_tokens=sum(call.usage.input_tokens + call.usage.output_tokens for call in bill),
        booked_calls=booked[0],
        booked_tokens=booked[1] + booked[2],
        controls=Controls(*_ask(connection, "controls", service=SERVICE, since=since.isoformat())[0]),
    )


def show(summary: Summary, target: IO[str]) -> None:
    """Print the tables; as wide as the terminal, or a fixed width elsewhere."""
    console = Console(file=target, width=None if target.isatty() else _PLAIN_WIDTH)
    console.print(_totals_table(summary))
    if summary.hotel_calls:
        console.print(_hotel_table(summary))


def dollars(amount: Decimal, places: int = 2) -> str:
    """Return an amount as text, `$1,234.50`."""
    return f"${amount:,.{places}f}"


def _totals_table(summary: Summary) -> Table:
    table = Table(box=SIMPLE_HEAD, show_header=False, title="In the ledger", title_justify="left")
    table.add_row("calls", f"{summary.totals.calls:,} ({summary.totals.failed_calls} failed)")
    table.add_row("tokens in", f"{summary.totals.input_tokens:,}")
    table.add_row("tokens out", f"{summary.totals.output_tokens:,}")
    table.add_row("dollars", dollars(summary.totals.cost_usd))
    reasons = f" ({summary.totals.unpriced_reasons})" if summary.totals.unpriced_reasons else ""
    table.add_row("unpriced calls", f"{summary.totals.unpriced_calls}{reasons}")
    for title, dearest in (
        ("most expensive user", summary.user),
        ("most expensive request", summary.request),
    ):
        if dearest:
            table.add_row(title, f"{dearest.name}: {dollars(dearest.cost_usd)} in {many(dearest.calls, 'call')}")
    if summary.request:
        table.add_row("its trace", summary.request.trace_id)
    table.add_row("provider's bill, this run", f"{summary.billed_calls} calls, {summary.billed_tokens:,} tokens")
    table.add_row("the same in the ledger", f"{summary.booked_calls} calls, {summary.booked_tokens:,} tokens")
    done = summary.controls
    stopped = f"{many(done.refused_calls, 'call')} of a runaway agent, expected to cost {dollars(done.refused_usd)}"
    table.add_row("refused by the policy", stopped)
    ways = f"{many(done.degraded_calls, 'call')} at a cheaper model, {done.cached_calls} from the cache"
    saved = f"{dollars(done.avoided_usd)}: {ways}"
    table.add_row("saved by it", saved)
    return table


def _hotel_table(summary: Summary) -> Table:
    table = Table(box=SIMPLE_HEAD, title=f'"{HOTEL_QUERY}"', title_justify="left")
    for name in ("call", "tokens in", "tokens out", "cost"):
        table.add_column(name, justify="left" if name == "call" else "right")
    calls = summary.hotel_calls
    for number, call in enumerate(calls, 1):
        _add_row(table, f"{number}", call.input_tokens, call.output_tokens, call.cost_usd)
    total = sum((call.cost_usd for call in calls), Decimal())
    tokens_in, tokens_out = sum(call.input_tokens for call in calls), sum(call.output_tokens for call in calls)
    table.add_section()
    _add_row(table, "billed: every call carries the history", tokens_in, tokens_out, total)
    _add_row(table, "if each text were sent once", hotel.NAIVE_INPUT_TOKENS, hotel.OUTPUT_TOKENS, hotel.NAIVE_USD)
    return table


def _add_row(table: Table, title: str, tokens_in: int, tokens_out: int, cost_usd: Decimal) -> None:
    table.add_row(title, f"{tokens_in:,}", f"{tokens_out:,}", dollars(cost_usd, 4))


def _request(row: tuple[Any, ...]) -> Dearest:
    trace_id, started, user_id, calls, cost_usd, agent = row
    name = f"{agent or 'request'} of {user_id or 'nobody'}, {started:%Y-%m-%d %H:%M} UTC"
    return Dearest(name, calls, cost_usd, trace_id)


def _ask(connection: duckdb.DuckDBPyConnection, query: str, **values: object) -> list[tuple[Any, ...]]:
    return connection.execute(load_query(f"demo/{query}"), values).fetchall()
