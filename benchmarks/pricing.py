"""What pricing costs: spans in SQL, spans in the collector, and a call in the program beside what others take for one.

    python benchmarks/pricing.py [--spans 2000000] [--rounds 5] [--peers genai-prices,litellm]

Spans are made from a fixed seed: calls of popular models over two years, in all contexts, with caches and reasoning.
In SQL they lie in a table in DuckDB's memory, on two threads; looking up their price classes counts. `summed` adds up
every column that pricing fills, by model; `stored` writes them to a table. In the collector they come in batches of a
row group, on one thread. Each figure is the median of the rounds, after one to warm up.

A call is the same for all: input, cached input and output tokens of a model at an instant. Peers come from PyPI in a
virtual environment made on first use below the cache folder (or named by --environment), and are called as they
document: genai-prices' `calc_price` with a usage that is made before, litellm's `cost_per_token`.

`spans_per_s` and `us` are by the clock, and those of a machine that does nothing else; look at `load_average`. CPU
seconds move less: `spans_per_s_by_cpu` is what two cores would do that have nothing else to do.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time
import venv
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa

from spanledger.pricing import price
from spanledger.usage import Usage
from spanledger_analytics.connection import open_connection
from spanledger_analytics.pricing import priced
from spanledger_collector.pricing import price_rows
from spanledger_collector.row import MONEY_PARTS, SCHEMA, TIME

THREADS = 2
ROW_GROUP = 122_880
CALL_LOOPS = 200
VERSIONS = {"genai-prices": "0.2.3", "litellm": "1.109.1"}
MODELS = (
    ("openai", "gpt-4o-mini"),
    ("openai", "gpt-4o"),
    ("anthropic", "claude-sonnet-4-5"),
    ("openai", "gpt-4.1-mini"),
    ("google", "gemini-2.5-flash"),
    ("openai", "gpt-5-mini"),
    ("anthropic", "claude-haiku-4-5"),
    ("openai", "gpt-5"),
    ("google", "gemini-2.5-pro"),
    ("openai", "gpt-4.1"),
    ("anthropic", "claude-opus-4-1"),
    ("deepseek", "deepseek-chat"),
    ("openai", "o3"),
    ("google", "gemini-2.0-flash"),
    ("openai", "gpt-4o-2024-08-06"),
    ("openai", "o4-mini"),
    ("anthropic", "claude-3-5-haiku-20241022"),
    ("mistral", "mistral-large-latest"),
    ("openai", "gpt-4-turbo"),
    ("openai", "gpt-3.5-turbo"),
    ("x-ai", "grok-4"),
    ("openrouter", "openai/gpt-4o"),
)
"""The most used first; calls are spread over them by 1 / rank."""
FIRST_S = int(datetime(2025, 1, 1, tzinfo=UTC).timestamp())
LAST_S = int(datetime(2026, 11, 22, tzinfo=UTC).timestamp())
FILLED = ("cost_usd", *MONEY_PARTS)
WORDS = ("unpriced_reason", "cost_source", "price_id", "matched_model")
CALL = {"input_tokens": 5000, "cache_read_tokens": 3000, "output_tokens": 600}
CALL_AT = "2026-11-20T12:00:00Z"
PEER = Path(__file__).parent.parent / "tests" / "pricing_peer.py"


def spans(count: int) -> pa.Table:
    """Return the rows of that many calls."""
    random = np.random.default_rng(20261122)
    share = 1 / np.arange(1, len(MODELS) + 1)
    which = pa.array(random.choice(len(MODELS), count, p=share / share.sum()))

    def of(values: list[str | None], shares: list[float]) -> pa.Array:
        return pa.array(values, pa.string()).take(pa.array(random.choice(len(values), count, p=shares)))

    def some(part: float, values: np.ndarray) -> np.ndarray:
        return np.where(random.random(count) < part, values, 0)

    def known(values: np.ndarray) -> pa.Array:
        return pa.array(values, mask=values == 0)

    fresh = random.lognormal(7.5, 1.6, count).astype(np.int64)
    read = some(0.5, random.lognormal(9, 1.6, count).astype(np.int64))
    written, written_1h = some(0.3, random.integers(0, 20_000, count)), some(0.1, random.integers(0, 20_000, count))
    output = random.lognormal(6, 1.2, count).astype(np.int64) + 1
    reasoning = (output * some(0.3, random.random(count))).astype(np.int64)
    model = pa.array([model for _, model in MODELS]).take(which)
    columns = {
        "span_id": pa.array([f"{number:016x}" for number in range(count)]),
        "role": pa.repeat(pa.scalar("inference"), count),
        "provider": pa.array([provider for provider, _ in MODELS]).take(which),
        "request_model": model,
        "response_model": model,
        "service_tier": of([None, "default", "flex", "priority"], [0.8, 0.1, 0.05, 0.05]),
        "is_batch": pa.array(random.random(count) < 0.05),
        "start_time": pa.array(np.sort(random.integers(FIRST_S * 10**6, LAST_S * 10**6, count))).cast(TIME),
        "input_tokens": pa.array(fresh + read + written + written_1h),
        "output_tokens": pa.array(output),
        "input_uncached_tokens": pa.array(fresh),
        "cache_read_tokens": known(read),
        "cache_write_5m_tokens": known(written),
        "cache_write_1h_tokens": known(written_1h),
        "output_text_tokens": pa.array(output - reasoning),
        "reasoning_tokens": known(reasoning),
        "usage_state": pa.repeat(pa.scalar("reported"), count),
    }
    return pa.table([columns.get(field.name, pa.nulls(count, field.type)) for field in SCHEMA], schema=SCHEMA)


def measure_sql(rows: pa.Table, rounds: int) -> dict[str, Any]:
    """Return what pricing the rows in SQL takes."""
    summed = ", ".join([*(f"sum({name})" for name in FILLED), *(f"count({name})" for name in WORDS)])
    stored = ", ".join(("span_id", *FILLED, *WORDS))
    with open_connection() as connection:
        connection.execute(f"set threads = {THREADS}")
        connection.register("made", rows)
        connection.execute("create table calls as select * from made")
        connection.unregister("made")

        def ask(query: str) -> Callable[[], object]:
            def work() -> object:
                priced(connection, connection.table("calls")).create_view("answer", replace=True)
                return connection.execute(query).fetchall()

            return work

        found = {
            "summed": timed(
                ask(f"select response_model, {summed} from answer group by all"),  # noqa: S608 - of our own columns
                rounds,
                rows.num_rows,
                THREADS,
            ),
            "stored": timed(
                ask(f"create or replace temp table kept as select {stored} from answer"),  # noqa: S608
                rounds,
                rows.num_rows,
                THREADS,
            ),
        }
        check(connection, rows)
    return found


def check(connection: duckdb.DuckDBPyConnection, rows: pa.Table) -> None:
    """End the benchmark unless SQL and the collector came to the same sum."""
    ours = connection.execute("select count(*), count(cost_usd), sum(cost_usd) from kept").fetchone()
    batch = price_rows(rows)["cost_usd"]
    expected = (len(batch), len(batch) - batch.null_count, pa.compute.sum(batch.cast(pa.decimal128(38, 12))).as_py())
    if ours != expected:
        raise SystemExit(f"SQL made {ours} of the spans, the collector {expected}")


def measure_batches(rows: pa.Table, rounds: int) -> dict[str, Any]:
    """Return what pricing the rows in the collector takes, a row group at a time."""
    batches = [rows.slice(start, ROW_GROUP) for start in range(0, rows.num_rows, ROW_GROUP)]
    return timed(lambda: [price_rows(batch) for batch in batches], rounds, rows.num_rows, 1)


def timed(work: Callable[[], object], rounds: int, count: int, cores: int) -> dict[str, Any]:
    """Return the medians of some rounds of work on that many spans."""
    work()
    walls, cpus = [], []
    for _ in range(rounds):
        wall, cpu = time.perf_counter(), time.process_time()
        work()
        walls.append(time.perf_counter() - wall)
        cpus.append(time.process_time() - cpu)
    return {
        "spans_per_s": round(count / statistics.median(walls)),
        "cpu_s_per_million": round(statistics.median(cpus) / count * 1e6, 3),
        "spans_per_s_by_cpu": round(count * cores / statistics.median(cpus)),
        "spans_per_s_by_cpu_of_each_round": [round(count * cores / cpu) for cpu in cpus],
    }


def measure_calls(rounds: int) -> dict[str, float]:
    """Return the microseconds that one call takes in the program, once its model is known."""
    usage = Usage.from_totals(CALL["input_tokens"], CALL["output_tokens"], cache_read_tokens=CALL["cache_read_tokens"])
    at_ns = int(datetime.fromisoformat(CALL_AT).timestamp()) * 10**9

    def work() -> None:
        for _ in range(CALL_LOOPS):
            for provider, model in MODELS:
                price(provider, model, usage, at_ns, itemised=False)

    return per_call(work, rounds)


def per_call(work: Callable[[], None], rounds: int) -> dict[str, float]:
    """Return the medians of some rounds of CALL_LOOPS times every model."""
    work()
    walls, cpus = [], []
    for _ in range(rounds):
        wall, cpu = time.perf_counter(), time.process_time()
        work()
        walls.append(time.perf_counter() - wall)
        cpus.append(time.process_time() - cpu)
    calls = CALL_LOOPS * len(MODELS)
    return {name: round(statistics.median(all_) / calls * 1e6, 2) for name, all_ in (("us", walls), ("cpu_us", cpus))}


def measure_peer(name: str, folder: Path, rounds: int) -> dict[str, Any]:
    """Return the microseconds that one call takes a peer, in its own environment."""
    wanted = {"peer": name, "models": MODELS, "call": CALL, "at": CALL_AT, "rounds": rounds, "loops": CALL_LOOPS // 10}
    environment = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "PYTHONHOME")}
    environment["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"
    command = [str(folder / "bin" / "python"), str(PEER)]
    told = subprocess.run(  # noqa: S603
        command, input=json.dumps(wanted), env=environment, stdout=subprocess.PIPE, text=True, check=True
    )
    answer: dict[str, Any] = json.loads(told.stdout.splitlines()[-1])
    return answer


def environment_of(peers: list[str]) -> Path:
    """Return the peers' environment, making it if there is none."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = cache / "spanledger" / "benchmarks" / "prices"
    if not (folder / "complete").exists():
        print(f"installing {', '.join(peers)} in {folder}", file=sys.stderr, flush=True)
        venv.create(folder, with_pip=True, clear=True)
        wanted = [f"{name}=={VERSIONS[name]}" for name in VERSIONS]
        subprocess.run([folder / "bin" / "python", "-m", "pip", "install", "--quiet", *wanted], check=True)  # noqa: S603
        (folder / "complete").touch()
    return folder


def main() -> None:
    """Print a JSON object with every figure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--spans", type=int, default=2_000_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--peers", default=",".join(VERSIONS), help="Of these; empty: none.")
    parser.add_argument("--environment", type=Path, help="Where the peers are installed.")
    flags = parser.parse_args()
    peers = [name for name in flags.peers.split(",") if name]
    rows = spans(flags.spans)
    calls: dict[str, Any] = {"spanledger": measure_calls(flags.rounds)}
    for name in peers:
        folder = flags.environment or environment_of(peers)
        calls[name] = measure_peer(name, folder, flags.rounds)
    figures = {
        "machine": f"{platform.platform()}, {os.cpu_count()} cores",
        "python": platform.python_version(),
        "duckdb": duckdb.__version__,
        "spans": flags.spans,
        "load_average": [round(load, 1) for load in os.getloadavg()],
        "in_sql_on_two_threads": measure_sql(rows, flags.rounds),
        "in_the_collector_on_one": measure_batches(rows, flags.rounds),
        "a_call": calls,
        "times_the_cpu_of_ours": {
            name: round(calls[name]["cpu_us"] / calls["spanledger"]["cpu_us"], 1) for name in peers
        },
    }
    told = json.dumps(figures)
    print(f"evidence: {told}" if os.environ.get("SPANLEDGER_PROVE") else json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
