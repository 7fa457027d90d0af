"""What pricing a whole lake again costs, and that it is right: 10,000,000 spans, a new contract, every call dearer.

    python benchmarks/repricing.py [--spans 10000000] [--days 5] [--folder F]

The lake is made from a fixed seed: traces of ten spans, of which four are calls of six models. Then `spanledger
reprice` runs in a process of its own, whose CPU seconds (all threads), wall time and peak of memory are told: after one
dry run to warm the disk's cache up, once for real, once more with nothing to do, and once for one model out of six.
A copy of the lake gets the same contract from runs that are killed by SIGKILL in the middle of a day.

What it comes to is compared with sums of tokens x price over the files themselves, where nothing of ours takes part.
Any difference ends the run with an error. Trust CPU seconds; wall time is that of a machine with nothing else to do.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from spanledger_analytics.connection import connect
from spanledger_collector.lake import add_files, read_rows, write_file
from spanledger_collector.plans import price_all
from spanledger_collector.row import SCHEMA, TIME
from spanledger_collector.tables import SETTLEMENTS

SPANS_A_TRACE: Final = 10
FIRST: Final = datetime(2026, 11, 2, tzinfo=UTC)
CHUNK_ROWS: Final = 500_000
ROLES: Final = ("agent", "inference", "tool", "inference", "tool", "inference", "tool", "inference", "other", "other")
MODELS: Final = (
    ("openai", "gpt-5"),
    ("openai", "gpt-5-mini"),
    ("openai", "gpt-4o-mini"),
    ("anthropic", "claude-sonnet-4-5"),
    ("anthropic", "claude-haiku-4-5"),
    ("gcp.gemini", "gemini-2.5-flash"),
)
METERS: Final = ("input_tokens", "cache_read_tokens", "cache_write_5m_tokens", "output_tokens")
COLUMNS: Final = ("input_uncached_tokens", "cache_read_tokens", "cache_write_5m_tokens", "output_tokens")
"""Columns that the meters count, in their order."""
ONE_MODEL: Final = "gpt-5-mini"
_STATE: Final = (
    "count(*), count(cost_usd), sum(cost_usd),"
    " sum(cost_input), sum(cost_cache_read), sum(cost_cache_write), sum(cost_output), sum(cost_other),"
)


def pico_per_token(model: int, meter: int, contract: int) -> int:
    """Return what a contract says that a token costs, in millionths of a millionth dollar: no two alike."""
    return 100_000 * (7 * model + 3 * meter + 11 * contract + 5)


def contract_text(number: int) -> str:
    """Return a contract with a price for every model."""
    entries = []
    for model, (provider, name) in enumerate(MODELS):
        usd = [Decimal(pico_per_token(model, meter, number)).scaleb(-6) for meter in range(len(METERS))]
        listed = ", ".join(f'{meter} = "{price:f}"' for meter, price in zip(METERS, usd, strict=True))
        entry = f'[[price]]\nprovider = "{provider}"\nmodel = "{name}"\nusd_per_million = {{ {listed} }}\n'
        entries.append(entry)
    return "\n".join(entries)


def spans(day: int, count: int, random: np.random.Generator) -> pa.Table:
    """Return rows of one day, priced as a collector does."""
    traces = count // SPANS_A_TRACE
    rows = traces * SPANS_A_TRACE
    place = np.tile(np.arange(SPANS_A_TRACE), traces)
    model = pa.array(random.integers(0, len(MODELS), rows))
    calls = pa.array(np.isin(ROLES, "inference")[place])
    midnight = int((FIRST + day * timedelta(days=1)).timestamp()) * 1_000_000
    start = np.sort(random.integers(0, 86_000_000_000, traces)).repeat(SPANS_A_TRACE) + place * 200_000 + midnight
    fresh, read = random.integers(20, 5000, rows), random.integers(0, 3, rows) * 1024
    written, out, thought = random.integers(0, 2, rows) * 512, random.integers(1, 900, rows), place * 8
    counts = {
        "input_uncached_tokens": fresh,
        "cache_read_tokens": read,
        "cache_write_5m_tokens": written,
        "input_tokens": fresh + read + written,
        "output_text_tokens": out,
        "reasoning_tokens": thought,
        "output_tokens": out + thought,
    }
    columns: dict[str, Any] = {
        "trace_id": _hex(random, traces, 16).take(pa.array(np.arange(traces).repeat(SPANS_A_TRACE))),
        "span_id": _hex(random, rows, 8),
        "name": pa.array(ROLES).take(pa.array(place)),
        "start_time": pa.array(start).cast(TIME),
        "duration_us": pa.array(random.integers(1000, 3_000_000, rows)),
        "ingested_at": pa.array(start + 3_000_000 + random.integers(0, 1000, traces).repeat(SPANS_A_TRACE)).cast(TIME),
        "dialect": pa.repeat("spanledger", rows),
        "role": pa.array(ROLES).take(pa.array(place)),
        "user_id": pc.binary_join_element_wise("u", pa.array(random.integers(0, 20_000, rows)).cast(pa.string()), "-"),
    }
    meant = {
        "provider": pa.array([provider for provider, _ in MODELS]).take(model),
        "request_model": pa.array([name for _, name in MODELS]).take(model),
        "response_model": pa.array([name for _, name in MODELS]).take(model),
        "usage_state": pa.repeat("reported", rows),
        "billing_basis": pa.repeat("usage", rows),
        **{name: pa.array(values) for name, values in counts.items()},
    }
    columns |= {name: pc.if_else(calls, values, pa.scalar(None, values.type)) for name, values in meant.items()}
    made = [columns.get(field.name, pa.nulls(rows, field.type)) for field in SCHEMA]
    return price_all(pa.table(made, schema=SCHEMA))


def make_lake(lake: Path, count: int, days: int) -> None:
    """Write a lake, a chunk at a time."""
    random = np.random.default_rng(20261122)
    for day in range(days):
        sizes = [CHUNK_ROWS] * (count // days // CHUNK_ROWS) + [count // days % CHUNK_ROWS]
        chunks = (spans(day, size, random) for size in sizes if size)
        files = [write_file(lake, f"part-{number}", chunk) for number, chunk in enumerate(chunks)]
        add_files(lake, files, writer="benchmark", version=day)


@dataclass(frozen=True, slots=True)
class Run:
    """One run of `spanledger reprice`."""

    cpu_s: float
    wall_s: float
    peak_mb: int
    killed: bool
    changed: int
    """Calls that have, or would have, another price."""

    def figures(self) -> dict[str, float]:
        """Return what it took."""
        return {"cpu_s": round(self.cpu_s, 1), "wall_s": round(self.wall_s, 1), "peak_mb": self.peak_mb}


def reprice(lake: Path, contract: Path, *options: str, kill_at: int | None = None, later_s: float = 0) -> Run:
    """Run it, and kill it `later_s` after it has committed day number `kill_at` (of all that this lake has seen)."""
    argv = [sys.executable, "-m", "spanledger_cli", "reprice", "--lake", str(lake), "--format", "json", *options]
    environment = {**os.environ, "SPANLEDGER_CONTRACT": str(contract)}
    began = time.perf_counter()
    with tempfile.TemporaryFile("w+") as told:
        process = subprocess.Popen(argv, env=environment, stdout=told, stderr=subprocess.DEVNULL)  # noqa: S603
        if kill_at is not None:
            while not (lake / "settlements" / "_delta_log" / f"{kill_at:020d}.json").exists():
                if process.poll() is not None:
                    raise RuntimeError(f"reprice ended ({process.returncode}) before day {kill_at} was committed")
                time.sleep(0.02)
            time.sleep(later_s)
            process.send_signal(signal.SIGKILL)
        peak_mb, ended = 0, 0
        while not ended:
            peak_mb = _peak_mb(process.pid) or peak_mb
            ended, status, used = os.wait4(process.pid, os.WNOHANG)
            time.sleep(0.02)
        process.returncode = os.waitstatus_to_exitcode(status)
        told.seek(0)
        text = told.read()
    killed = process.returncode == -signal.SIGKILL
    if not killed and process.returncode:
        raise SystemExit(f"reprice ended with {process.returncode}")
    changed = 0 if killed else sum(row["calls"] for row in json.loads(text))
    wall = time.perf_counter() - began
    print(f"{' '.join(options) or 'all'}: {used.ru_utime + used.ru_stime:.1f} CPU seconds", file=sys.stderr, flush=True)
    return Run(used.ru_utime + used.ru_stime, wall, peak_mb, killed, changed)


def expected(lake: Path, contract: int) -> tuple[int, int, Decimal]:
    """Return spans, calls and dollars by a contract, from the tokens in the files alone."""
    prices = [
        (name, *(pico_per_token(model, meter, contract) for meter in range(len(METERS))))
        for model, (_, name) in enumerate(MODELS)
    ]
    with duckdb.connect() as connection:
        connection.execute("create table prices (model varchar, p0 hugeint, p1 hugeint, p2 hugeint, p3 hugeint)")
        connection.executemany("insert into prices values (?, ?, ?, ?, ?)", prices)
        pico = " + ".join(f"{column} * p{meter}" for meter, column in enumerate(COLUMNS))
        found = connection.execute(
            f"select count(*), count(model), sum({pico})::varchar"  # noqa: S608 - of the columns above
            " from read_parquet($files) left join prices on model = response_model",
            {"files": str(lake / "spans" / "*" / "*.parquet")},
        ).fetchall()
    (every, calls, total) = found[0]
    return every, calls, Decimal(total).scaleb(-12)


def state(lake: Path, view: str) -> tuple[Any, ...]:
    """Return sums over a view, and one number that any change of any row of it would change."""
    told = "trace_id, span_id, dt, cost_usd, price_id, cost_input, cost_cache_read, cost_cache_write, cost_output"
    with connect(lake) as connection:
        connection.execute("set memory_limit = '8GB'")
        found = connection.execute(f"select {_STATE} bit_xor(hash({told})) from {view}")  # noqa: S608 - ours
        return tuple(found.fetchall()[0])


def report(folder: Path, count: int, days: int) -> dict[str, Any]:
    """Make the lake, reprice it in all ways, and compare."""
    lake, copy, contracts = folder / "lake", folder / "copy", [folder / f"{number}.toml" for number in range(2)]
    for number, path in enumerate(contracts):
        path.write_text(contract_text(number), "utf-8")
    make_lake(lake, count, days)
    shutil.copytree(lake, copy, copy_function=os.link)
    booked = state(lake, "spans_as_booked")
    every, calls, dollars = expected(lake, 0)

    dry = reprice(lake, contracts[0], "--dry-run")
    _check("a dry run changes nothing", read_rows(lake, SETTLEMENTS).num_rows, 0)
    whole = reprice(lake, contracts[0])
    again = reprice(lake, contracts[0])
    after, corrections = state(lake, "spans"), state(lake, "corrections")
    _check("rows and dollars are those of tokens x price", after[:3], (every, calls, dollars))
    _check("every call says what it was and is", corrections[:3], (calls, calls, dollars))
    _check("what was booked stays", state(lake, "spans_as_booked"), booked)
    _check("calls that change", (dry.changed, whole.changed, again.changed), (calls, calls, 0))

    kills = [reprice(copy, contracts[0], kill_at=days_done, later_s=0.4 * days_done) for days_done in (1, 2)]
    rest = reprice(copy, contracts[0])
    _check("killed", [one.killed for one in kills], [True, True])
    _check(
        "killed and finished is as if never killed",
        (state(copy, "spans"), state(copy, "corrections")),
        (after, corrections),
    )
    _check("some was left to do", 0 < rest.changed < calls, True)

    one = reprice(lake, contracts[1], "--model", ONE_MODEL)
    return {
        "spans": every,
        "calls_repriced": calls,
        "usd": str(dollars),
        "dry_run": dry.figures(),
        "all": whole.figures(),
        "again": again.figures(),
        "one_model_of_six": {**one.figures(), "calls": one.changed},
        "after_two_kills": {**rest.figures(), "calls": rest.changed},
    }


def main() -> None:
    """Print a JSON object with every figure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--spans", type=int, default=10_000_000)
    parser.add_argument("--days", type=int, default=5, help="at least 4: the copy is killed on the second and third")
    parser.add_argument("--folder", help="for the lakes, about 90 bytes a span; default: a temporary one")
    flags = parser.parse_args()
    told = {name: version(name) for name in ("pyarrow", "deltalake", "duckdb")}
    with tempfile.TemporaryDirectory(dir=flags.folder) as folder:
        found = report(Path(folder), flags.spans, flags.days)
    found |= {"load_average": os.getloadavg()[0], "machine": platform.platform(), "versions": told}
    print(f"evidence: {json.dumps(found)}" if os.environ.get("SPANLEDGER_PROVE") else json.dumps(found, indent=1))


def _check(what: str, found: object, wanted: object) -> None:
    if found != wanted:
        raise SystemExit(f"{what}: found {found}, wanted {wanted}")


def _peak_mb(process: int) -> int:
    """Return the most memory that it had so far; not that of `wait4`, which begins with what its parent has."""
    status = Path(f"/proc/{process}/status")
    found = re.search(r"VmHWM:\s+(\d+) kB", status.read_text()) if status.exists() else None
    return int(found[1]) // 1024 if found else 0


def _hex(random: np.random.Generator, count: int, size: int) -> pa.Array:
    text = random.bytes(count * size).hex().encode()
    ends = np.arange(count + 1, dtype=np.int32) * 2 * size
    return pa.StringArray.from_buffers(count, pa.py_buffer(ends), pa.py_buffer(text))


if __name__ == "__main__":
    main()
