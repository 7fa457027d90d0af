"""How data files are written in Parquet: encodings, statistics, and what makes a closed day small and quick to search.

Files of the open day are written for speed. Those of a day that is over are read for years, so there compression may
take its time, and each row group has a Bloom filter of its trace ids: a trace is found without its day by a look at
some 16 KB of a group, where its ids take 300.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

ROW_GROUP_ROWS: Final = 122_880
SINGULAR: Final = frozenset(
    {
        *("prompt_hash", "simhash", "prefix_chain", "start_time", "duration_us", "first_token_us"),
        *("cost_usd", "cost_other", "reported_cost_usd", "aggregate_cost_usd", "retry_cost_usd"),
    }
)
"""Columns that seldom say one thing twice: a dictionary of them is made for nothing, and makes files larger."""
ENCODED: Final = {
    **dict.fromkeys(("trace_id", "span_id", "parent_span_id", "response_id", "session_id"), "DELTA_LENGTH_BYTE_ARRAY"),
    "ingested_at": "DELTA_BINARY_PACKED",
}
"""Columns whose encoding we know better: of ids what is random compresses by itself, without the lengths between."""
NARROWED: Final = frozenset(
    {
        "start_time",
        "user_id",
        "team_id",
        "customer_id",
        "feature",
        "session_id",
        "trace_id",
        "role",
        "ingested_at",
        "quarter_hour",
    }
)
"""Columns that queries are narrowed by: only of these is it worth to say the least and the greatest value."""
_QUICK: Final = 1
_THOROUGH: Final = 9
"""Levels of zstd; 9 takes 3 % off a file and is read as fast."""
_SEARCHED: Final = "trace_id"
_WRONG: Final = 0.05
"""Share of row groups that are read in vain for a trace that isn't in them."""


def parquet_writer(path: Path, schema: pa.Schema, *, of_closed_day: bool = False) -> pq.ParquetWriter:
    """Open a data file for writing, the way all of them are written."""
    leaves = {field.name: _leaves(field) for field in schema}
    encoded = {name: encoding for name, encoding in ENCODED.items() if name in leaves}
    plain = SINGULAR.union(encoded)
    return pq.ParquetWriter(
        path,
        schema,
        compression="zstd",
        use_dictionary=[leaf for name, of_field in leaves.items() if name not in plain for leaf in of_field],
        column_encoding=encoded,
        write_statistics=[name for name in schema.names if name in NARROWED],
        store_decimal_as_integer=True,
        **(_for_years(leaves) if of_closed_day else {"compression_level": _QUICK}),
    )


def _for_years(leaves: dict[str, list[str]]) -> dict[str, Any]:
    """Return what is different in files of days that are over; ids get larger by more thorough compression."""
    level = {leaf: _QUICK if name in ENCODED else _THOROUGH for name, of_field in leaves.items() for leaf in of_field}
    return {
        "compression_level": level,
        "bloom_filter_options": {_SEARCHED: {"ndv": ROW_GROUP_ROWS, "fpp": _WRONG}},
    }


def _leaves(field: pa.Field) -> list[str]:
    """Return the names that Parquet has for a column."""
    if pa.types.is_map(field.type):
        return [f"{field.name}.key_value.key", f"{field.name}.key_value.value"]
    return [f"{field.name}.list.element" if pa.types.is_list(field.type) else field.name]
