"""The questions as other engines answer them, each on the same Parquet files, with what it knows to read few of them.

This runs in the peers' own environment. Where calls get their tags by settlements, each engine joins those of the days.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from asked.texts import ALL, MORE_OF_SPAN, SPAN, fill

Rows = Callable[[], list[list[Any]]]
SETTLED = (
    *("duplicate_of", "user_id", "team_id", "customer_id", "feature", "session_id", "cost_usd", "unpriced_reason"),
    *("matched_model", "billing_basis", "price_id", "cost_input", "cost_cache_read", "cost_cache_write", "cost_output"),
    *("cost_other", "cost_source"),
)
KEY = ("dt", "span_id", "trace_id", "ingested_at")
READ = sorted(
    {*SPAN, *MORE_OF_SPAN, *SETTLED, *KEY, "request_model", "response_model", "billing_basis", "cost_usd"} - {"dt"}
)
CHARGED = """role in ('inference', 'agent') and duplicate_of is null
    and (role = 'inference' or cost_usd is not null or unpriced_reason <> 'aggregate')"""


def settled_sql(spans: str, settlements: str | None) -> str:
    """Return the SQL of spans as settled."""
    if settlements is None:
        return spans
    kept = [name for name in ("dt", *READ) if name not in SETTLED]
    said = [f"case when d.settled_at is null then s.{name} else d.{name} end as {name}" for name in SETTLED]
    columns = ", ".join([*(f"s.{name} as {name}" for name in kept), *said])
    on = " and ".join(f"s.{name} = d.{name}" for name in KEY)
    return f"(select {columns} from {spans} as s left join {settlements} as d on {on})"


def calls_sql(spans: str) -> str:
    """Return the SQL of the calls among spans."""
    return f"(select * from {spans} as s where {CHARGED})"


def open_chdb(_lake: Path) -> Callable[[dict[str, Any]], Rows]:
    """ClickHouse in this process; it reads the files that it is told."""
    import chdb
    import pyarrow as pa

    connection = chdb.connect(":memory:")
    connection.query("set join_use_nulls = 1, prefer_column_name_to_alias = 1, cast_keep_nullable = 1")
    times = {
        "first_us": "toUnixTimestamp64Micro(min(start_time))",
        "end_us": "toUnixTimestamp64Micro(start_time) + duration_us",
    }

    def source(files: Sequence[str]) -> str:
        root = files[0].partition("/dt=")[0]
        return f"file('{root}/{{{','.join(file[len(root) + 1 :] for file in files)}}}', 'Parquet')"

    def ask(asked: dict[str, Any]) -> Rows:
        settlements = source(asked["settlements"]) if asked["settlements"] else None
        spans = settled_sql(source(asked["spans"]), settlements)
        text = fill(ALL[asked["question"]], asked, calls_sql(spans), spans, **times)
        text = text.replace("date_part('hour', start_time)", "toHour(start_time)").replace(
            "timestamp '", "toDateTime64('"
        )
        text = text.replace(":00:00'", ":00:00', 6, 'UTC')")
        answer = connection.query(text, "Arrow").bytes()
        return lambda: _listed(pa.ipc.open_file(pa.BufferReader(answer)).read_all(), asked)

    return ask


def open_datafusion(lake: Path) -> Callable[[dict[str, Any]], Rows]:
    """DataFusion; it prunes the folders of days by itself, and keeps what it read of the footers."""
    import pyarrow as pa
    from datafusion import SessionContext

    context = SessionContext()
    context.sql("set datafusion.execution.parquet.pushdown_filters = true")
    days = [("dt", pa.date32())]
    context.register_listing_table("spans", str(lake / "spans") + "/", table_partition_cols=days)
    if any((lake / "settlements").glob("dt=*/*.parquet")):
        context.register_listing_table("settlements", str(lake / "settlements") + "/", table_partition_cols=days)
    times = {"first_us": "cast(min(start_time) as bigint)", "end_us": "cast(start_time as bigint) + duration_us"}

    def ask(asked: dict[str, Any]) -> Rows:
        spans = settled_sql("spans", "settlements" if asked["settlements"] else None)
        batches = context.sql(fill(ALL[asked["question"]], asked, calls_sql(spans), spans, **times)).collect()
        return lambda: _listed(pa.Table.from_batches(batches), asked) if batches else []

    return ask


def _listed(table: Any, asked: dict[str, Any]) -> list[list[Any]]:
    shown = table.select(SPAN) if asked["question"].startswith("trace") else table
    return [list(row.values()) for row in shown.to_pylist()]


def open_polars(_lake: Path) -> Callable[[dict[str, Any]], Rows]:
    """Polars, streaming, over the files that it is told."""
    from asked.polars_frames import answer

    def ask(asked: dict[str, Any]) -> Rows:
        frame = answer(asked).collect(engine="streaming")
        shown = frame.select(SPAN) if asked["question"].startswith("trace") else frame
        return lambda: [list(row) for row in shown.rows()]

    return ask


OPEN = {"chdb": open_chdb, "datafusion": open_datafusion, "polars": open_polars}
