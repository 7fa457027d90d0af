"""What holding a call and settling it costs, in each store, beside what else checks a budget; and what it is worth.

    python benchmarks/guard.py [--calls 5000] [--rounds 3] [--peers limits,litellm]

A call has four scopes, as an application has them: the user's budget of the day, the team's of the month, tokens a
minute, and calls under way. One figure is the time of `reserve` and `settle` together, by the clock, of single calls
one after the other in one thread (the store's `sent` between them is told apart), as an application does it: settling
in Redis isn't waited for, but the next call's reservation waits for both. The first tenth is to warm up, and of the
rounds, which take turns, the one with the least median is told. The Redis is one of its own, on loopback.
`us` are those of a machine that does nothing else: look at `load_average`, and at `floor`, the time of what no store
can do without: a `PING` of the same client library, an empty transaction of SQLite.

`limits` is the library of that name: four `hit`s of its SlidingWindowCounter, which has neither budgets nor a way
back. `litellm` is the proxy's own reservation and reconciliation, called in-process as its request path does, with
budgets of key, team and user, in its in-memory counters; it prices the call and counts its tokens within, which ours
has done before. Each peer runs in a virtual environment made on first use below the cache folder.

`breakers` is what a closed breaker adds to a call but for its lines in the store: its scope, its state, what it draws
on, what it sees; one on dollars a minute, and one that watches velocity, share and forecast of a budget as well.

`ten_dollars` is what 64 threads spend of $10 with calls of half a dollar that take 5 ms: check, then add, and ours with
estimates that are right, or too high.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import platform
import random
import shutil
import socket
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
import venv
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

SEED = 20_261_129
# What litellm's extra `proxy` brings, without the database's migrations.
_PROXY = """fastapi orjson python-multipart apscheduler backoff PyJWT cryptography uvicorn gunicorn websockets rich
pyyaml fastapi-sso boto3 mcp polars soundfile rq croniter email-validator pynacl expression"""
PEERS = {"limits": ("limits==5.8.0", "redis==8.1.0"), "litellm": ("litellm==1.109.1", *_PROXY.split())}
NOW_MS = 1_764_000_000_000
CALL = 500_000_000
TEN_DOLLARS = 20 * CALL
AT_ONCE = 64
Timed = Callable[[int], tuple[float, ...]]
"""Makes call number so and so; returns how long its parts took, in microseconds."""


def figures(calls: int, names: tuple[str, ...], timed: Timed) -> dict[str, Any]:
    """Return median, least and 99th percentile of each part, and the CPU of all."""
    parts: list[tuple[float, ...]] = []
    start = 0.0
    for number in range(calls + calls // 10):
        if number == calls // 10:
            parts.clear()
            start = time.process_time()
        parts.append(timed(number))
    cpu_us = (time.process_time() - start) / calls * 1e6
    told: dict[str, Any] = {}
    for name, values in zip(names, zip(*parts, strict=True), strict=True):
        ordered = sorted(values)
        p99 = ordered[len(ordered) * 99 // 100]
        told[name] = {"us": round(ordered[len(ordered) // 2], 1), "min": round(ordered[0], 1), "p99": round(p99, 1)}
    return {**told, "cpu_us": round(cpu_us, 1)}


def since(start: int) -> float:
    """Return microseconds since a moment of `perf_counter_ns`."""
    return (time.perf_counter_ns() - start) / 1000


# Ours


def of_store(store: Any, calls: int) -> dict[str, Any]:
    """Measure a store; the numbers of users and teams, and what calls spend, are drawn."""
    from spanledger.guard.store import Line

    chance = random.Random(SEED)  # noqa: S311
    wanted = [
        (
            Line(
                f"a user, a day/u{chance.randrange(100)}/2026-11-24", "budget", "usd", 900_000, 10**14, NOW_MS + 10**8
            ),
            Line(f"a team, a month/t{chance.randrange(5)}/2026-11", "budget", "usd", 900_000, 10**14, NOW_MS + 10**9),
            Line("no flood", "rate", "tokens", 1_500, 10**12, 0, 60_000),
            Line("under way", "lease", "calls", 1, 10**6),
        )
        for _ in range(calls + calls // 10)
    ]
    spent = [(chance.randrange(10**6), chance.randrange(3000)) for _ in wanted]

    def timed(number: int) -> tuple[float, ...]:
        call, now_ms = f"{number:016x}", NOW_MS + 10 * number
        start = time.perf_counter_ns()
        store.reserve(call, wanted[number], now_ms)
        reserved = since(start)
        start = time.perf_counter_ns()
        store.sent(call)
        sent = since(start)
        start = time.perf_counter_ns()
        store.tell_settled(call, *spent[number], now_ms + 5)
        settled = since(start)
        return reserved + settled, reserved, settled, sent

    told = figures(calls, ("reserve and settle", "reserve", "settle", "sent"), timed)
    if any(one.held for one in store.accounts()):
        raise RuntimeError("a call was held and not settled")
    return told


def ours(kind: str, calls: int, redis_url: str) -> dict[str, Any]:
    """Measure one of our stores, new."""
    from spanledger.guard.memory import MemoryStore
    from spanledger.guard.redis_store import RedisStore
    from spanledger.guard.sqlite import SqliteStore

    with tempfile.TemporaryDirectory() as folder:
        store: Any = {
            "memory": MemoryStore,
            "sqlite": lambda: SqliteStore(Path(folder) / "guard.sqlite"),
            "redis": lambda: RedisStore(redis_url, prefix=str(time.perf_counter_ns()), timeout_s=5),
        }[kind]()
        try:
            return of_store(store, calls)
        finally:
            store.close()


def breakers(calls: int) -> dict[str, Any]:
    """Measure what closed breakers add to a call, without the store."""
    from fractions import Fraction

    from spanledger.guard.breaker import Breaker
    from spanledger.guard.breakers import Breakers
    from spanledger.guard.memory import MemoryStore
    from spanledger.guard.plans import Plan, of_budget
    from spanledger.guard.policy import Budget, Facts, make_match

    match = make_match({"user_id": "*"})
    budget = Budget("a user's day", match, "day", 10**14, "usd", ())
    pace = Breaker("pace", match, usd_per_minute=10**14)
    whole = Breaker(
        "whole",
        match,
        budget=budget,
        budget_share=10**14,
        forecast=10**14,
        usd_per_minute=10**14,
        velocity=Fraction(3),
        velocity_floor=10**14,
    )

    def timer(rule: Breaker) -> Timed:
        store, found = MemoryStore(), Breakers(time.time_ns)
        found.use(store, [rule])

        def timed(number: int) -> tuple[float]:
            call, now_ms = f"{number:016x}", NOW_MS + 10 * number
            facts = Facts({"user.id": f"u{number % 100}"}, "")
            drawn = list(of_budget(budget, facts.values["user.id"], "", 900_000, now_ms, lambda _: False))
            start = time.perf_counter_ns()
            watch = found.watch(facts)
            if watch is None:
                raise RuntimeError("no breaker is about the call")
            watch.before(store, call, now_ms)
            plans: list[Plan] = [*drawn, *watch.plans(lambda: 900_000, now_ms)]
            first = since(start)
            balances = store.reserve(call, [plan.line for plan in plans], now_ms).balances
            start = time.perf_counter_ns()
            watch.after(plans, balances, now_ms)
            second = since(start)
            store.settle(call, 900_000, 0, now_ms)
            return (first + second,)

        return timed

    return {
        "one trip": figures(calls, ("a closed one",), timer(pace)),
        "four trips": figures(calls, ("a closed one",), timer(whole)),
    }


def floors(calls: int, redis_url: str) -> dict[str, Any]:
    """Measure what the stores are made of."""
    from redis import Redis

    def timer(work: Callable[[], object]) -> Timed:
        def timed(_number: int) -> tuple[float]:
            start = time.perf_counter_ns()
            work()
            return (since(start),)

        return timed

    with tempfile.TemporaryDirectory() as folder, contextlib.closing(Redis.from_url(redis_url)) as client:
        connection = sqlite3.connect(Path(folder) / "x", isolation_level=None)
        connection.execute("pragma journal_mode = wal")
        connection.execute("create table one (number integer)")

        def transaction() -> None:
            connection.execute("begin immediate")
            connection.execute("update one set number = number + 1")
            connection.execute("commit")

        told = {
            "redis-py, a PING": figures(calls, ("one",), timer(client.ping)),
            "sqlite, an empty transaction": figures(calls, ("one",), timer(transaction)),
        }
        connection.close()
    return told


# Peers, in processes of their own


def limits_hits(kind: str, calls: int, redis_url: str) -> dict[str, Any]:
    """Measure four hits of the library `limits`."""
    from limits import RateLimitItemPerDay, RateLimitItemPerMinute, RateLimitItemPerMonth, storage, strategies

    kept = storage.MemoryStorage() if kind == "memory" else storage.RedisStorage(redis_url)
    limiter = strategies.SlidingWindowCounterRateLimiter(kept)
    day, month = RateLimitItemPerDay(10**14), RateLimitItemPerMonth(10**14)
    minute, under_way = RateLimitItemPerMinute(10**12), RateLimitItemPerMinute(10**6)
    chance = random.Random(SEED)  # noqa: S311
    drawn = [(f"u{chance.randrange(100)}", f"t{chance.randrange(5)}") for _ in range(calls + calls // 10)]

    def timed(number: int) -> tuple[float]:
        user, team = drawn[number]
        start = time.perf_counter_ns()
        limiter.hit(day, user, cost=900_000)
        limiter.hit(month, team, cost=900_000)
        limiter.hit(minute, cost=1_500)
        limiter.hit(under_way)
        return (since(start),)

    return {**figures(calls, ("four hits",), timed), "version": version("limits")}


def litellm_reservation(calls: int) -> dict[str, Any]:
    """Measure LiteLLM's reservation and its reconciliation."""
    from litellm.caching.caching import DualCache
    from litellm.proxy import proxy_server
    from litellm.proxy._types import LiteLLM_TeamTable, LiteLLM_UserTable, UserAPIKeyAuth
    from litellm.proxy.spend_tracking import budget_reservation as budget
    from litellm.proxy.utils import ProxyLogging

    cache: Any = proxy_server.user_api_key_cache
    token = UserAPIKeyAuth(
        token="hashed",  # noqa: S106
        max_budget=1e9,
        spend=0.0,
        user_id="u",
        team_id="t",
        team_max_budget=1e9,
        team_spend=0.0,
    )
    team = LiteLLM_TeamTable(team_id="t", max_budget=1e9, spend=0.0)
    user = LiteLLM_UserTable(user_id="u", max_budget=1e9, spend=0.0, user_email=None)
    body = {"model": "gpt-4o", "max_tokens": 300, "messages": [{"role": "user", "content": "Where is Paris? " * 60}]}
    logging = ProxyLogging(user_api_key_cache=cache if isinstance(cache, DualCache) else DualCache())
    parts: list[int] = []

    async def run() -> dict[str, Any]:
        loop_parts: list[tuple[float, ...]] = []
        start_cpu = 0.0
        for number in range(calls + calls // 10):
            if number == calls // 10:
                loop_parts.clear()
                start_cpu = time.process_time()
            start = time.perf_counter_ns()
            reserved = await budget.reserve_budget_for_request(
                request_body=body,
                route="/chat/completions",
                llm_router=None,
                valid_token=token,
                team_object=team,
                user_object=user,
                prisma_client=None,
                user_api_key_cache=cache,
                proxy_logging_obj=logging,
                apply_user_budget_to_team_keys=True,
            )
            first = since(start)
            if reserved is None:
                raise RuntimeError("nothing was reserved")
            parts.append(len(reserved["entries"]))
            start = time.perf_counter_ns()
            await budget.reconcile_budget_reservation(reserved, 0.001)
            second = since(start)
            loop_parts.append((first + second, first, second))
        cpu_us = (time.process_time() - start_cpu) / calls * 1e6
        ready = iter(loop_parts)
        names = ("reserve and reconcile", "reserve", "reconcile")
        told = figures(calls * 10 // 11, names, lambda _number: next(ready))
        return {**told, "cpu_us": round(cpu_us, 1)}

    told = asyncio.run(run())
    return {**told, "scopes": max(parts), "version": version("litellm")}


def peer(name: str, what: str, calls: int, redis_url: str, environment: Path | None) -> dict[str, Any]:
    """Run a peer in its environment; what it could not do, in words."""
    folder = environment or _cache_folder() / f"guard-{name}"
    python = folder / "bin" / "python"
    if not python.exists():
        venv.create(folder, with_pip=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", *PEERS[name]], check=True)  # noqa: S603
    arguments = [python, __file__, "--worker", what, "--calls", str(calls), "--redis", redis_url]
    clean = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    clean["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # else it asks the network for prices
    done = subprocess.run(arguments, capture_output=True, text=True, check=False, env=clean)  # noqa: S603
    if done.returncode:
        return {"failed": (done.stderr.strip().splitlines() or ["without a word"])[-1]}
    told: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return told


def _cache_folder() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "spanledger" / "benchmarks"


# What it is worth


def ten_dollars() -> dict[str, float]:
    """Return the dollars that threads spend of ten, by how they ask."""
    from spanledger.guard.memory import MemoryStore
    from spanledger.guard.store import Line

    spent = [0]
    lock = threading.Lock()

    def check_then_add(_call: str) -> bool:
        if spent[0] + CALL > TEN_DOLLARS:
            return False
        time.sleep(0.005)
        with lock:
            spent[0] += CALL
        return True

    def held_for(times: float) -> Callable[[str], bool]:
        store = stores[times] = MemoryStore()
        line = Line("budget", "budget", "usd", round(CALL * times), TEN_DOLLARS)

        def ask(call: str) -> bool:
            if store.reserve(call, [line], NOW_MS).refused >= 0:
                return False
            time.sleep(0.005)
            return store.settle(call, CALL, 0, NOW_MS)

        return ask

    stores: dict[float, MemoryStore] = {}
    _at_once(check_then_add)
    told = {"check, then add": spent[0] / 1e9}
    for times, name in ((1, "held at the price"), (1.1, "held a tenth too high"), (2, "held at twice the price")):
        _at_once(held_for(times))
        told[name] = stores[times].accounts()[0].spent / 1e9
    return told


def _at_once(ask: Callable[[str], bool]) -> None:
    """Ask in many threads, in each until refused."""
    barrier = threading.Barrier(AT_ONCE)

    def work(worker: int) -> None:
        barrier.wait()
        turn = 0
        while ask(f"{worker}/{turn}"):
            turn += 1

    threads = [threading.Thread(target=work, args=(worker,)) for worker in range(AT_ONCE)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


@contextlib.contextmanager
def redis_server() -> Iterator[str]:
    """Run a Redis on a port of its own, on loopback."""
    from redis import Redis
    from redis.exceptions import RedisError

    program = shutil.which("redis-server")
    if program is None:
        sys.exit("needs the program redis-server: apt-get install redis-server")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with tempfile.TemporaryDirectory() as folder:
        options = ("--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no")
        process = subprocess.Popen([program, *options], cwd=folder, stdout=subprocess.DEVNULL)  # noqa: S603
        try:
            with contextlib.closing(Redis(port=port)) as client:
                for _ in range(500):
                    with contextlib.suppress(RedisError):
                        if client.ping():
                            break
                    time.sleep(0.02)
            yield f"redis://127.0.0.1:{port}/0"
        finally:
            process.kill()
            process.wait()


def best(rounds: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the round with the least median of its first part."""
    return min(rounds, key=lambda told: next(iter(told.values()))["us"] if "failed" not in told else 0)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=5000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--peers", default=",".join(PEERS), help="Of these; empty: none.")
    parser.add_argument("--environment", type=Path, action="append", default=[], help="Of a peer, in their order.")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    parser.add_argument("--redis", default="", help=argparse.SUPPRESS)
    flags = parser.parse_args()
    if flags.worker:  # in a peer's environment, where nothing of ours is
        kind = flags.worker.partition(" ")[2]
        is_limits = flags.worker.startswith("limits")
        told = limits_hits(kind, flags.calls, flags.redis) if is_limits else litellm_reservation(flags.calls)
        print(json.dumps(told))
        return
    from redis import Redis

    names = [name for name in flags.peers.split(",") if name]
    environments = dict(zip(names, flags.environment, strict=False))
    runs: dict[str, list[dict[str, Any]]] = {}
    with redis_server() as url:
        for _ in range(flags.rounds):
            for kind in ("memory", "sqlite", "redis"):
                runs.setdefault(f"spanledger, {kind}", []).append(ours(kind, flags.calls, url))
            for name, what in (("limits", "limits memory"), ("limits", "limits redis"), ("litellm", "litellm memory")):
                if name in names:
                    told = peer(name, what, flags.calls, url, environments.get(name))
                    runs.setdefault(what.replace(" ", ", "), []).append(told)
        floor = floors(flags.calls, url)
        with contextlib.closing(Redis.from_url(url)) as client:
            server = client.info("server")["redis_version"]
    told = {
        "machine": f"{platform.platform()}, {os.cpu_count()} cores",
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
        "redis-py": version("redis"),
        "redis": server,
        "load_average": [round(load, 1) for load in os.getloadavg()],
        "four_scopes": {name: best(rounds) for name, rounds in runs.items()},
        "breakers": breakers(flags.calls),
        "floor": floor,
        "ten_dollars": ten_dollars(),
    }
    print(f"evidence: {json.dumps(told)}" if os.environ.get("SPANLEDGER_PROVE") else json.dumps(told, indent=1))


if __name__ == "__main__":
    main()
