"""Pricing in SQL: rows of any relation, by the same windows and to the same pico-dollar as one by one.

The price classes of all rows are looked up first, once each, with the code that prices batches; then one statement
prices every row. Prices are those of the contract in force.
"""

from __future__ import annotations

import duckdb

from .connection import load_query
from .price_cells import price_cells


def priced(connection: duckdb.DuckDBPyConnection, rows: duckdb.DuckDBPyRelation) -> duckdb.DuckDBPyRelation:
    """Return the rows with cost_usd, its parts, unpriced_reason, cost_source, price_id and matched_model filled in.

    `rows` is a relation of `connection` with the columns of `spans`, and is read twice. What is priced, and what a row
    that can't be says, is as in the collector's `price_rows`: no row is dropped. The answer holds until the next call
    on this connection.
    """
    rows.create_view("rows_to_price", replace=True)
    connection.execute(load_query("views/amounts"))
    cells, units = price_cells(connection.sql(load_query("price_classes")).to_arrow_table())
    for name, table in (("price_cells", cells), ("unit_rates", units)):
        connection.register("looked_up", table)
        connection.execute(f"create or replace temp table {name} as select * from looked_up")  # noqa: S608 - of two names
        connection.unregister("looked_up")
    return connection.sql(load_query("price"))
