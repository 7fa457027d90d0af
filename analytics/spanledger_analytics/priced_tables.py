"""Tables of prices beside the lake's: the book, and what priced the calls in the lake.

They are made when a query reads them, so that a connection costs nothing for what nobody asks: DuckDB asks an object
that speaks Arrow's stream protocol for its schema when a query names it, and for its rows when the query runs.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import duckdb
import pyarrow as pa

from .list_prices import SCHEMA, list_prices
from .price_cells import CELLS, UNIT_RATES, price_cells


class LazyTable:
    """A table with a known schema whose rows a function makes, for each query that reads it."""

    def __init__(self, schema: pa.Schema, make: Callable[[], pa.Table]) -> None:
        self._schema = schema
        self._make = make

    def __arrow_c_schema__(self) -> object:
        return self._schema.__arrow_c_schema__()

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        return self._make().__arrow_c_stream__(requested_schema)


def add_prices(connection: duckdb.DuckDBPyConnection, classes: Callable[[], pa.Table]) -> None:
    """Make the tables `book_prices`, `charge_cells` and `charge_unit_rates` of a connection.

    `classes` returns the price classes of the calls that are charged, as `price_cells` takes them.
    """

    @cache
    def cells() -> tuple[pa.Table, pa.Table]:
        return price_cells(classes())

    connection.register("book_prices", LazyTable(SCHEMA, list_prices))
    connection.register("charge_cells", LazyTable(CELLS, lambda: cells()[0]))
    connection.register("charge_unit_rates", LazyTable(UNIT_RATES, lambda: cells()[1]))
