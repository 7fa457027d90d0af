"""What calls would have cost in another way: uncached, cached, at another model.

A query names the calls and changes them; `pricing.priced`, which prices every row of SQL, says what they cost then.
Each question has a connection of its own, because prices are tables in it that others must not see.
"""

from __future__ import annotations

from datetime import date

import polars as pl

from .connection import Ledger, Parameter, load_query, name_files, relation
from .pricing import priced


def ask_priced(
    ledger: Ledger,
    query: str,
    rows: str,
    ways: str | None = None,
    /,
    *,
    first: date,
    last: date,
    **parameters: Parameter,
) -> pl.DataFrame:
    """Price what `sql/<rows>.sql` answers, and run `sql/<query>.sql`, both over the days `first` to `last` (UTC).

    The rows have the columns that prices depend on (`views/what_if`), and any others; the query names them
    `priced_rows`: cost_usd and its parts are those of the prices in force, NULL with `unpriced_reason` where there is
    none. With `ways`, what is priced is what `sql/<ways>.sql` makes of them, which it names `changed_rows`: several
    rows of each, never all at once. All queries know the macros of `views/what_if`.
    """
    files = ledger.files(first, last)
    told = {"files": files.spans, **parameters}
    with ledger.connect(touched=len(files.touched) > 1) as connection:
        name_files(connection, files)
        connection.execute("set variable live_files = $files", {"files": files.spans})  # for outcomes in a scope
        connection.execute(load_query("views/what_if"))
        connection.execute(load_query("views/broken_calls"))
        relation(connection, rows, told).create("changed_rows")
        changed = connection.table("changed_rows") if ways is None else connection.sql(load_query(ways))
        priced(connection, changed).create_view("priced_rows")
        frame: pl.DataFrame = relation(connection, query, told).pl()
    return frame
