"""What stands in a contract besides prices, as tables: fixed fees, commitments, rates of exchange.

They come from the contract in force and not from the lake, because the file is the one place where they are kept: who
corrects an amount there finds it corrected in every answer.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final, Protocol

import pyarrow as pa

from spanledger.contract import Contract, Scope

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_ALWAYS: Final = Scope("*")
AMOUNT: Final = pa.decimal128(38, 12)
"""Wider than the money of a call: a promise may be of many millions."""
_PATTERNS: Final = pa.list_(pa.string())
_MATCH: Final = [("provider", pa.string()), ("models", _PATTERNS), ("account", pa.string())]
FEES: Final = pa.schema(
    [
        ("name", pa.string()),
        *_MATCH,
        ("usd_per_month", AMOUNT),
        ("spread", pa.string()),
        ("first_month", pa.date32()),
        ("end_month", pa.date32()),
    ]
)
COMMITMENTS: Final = pa.schema(
    [
        ("name", pa.string()),
        *_MATCH,
        ("committed_usd", AMOUNT),
        ("starts_at", pa.timestamp("us", "UTC")),
        ("ends_at", pa.timestamp("us", "UTC")),
    ]
)
FX_RATES: Final = pa.schema([("currency", pa.string()), ("first_day", pa.date32()), ("usd", AMOUNT)])


class Session(Protocol):
    """What views are made in: a connection of DuckDB, or a list of what to do in one elsewhere."""

    def execute(self, query: str, parameters: object = None, /) -> object:
        """Run SQL."""

    def register(self, view_name: str, python_object: object, /) -> object:
        """Give a table of Arrow's a name."""

    def unregister(self, view_name: str, /) -> object:
        """Take the name away."""


def add_agreements(connection: Session, contract: Contract) -> None:
    """Make the tables `agreed_fees`, `agreed_commitments` and `agreed_fx_rates` of a connection."""
    fees = [
        {
            "name": fee.name,
            **_match(fee.scope),
            "usd_per_month": fee.usd_per_month,
            "spread": fee.spread,
            "first_month": _moment(fee.scope.from_ns).date(),
            "end_month": None if fee.scope.to_ns == _ALWAYS.to_ns else _moment(fee.scope.to_ns).date(),
        }
        for fee in contract.fees
    ]
    commitments = [
        {
            "name": commitment.name,
            **_match(commitment.scope),
            "committed_usd": commitment.usd,
            "starts_at": _moment(commitment.scope.from_ns),
            "ends_at": _moment(commitment.scope.to_ns),
        }
        for commitment in contract.commitments
    ]
    rates = [{"currency": rate.currency, "first_day": rate.first, "usd": rate.usd} for rate in contract.fx]
    for name, schema, rows in (
        ("agreed_fees", FEES, fees),
        ("agreed_commitments", COMMITMENTS, commitments),
        ("agreed_fx_rates", FX_RATES, rates),
    ):
        connection.register("agreed_now", pa.Table.from_pylist(rows, schema=schema))
        connection.execute(f"create or replace table {name} as select * from agreed_now")  # noqa: S608 - of three names
        connection.unregister("agreed_now")


def _match(scope: Scope) -> dict[str, object]:
    return {"provider": scope.provider, "models": list(scope.models), "account": scope.account}


def _moment(at_ns: int) -> datetime:
    return _EPOCH + timedelta(microseconds=at_ns // 1000)
