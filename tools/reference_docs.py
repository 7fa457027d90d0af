"""Writes docs/schema.md and docs/settings.md from the tables in the code (`make docs`); a test compares them."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa

from spanledger.settings import SETTINGS, Setting
from spanledger_collector.catalog import SIDE_TABLES
from spanledger_collector.row import COLUMNS, Column
from spanledger_collector.tables import LakeTable

DOCS = Path(__file__).resolve().parent.parent / "docs"
SECTIONS = {
    "trace_id": "Identity",
    "role": "What it was",
    "user_id": "Who and why",
    "input_tokens": "Tokens",
    "cost_usd": "Money",
    "max_tokens": "How it went",
    "prompt_hash": "Fingerprints and sizes of the prompt",
    "guard_action": "Control",
    "attributes": "The rest",
}
"""First column of a section of docs/schema.md to its title."""
RESERVED = ("avoided_usd", "guard_action", "guard_policy", "routed_from", "cache_hit")
"""Columns that nothing fills yet; a test says when one of them is."""
GENERATED = "<!-- Made by tools/reference_docs.py (make docs); edit the table in the code. -->\n"


def schema_page() -> str:
    """Return docs/schema.md."""
    lines = [
        GENERATED,
        "# Columns",
        "",
        "One row a span, in the Delta table `<lake>/spans`, partitioned by `dt` (UTC date of `start_time`). Names are",
        "a contract: columns are added, never renamed. Money is US dollars, times are UTC, unknown is NULL. Ask with",
        "[SQL](sql.md). Columns marked *reserved* are NULL in every row so far.",
        "",
        "| view | rows |",
        "|---|---|",
        "| `spans` | every span, [as settled](settling.md) |",
        "| `llm_calls` | every charged call, with `provisional` (BOOLEAN): its trace may still change it; and"
        " `estimated` (BOOLEAN): its cost is that of tokens that nobody reported |",
        "| `spans_as_booked` | every span as its collector took it, whatever was settled since |",
        "| `cross_checks` | [what agents' metrics count](agents.md#do-the-numbers-agree) beside what the rows have |",
        *(f"| [`{table.name}`](#{table.name}) | {_cell(table.sentence)} |" for table in SIDE_TABLES),
        "",
        "The other views are Delta tables of their own, `<lake>/<view>`, and empty until there is something in them.",
    ]
    for column in COLUMNS:
        if column.name in SECTIONS:
            lines += ["", f"## {SECTIONS[column.name]}", "", "| column | type | meaning |", "|---|---|---|"]
        if column is COLUMNS[0]:
            lines.append("| `dt` | DATE | Partition: UTC date of start_time. |")
        lines.append(_column_row(column))
    for table in SIDE_TABLES:
        lines += _side_table(table)
    return "\n".join(lines) + "\n"


def settings_page() -> str:
    """Return docs/settings.md."""
    lines = [
        GENERATED,
        "# Settings",
        "",
        "Flags win, then what your program says by `spanledger.configure(name=value)`, then the environment, then",
        "`spanledger.toml` in the working directory (or the file named by `SPANLEDGER_CONFIG`), then the default. In",
        'the file, the name is the key: `lake = "/data/lake"`.',
        "",
        "| name | variable | default | meaning |",
        "|---|---|---|---|",
    ]
    lines += [
        f"| `{setting.name}` | `{setting.env}` | {_default(setting)} | {_cell(setting.sentence)} |"
        for setting in SETTINGS
    ]
    return "\n".join(lines) + "\n"


def pages() -> dict[Path, str]:
    """Return every generated page with its text."""
    return {DOCS / "schema.md": schema_page(), DOCS / "settings.md": settings_page()}


def _side_table(table: LakeTable) -> list[str]:
    dt = "| `dt` | DATE | Partition: UTC date of the span, where the row is about one. |"
    head = ["", f"## `{table.name}`", "", f"{table.sentence[0].upper()}{table.sentence[1:]}.", ""]
    return [*head, "| column | type | meaning |", "|---|---|---|", dt, *map(_column_row, table.columns)]


def _default(setting: Setting) -> str:
    if isinstance(setting.default, bool):
        return "on" if setting.default else "off"
    return f"`{setting.default}`" if setting.default else ""


def _column_row(column: Column) -> str:
    mark = " *Reserved.*" if column.name in RESERVED else ""
    return f"| `{column.name}` | {_sql_type(column.type)} | {_cell(column.sentence)}{mark} |"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _sql_type(type_: pa.DataType) -> str:
    if pa.types.is_map(type_):
        return f"MAP({_sql_type(type_.key_type)}, {_sql_type(type_.item_type)})"
    if pa.types.is_list(type_):
        return f"{_sql_type(type_.value_type)}[]"
    if pa.types.is_decimal(type_):
        return f"DECIMAL({type_.precision},{type_.scale})"
    names = {
        pa.string(): "VARCHAR",
        pa.int64(): "BIGINT",
        pa.float64(): "DOUBLE",
        pa.bool_(): "BOOLEAN",
        pa.timestamp("us", tz="UTC"): "TIMESTAMPTZ",
    }
    return names[type_]


if __name__ == "__main__":
    for path, text in pages().items():
        path.write_text(text, "utf-8")
