"""Running SQL that somebody typed: every statement of it, of which the last one answers.

The last one is a relation and not a result, so that of an endless answer no more is made than is read. DuckDB doesn't
say where a relation's SQL is wrong; executing the same says it, and a statement that can't be bound does nothing.
"""

from __future__ import annotations

import re
from typing import Final

import duckdb

_ROWS_AT_ONCE: Final = 10_000
_UNREADABLE: Final = re.compile(r"\b(UHUGEINT|BIGNUM|BIT)\b")
"""Types whose values come out of DuckDB as others: from half of its reach on, a UHUGEINT as a negative number."""


def run(connection: duckdb.DuckDBPyConnection, query: str) -> duckdb.DuckDBPyRelation | None:
    """Run all statements but the last, and return the last as a relation; None where it has no answer.

    Raises:
        duckdb.Error: one of them is wrong; with `errors_as_json`, it tells where in `query`.
    """
    statements = connection.extract_statements(query)
    if not statements:
        return None
    for statement in statements[:-1]:
        connection.execute(statement)
        while connection.fetchmany(_ROWS_AT_ONCE):
            pass
    try:
        relation: duckdb.DuckDBPyRelation | None = connection.sql(statements[-1])
    except (duckdb.BinderException, duckdb.CatalogException):
        connection.execute(statements[-1])
        raise
    for name, type_ in zip(relation.columns, relation.types, strict=True) if relation is not None else ():
        if found := _UNREADABLE.search(str(type_)):
            raise duckdb.NotImplementedException(f"{name} can't be given out as {found[0]}; cast it to varchar")
    return relation
