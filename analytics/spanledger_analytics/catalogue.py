"""What can be asked in SQL, as frames: the views and their columns with the sentences of `views`."""

from __future__ import annotations

from typing import Final

import polars as pl

from .views import LAKE_NAMES, VIEWS, plain, sql_type

_COLUMNS: Final = {"view": pl.String, "column": pl.String, "type": pl.String, "comment": pl.String}


def views() -> pl.DataFrame:
    """Return the views that a confined question finds: view, comment (what one row is), columns (how many)."""
    rows = [(view.name, _told(view.sentence), len(view.columns)) for view in VIEWS if view.name in LAKE_NAMES]
    return pl.DataFrame(rows, schema={"view": pl.String, "comment": pl.String, "columns": pl.Int64}, orient="row")


def _told(markdown: str) -> str:
    return plain(markdown).replace("`", "")


def columns() -> pl.DataFrame:
    """Return their columns, in the order of `select *`: view, column, type, comment."""
    rows = [
        (view.name, column.name, sql_type(column.type), _told(column.sentence))
        for view in VIEWS
        if view.name in LAKE_NAMES
        for column in view.columns
    ]
    return pl.DataFrame(rows, schema=_COLUMNS, orient="row")


def find(words: str) -> pl.DataFrame:
    """Return those of `columns` that have each of the words in their view, name or comment."""
    found = columns()
    text = pl.concat_str("view", "column", "comment", separator=" ").str.to_lowercase()
    for word in words.lower().split():
        found = found.filter(text.str.contains(word, literal=True))
    return found
