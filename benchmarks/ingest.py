"""What taking traces in costs: real OTLP over loopback into a real `spanledger collect`, until the rows can be queried.

The load are traces of an agent, made from a fixed seed: 8 spans each, 25 attributes on a chat, events, lists, errors.
A client in a process of its own sends bodies that were encoded before and only get new ids and times; CPU and memory
are those of the collector's process tree alone, from /proc, and count once the first 5,000 spans are through. Spans
are queryable once the table's log names their file; at the end DuckDB counts them.

The same load, less of it, then goes into arize-phoenix and mlflow as they come, each from PyPI in a virtual
environment made on first use below the cache folder. They do more for a span than we do, and say so in the output.
Trust sizes and ratios. Rates and lags are those of a machine that does nothing else, and the CPU of any process rises
by a third and more where others fight over the caches: look at `load_average`. Without options it takes some six
minutes.

    python benchmarks/ingest.py [--spans 200000] [--rounds 3] [--peers arize-phoenix,mlflow]
    python benchmarks/ingest.py --quick            # a minute, no peers, small figures are rough
    python benchmarks/ingest.py --only stages      # what each step of the converter costs, in this process
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import json
import os
import platform
import shutil
import socket
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

import numpy as np

from agent_load import start_client, told_by
from agent_traces import make_bodies
from collector_process import Collector, collecting
from process_tree import cpu_seconds, name_of, thread_cpu_seconds, tree_of, watching_memory
from queryable import lags_of, look, watching_rows
from spanledger_analytics.connection import connect
from spanledger_collector import rows as rows_module
from spanledger_collector.duplicates import mark_duplicates
from spanledger_collector.lake import append_files, live_files, open_table, table_path, write_days
from spanledger_collector.normalise import normalise
from spanledger_collector.pricing import price_rows
from spanledger_collector.serve import STAGES
from spanledger_collector.upkeep import merge_small_files
from waiting import wait_until

PARTS = ("cpu", "fingerprints", "stages", "merge", "burst", "lag", "peers")
WARM_UP = 5_000
RATE = 20_000
"""Spans a second at which the lag is measured."""
CONNECTIONS = 8
PEERS: dict[str, str] = {
    "arize-phoenix": "prices each span from its own table, sums tokens and costs up the trace, keeps annotations",
    "mlflow": "makes a trace record with sums and previews, and keeps each span whole as JSON, in one transaction",
}
"""Peer -> what it does for a span that we don't do when it comes in."""
VERSIONS = {"arize-phoenix": "20.26.1", "mlflow": "3.17.2"}
PEER_START_S = 180.0


# The collector


def measure(spans: int, flags: tuple[str, ...] = ()) -> dict[str, float]:
    """Send spans as fast as they are acknowledged; return CPU by process and thread, memory and bytes."""
    with running() as collector:
        before, threads = by_stage(collector), thread_cpu_seconds(collector.process.pid)
        with watching_memory(collector.process.pid) as memory:
            told = told_by(start_client(collector.http_port, "--spans", str(spans), *flags))
            collector.wait_for_commit()
        per_100k = 1e5 / told.spans
        spent = {name: (after - before[name]) * per_100k for name, after in by_stage(collector).items()}
        mine = thread_cpu_seconds(collector.process.pid)
        receive = (mine[collector.process.pid] - threads[collector.process.pid]) * per_100k
        check(collector, told.spans + first_spans())
        return {
            "total": sum(spent.values()),
            "receive and parse": receive,
            "log": spent["serve"] - receive,
            "convert": spent["convert"],
            **{name: spent[name] for name in STAGES if name != "convert"},
            "peak_memory_mb": max(memory) / 1e6,
            "bytes_per_span": stored_bytes(collector) / look(collector.lake).rows,
            "wire_bytes_per_span": told.bytes / told.spans,
            "client_cpu_s_per_100k": told.cpu_seconds * per_100k,
        }


def measure_burst(seconds: float, check_by: str) -> dict[str, float]:
    """Send as fast as it is acknowledged for some seconds, while rows are being made."""
    with running("--check", check_by) as collector:
        start = time.monotonic()
        with watching_memory(collector.process.pid) as memory:
            told = told_by(
                start_client(collector.http_port, "--seconds", str(seconds), "--connections", str(CONNECTIONS))
            )
            converted = look(collector.lake).rows
            collector.wait_for_commit()
        check(collector, told.spans + first_spans())
        return {
            "acknowledged_per_s": told.spans / told.seconds,
            "ack_p50_ms": percentile(told.waited_ms, 50),
            "ack_p99_ms": percentile(told.waited_ms, 99),
            "queryable_at_the_end_of_the_burst": converted / told.spans,
            "queryable_per_s": told.spans / (time.monotonic() - start),
            "peak_memory_mb": max(memory) / 1e6,
            "refused": sum(told.refused.values()),
        }


def measure_lag(seconds: float) -> dict[str, float]:
    """Send at a rate, and watch when the rows come up."""
    with running() as collector:
        before, start = cpu_seconds(collector.process.pid), time.monotonic()
        flags = ("--seconds", str(seconds), "--rate", str(RATE), "--connections", str(CONNECTIONS))
        with watching_rows(collector.lake) as seen:
            told = told_by(start_client(collector.http_port, *flags))
            collector.wait_for_commit()
        taken = cpu_seconds(collector.process.pid) - before
        check(collector, told.spans + first_spans())
        lags = lags_of(told, seen, first_spans())
        return {
            "sent_per_s": told.spans / told.seconds,
            "lag_p50_s": percentile(lags, 50),
            "lag_p99_s": percentile(lags, 99),
            "lag_max_s": max(lags),
            "ack_p99_ms": percentile(told.waited_ms, 99),
            "cpu_s_per_100k": taken * 1e5 / told.spans,
            "cores": taken / (time.monotonic() - start),
        }


@contextlib.contextmanager
def running(*more: str) -> Iterator[Collector]:
    """Run a collector that has been warmed up."""
    with (
        tempfile.TemporaryDirectory(prefix="spanledger-ingest-") as folder,
        collecting(Path(folder), more=more) as collector,
    ):
        told_by(start_client(collector.http_port, "--spans", str(WARM_UP)))
        collector.wait_for_commit()
        yield collector


def first_spans() -> int:
    """Return how many spans the warm-up sends: whole requests."""
    per_request = 63 * 8
    return -(-WARM_UP // per_request) * per_request


def by_stage(collector: Collector) -> dict[str, float]:
    """Return the CPU seconds of each process of the collector."""
    spent = dict.fromkeys(("serve", *STAGES), 0.0)
    for process in tree_of(collector.process.pid):
        name = name_of(process)
        spent["maintain" if name == "jobs" else name] += process.cpu_s
    return spent


def stored_bytes(collector: Collector) -> int:
    """Return what the live data files take on disk."""
    table = open_table(collector.lake)
    return sum((table_path(collector.lake) / file.path).stat().st_size for file in live_files(table))


def check(collector: Collector, spans: int) -> None:
    """End the benchmark unless DuckDB sees every span once, and a price on what is priced."""
    with contextlib.closing(connect(collector.lake)) as connection:
        query = "select count(*), count(distinct span_id), count(cost_usd) from spans"
        found = connection.execute(query).fetchone()
    if found is None or found[:2] != (spans, spans) or not found[2]:
        raise SystemExit(f"{spans} spans were acknowledged; DuckDB sees (rows, ids, priced) {found}")


# The converter's steps, in this process


def measure_stages(bodies: int) -> dict[str, float]:
    """Return CPU seconds per 100k spans of each step of the converter."""
    chance = np.random.default_rng(1)
    made = make_bodies(bodies)
    taken: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        open_table(Path(folder))
        for number in range(4):
            data = [body.renewed(chance, time.time_ns() - 10**10) for body in made]
            for name, seconds in steps(data, Path(folder), number).items():
                taken.setdefault(name, []).append(seconds * 1e5 / sum(body.spans for body in made))
    return {name: statistics.median(seconds[1:]) for name, seconds in taken.items()}


def steps(data: list[bytes], lake: Path, number: int) -> dict[str, float]:
    """Convert once, and return CPU seconds by step."""
    taken: dict[str, float] = {}

    def timed(name: str, work: Callable[[], Any]) -> Any:
        start = time.process_time()
        result = work()
        taken[name] = time.process_time() - start
        return result

    received = [time.time_ns()] * len(data)
    raw, _ = timed("read", lambda: rows_module.read(data))
    raw, _ = timed("check dates and ids", lambda: rows_module._refuse(raw, data, time.time_ns()))
    normal = timed("normalise", lambda: normalise(raw, received))
    once = timed("dedupe", lambda: mark_duplicates(normal))
    priced = timed("price", lambda: price_rows(once))
    timed("write", lambda: write_days(lake, f"stages-{number}", priced))
    return taken


def measure_merge(files: int) -> dict[str, float]:
    """Return what it takes to merge small files, as the maintainer has it done once for every row."""
    chance = np.random.default_rng(1)
    made = make_bodies(100)
    with tempfile.TemporaryDirectory() as folder:
        lake, table = Path(folder), open_table(Path(folder))
        for number in range(files):
            some = [made[(number * 10 + place) % len(made)] for place in range(10)]
            data = [body.renewed(chance, time.time_ns() - 10**10) for body in some]
            rows = rows_module.convert(data, [time.time_ns()] * len(data)).rows
            append_files(table, write_days(lake, f"small-{number}", rows), writer="benchmark", version=number)
        start, spans = time.process_time(), files * 10 * made[0].spans
        (merged,) = merge_small_files(table).new
        return {"cpu_s_per_100k": (time.process_time() - start) * 1e5 / spans, "bytes_per_span": merged.size / spans}


# Peers


@dataclass(frozen=True, slots=True)
class Peer:
    """A peer that runs."""

    pid: int
    port: int
    database: Path

    def spans(self) -> int:
        """Return how many spans its database holds."""
        with (
            contextlib.suppress(sqlite3.Error),
            contextlib.closing(sqlite3.connect(f"file:{self.database}?mode=ro", uri=True, timeout=10)) as connection,
        ):
            return int(connection.execute("select count(*) from spans").fetchone()[0])
        return 0


def measure_peer(name: str, spans: int) -> dict[str, object]:
    """Send spans into a peer until its database holds them all."""
    with tempfile.TemporaryDirectory(prefix=f"spanledger-{name}-") as folder, running_peer(name, Path(folder)) as peer:
        flags = ["--traces", "16", "--connections", "2"]
        if name == "mlflow":
            flags += ["--header", "x-mlflow-experiment-id: 0"]
        warm = told_by(start_client(peer.port, "--spans", "512", *flags))
        wait_until(lambda: peer.spans() >= warm.spans, timeout_s=300, what=f"{name}'s first spans")
        before, start = cpu_seconds(peer.pid), time.monotonic()
        with watching_memory(peer.pid, 0.2) as memory:
            told = told_by(start_client(peer.port, "--spans", str(spans), *flags))
            wait_until(lambda: peer.spans() >= warm.spans + told.spans, timeout_s=900, what=f"{name}'s spans")
        taken = cpu_seconds(peer.pid) - before
        size = sum(file.stat().st_size for file in Path(folder).rglob("*") if file.is_file())
        return {
            "version": VERSIONS[name],
            "spans": told.spans,
            "cpu_s_per_100k": round(taken * 1e5 / told.spans, 1),
            "queryable_per_s": round(told.spans / (time.monotonic() - start), 1),
            "peak_memory_mb": round(max(memory) / 1e6),
            "bytes_per_span": round(size / peer.spans()),
            "does_more": PEERS[name],
        }


def cache_folder() -> Path:
    """Return where the peers' environments are kept."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "spanledger" / "benchmarks"


def bin_of(name: str) -> Path:
    """Return the programs of a peer, making its environment if there is none."""
    folder = cache_folder() / name
    if not (folder / "complete").exists():
        print(f"installing {name} in {folder}", file=sys.stderr, flush=True)
        venv.create(folder, with_pip=True, clear=True)
        install = [folder / "bin" / "python", "-m", "pip", "install", "--quiet", f"{name}=={VERSIONS[name]}"]
        subprocess.run(install, check=True)  # noqa: S603
        (folder / "complete").touch()
    return folder / "bin"


@contextlib.contextmanager
def running_peer(name: str, folder: Path) -> Iterator[Peer]:
    """Run a peer's server on a free port, with SQLite below `folder`."""
    port = free_port()
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONHOME")}
    if name == "mlflow":
        database = folder / "mlflow.db"
        argv = ["mlflow", "server", "--backend-store-uri", f"sqlite:///{database}", "--workers", "1"]
        argv += ["--artifacts-destination", str(folder / "artifacts"), "--host", "127.0.0.1", "--port", str(port)]
        environment["MLFLOW_DISABLE_TELEMETRY"] = "true"
    else:
        database = folder / "phoenix.db"
        argv = ["phoenix", "serve"]
        environment |= {"PHOENIX_WORKING_DIR": str(folder), "PHOENIX_PORT": str(port), "PHOENIX_HOST": "127.0.0.1"}
        environment |= {"PHOENIX_GRPC_PORT": str(free_port()), "PHOENIX_TELEMETRY_ENABLED": "false"}
    command = [str(bin_of(name) / argv[0]), *argv[1:]]
    with (folder / "server.log").open("wb") as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log, cwd=folder)  # noqa: S603
        try:
            wait_until(lambda: is_listening(port), timeout_s=PEER_START_S, what=f"{name} to listen")
            yield Peer(process.pid, port, database)
        except BaseException:
            shutil.copyfileobj((folder / "server.log").open("r"), sys.stderr)
            raise
        finally:
            for member in reversed(tree_of(process.pid)):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(member.pid, 9)
            process.wait()


def free_port() -> int:
    """Return a port that nobody has."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def is_listening(port: int) -> bool:
    """Say whether a server answers."""
    with contextlib.suppress(OSError, http.client.HTTPException):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        connection.request("GET", "/", headers={"Host": f"localhost:{port}"})
        return connection.getresponse().status < 500
    return False


# Report


def percentile(values: list[float], of_100: float) -> float:
    """Return a percentile."""
    return float(np.percentile(values, of_100))


def median_of(rounds: list[dict[str, float]]) -> dict[str, float]:
    """Return the median of each figure, rounded to what can be told apart."""
    return {name: round(statistics.median(one[name] for one in rounds), 3) for name in rounds[0]}


def say(what: str) -> None:
    """Tell on stderr what is being measured."""
    print(f"ingest: {what}", file=sys.stderr, flush=True)


def report(options: argparse.Namespace) -> dict[str, Any]:
    """Measure, and return what is printed."""
    wanted = options.only.split(",") if options.only else list(PARTS)
    found: dict[str, Any] = {}
    if "cpu" in wanted:
        say(f"{options.spans} spans, {options.rounds} times")
        rounds = [measure(options.spans) for _ in range(options.rounds)]
        found["cpu_s_per_100k"] = median_of(rounds)
        found["cpu_s_per_100k_of_each_round"] = [round(one["total"], 3) for one in rounds]
    if "fingerprints" in wanted:
        say("with fingerprints")
        found["with_fingerprints"] = median_of([measure(options.spans, ("--fingerprints",))])
    if "stages" in wanted:
        say("the converter's steps")
        found["convert_steps_cpu_s_per_100k"] = median_of([measure_stages(40)])
    if "merge" in wanted:
        say("merging small files")
        found["merge_of_small_files"] = median_of([measure_merge(60) for _ in range(options.rounds)])
    if "burst" in wanted:
        say(f"as fast as it is acknowledged, {options.seconds:g} s")
        found["burst"] = {
            check_by: median_of([measure_burst(options.seconds, check_by)]) for check_by in ("parse", "framing")
        }
    if "lag" in wanted:
        say(f"{RATE} spans a second, {options.lag_seconds:g} s")
        found[f"at_{RATE}_per_s"] = median_of([measure_lag(options.lag_seconds)])
    if "peers" in wanted and options.peers:
        found["peers"] = measure_peers(options.peers.split(","), options.peer_spans)
        if "cpu" in wanted:
            ours = found["cpu_s_per_100k"]["total"]
            cpu = {name: float(peer["cpu_s_per_100k"]) for name, peer in found["peers"].items()}
            found["times_less_cpu_than"] = {name: round(theirs / ours, 1) for name, theirs in cpu.items()}
    return found | {
        "python": platform.python_version(),
        "versions": {name: version(name) for name in ("spanledger", "pyarrow", "ptars", "deltalake", "duckdb")},
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "load_average": [round(load, 1) for load in os.getloadavg()],
    }


def measure_peers(names: list[str], spans: int) -> dict[str, dict[str, object]]:
    """Return the figures of each peer."""
    found = {}
    for name in names:
        say(f"{name}, {spans} spans")
        found[name] = measure_peer(name, spans)
    return found


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--spans", type=int, default=200_000, help="in a round of the CPU figure")
    parser.add_argument("--rounds", type=int, default=3, help="of which the median is told")
    parser.add_argument("--seconds", type=float, default=8, help="of a burst")
    parser.add_argument("--lag-seconds", type=float, default=30)
    parser.add_argument("--peers", default=",".join(PEERS), help="'' for none")
    parser.add_argument("--peer-spans", type=int, default=2_000)
    parser.add_argument("--only", default="", help=", ".join(PARTS))
    parser.add_argument("--quick", action="store_true", help="one short round each, and no peers")
    options = parser.parse_args()
    if options.quick:
        options.spans, options.rounds, options.seconds, options.lag_seconds, options.peers = 60_000, 1, 3, 6, ""
    found = report(options)
    print(f"evidence: {json.dumps(found)}" if os.environ.get("SPANLEDGER_PROVE") else json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
