"""What settlements cost a question: the same days without any, with few, and with a fifth of all spans settled.

    python benchmarks/settled_queries.py [--spans 5000000] [--days 5]

CPU seconds of the process (all threads), the least of five runs, after one to warm up; wall time is beside. The lake
is made from a fixed seed in a temporary folder: traces of five spans, two of them calls.
"""

from __future__ import annotations

import argparse
import json
import platform
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from spanledger_analytics.connection import Ledger
from spanledger_analytics.scope import EVERYTHING
from spanledger_collector.lake import add_files, write_days
from spanledger_collector.row import MONEY, SCHEMA, TIME
from spanledger_collector.tables import SETTLEMENTS

SPANS_A_TRACE = 5
FIRST = datetime(2026, 11, 2, tzinfo=UTC)
ALL: dict[str, Any] = {"team": None, "feature": None, "model": None, "environment": None}
RUNS = 5


def day_of_spans(day: int, count: int, random: np.random.Generator) -> pa.Table:
    """Return the rows of one day: an agent, two calls, a tool and a step to each trace."""
    traces = count // SPANS_A_TRACE
    rows = traces * SPANS_A_TRACE
    place = np.arange(rows) % SPANS_A_TRACE
    calls = pa.array((place == 1) | (place == 3))
    began = np.sort(random.integers(0, 86_000_000_000, traces)).repeat(SPANS_A_TRACE) + place * 200_000
    midnight = int((FIRST + day * timedelta(days=1)).timestamp()) * 1_000_000
    start = pa.array(began + midnight).cast(TIME)
    user = pa.array([f"u-{number:05d}" for number in range(20_000)]).take(
        pa.array(random.integers(0, 20_000, traces).repeat(SPANS_A_TRACE))
    )
    prices = pa.array([Decimal(number).scaleb(-6) for number in range(10_000)], MONEY)
    columns: dict[str, Any] = {
        "trace_id": _hex(random, traces, 16).take(pa.array(np.arange(traces).repeat(SPANS_A_TRACE))),
        "span_id": _hex(random, rows, 8),
        "name": pa.array(["agent", "chat", "tool", "chat", "step"]).take(pa.array(place)),
        "start_time": start,
        "duration_us": pa.array(random.integers(1000, 3_000_000, rows)),
        "ingested_at": pc.add(start, pa.scalar(timedelta(seconds=3), pa.duration("us"))),
        "dialect": pa.array(["spanledger"]).take(pa.array(np.zeros(rows, np.int64))),
        "role": pa.array(["agent", "inference", "tool", "inference", "other"]).take(pa.array(place)),
        "user_id": user,
        "matched_model": pc.if_else(calls, pa.scalar("gpt-5"), pa.scalar(None, pa.string())),
        "input_tokens": pc.if_else(calls, pa.array(random.integers(100, 5000, rows)), pa.scalar(None, pa.int64())),
        "output_tokens": pc.if_else(calls, pa.array(random.integers(10, 800, rows)), pa.scalar(None, pa.int64())),
        "cost_usd": pc.if_else(calls, prices.take(pa.array(random.integers(0, 10_000, rows))), pa.scalar(None, MONEY)),
    }
    return pa.table([columns.get(field.name, pa.nulls(rows, field.type)) for field in SCHEMA], schema=SCHEMA)


def make_lake(lake: Path, spans: int, days: int, settled: int) -> None:
    """Write a lake with so many calls of each day settled, with another user."""
    random = np.random.default_rng(20261122)
    files, decisions = [], []
    for day in range(days):
        rows = day_of_spans(day, spans // days, random)
        files += write_days(lake, f"day-{day}", rows)
        if settled:
            calls = rows.filter(pc.equal(rows["role"], "inference")).slice(0, settled)
            decisions += write_days(lake, f"day-{day}", _settlements(calls), SETTLEMENTS)
    add_files(lake, files, writer="benchmark", version=1)
    if decisions:
        add_files(lake, decisions, writer="benchmark", version=1, table=SETTLEMENTS)


def questions(ledger: Ledger, days: int) -> Iterator[tuple[str, float, float]]:
    """Yield each question with the CPU and wall seconds that it took."""
    first, last = FIRST.date(), FIRST.date() + timedelta(days=days - 1)
    asked: dict[str, dict[str, Any]] = {
        "days": {"first": first, "last": last},
        "hours": {"first": first, "last": first, "day": first},
        "users": {"first": first, "last": first, "day": first, "hour": 12},
    }
    for name, arguments in asked.items():
        took = [_timed(ledger, name, arguments) for _ in range(RUNS + 1)][1:]
        yield name, min(cpu for cpu, _ in took), min(wall for _, wall in took)


def main() -> None:
    """Print a JSON object with every figure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--spans", type=int, default=5_000_000)
    parser.add_argument("--days", type=int, default=5)
    flags = parser.parse_args()
    figures: dict[str, Any] = {"machine": platform.platform(), "duckdb": duckdb.__version__, "spans": flags.spans}
    for label, settled in (("none", 0), ("1000 a day", 1000), ("a fifth", flags.spans // flags.days // 5)):
        with tempfile.TemporaryDirectory() as folder:
            make_lake(Path(folder), flags.spans, flags.days, settled)
            ledger = Ledger(Path(folder), EVERYTHING)
            figures[label] = {
                name: {"cpu_ms": round(cpu * 1000), "wall_ms": round(wall * 1000)}
                for name, cpu, wall in questions(ledger, flags.days)
            }
    print(json.dumps(figures, indent=1))


def _timed(ledger: Ledger, name: str, arguments: dict[str, Any]) -> tuple[float, float]:
    cpu, wall = time.process_time(), time.perf_counter()
    ledger.ask(name, **ALL, **arguments)
    return time.process_time() - cpu, time.perf_counter() - wall


def _settlements(calls: pa.Table) -> pa.Table:
    said: dict[str, Any] = {
        "settled_at": pa.array([FIRST + timedelta(days=20)] * calls.num_rows, TIME),
        "reason": pa.array(["inherited"] * calls.num_rows),
    }
    columns = {name: calls[name] for name in calls.column_names} | said
    schema = SETTLEMENTS.schema
    day = pc.cast(pc.floor_temporal(calls["start_time"], unit="day"), pa.date32())
    made = [columns.get(field.name, pa.nulls(calls.num_rows, field.type)) for field in schema]
    return pa.table(made, schema=schema).append_column("dt", day)


def _hex(random: np.random.Generator, count: int, size: int) -> pa.Array:
    text = random.bytes(count * size).hex()
    return pa.array([text[start : start + 2 * size] for start in range(0, len(text), 2 * size)])


if __name__ == "__main__":
    main()
