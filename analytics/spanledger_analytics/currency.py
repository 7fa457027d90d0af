"""Amounts of a report in another currency than US dollars, by the dated rates of the contract.

The rule stands in one place, the SQL macro `in_currency`; here it is put to use on a table that is no view of the lake.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from spanledger.contract import Contract

from .agreements import AMOUNT, add_agreements
from .connection import load_query


def first_rate(contract: Contract, currency: str) -> date | None:
    """Return from when (UTC) the contract has rates of a currency; None: it has none."""
    return min((rate.first for rate in contract.fx if rate.currency == currency), default=None)


def add_currency(report: pa.Table, columns: Sequence[str], currency: str, contract: Contract) -> pa.Table:
    """Return a report with amounts in another currency beside those in dollars.

    Each of `columns`, `<name>_usd`, gets a `<name>_<currency>` (DECIMAL(38, 12)): the amount by the rate in force on
    the row's `day`, rounded half up to 1e-12, NULL where there is none. A sum over them is the sum of rounded rows.
    """
    for name in columns:
        amounts = pa.table({"day": report["day"], "usd": report[name].cast(AMOUNT)})
        values = pc.cast(_converted(amounts, currency, contract), AMOUNT)
        report = report.append_column(f"{name.removesuffix('_usd')}_{currency.lower()}", values)
    return report


def _converted(amounts: pa.Table, currency: str, contract: Contract) -> pa.ChunkedArray:
    with duckdb.connect() as connection:
        connection.execute("set TimeZone = 'UTC'")
        add_agreements(connection, contract)
        connection.execute(load_query("views/currency"))
        connection.register("amounts", amounts.append_column("place", pa.array(range(len(amounts)), pa.int64())))
        query = "select in_currency(usd, day, $currency) as amount from amounts order by place"
        return connection.sql(query, params={"currency": currency}).to_arrow_table()["amount"]
