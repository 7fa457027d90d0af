"""Budgets while the collector is away: real SDKs in several processes spend, and nobody can tell the ledger of it.

    python tools/collector_away.py [--minutes 3] [--store sqlite redis]

The collector is killed, four processes make calls against budgets of users, teams and all together until these are
spent, and go on asking. Meanwhile accounts are compared with the lake again and again, as `spanledger maintain` would,
and looked at ten times a second: none may fall, none may go beyond its cap. Then the collector comes back, takes what
was kept for it, and each account has to be what the lake says, to the nano-dollar. The stores are tried side by side.
In a longer time no more is spent, only more slowly: what was not handed over has to find room in the spool.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from application import free_port
from collector_process import Collector, start_collector
from redis_server import serving
from spanledger.guard.keys import budget_key, read_budget_key
from spanledger.guard.policy_file import read_policy
from spanledger.guard.store import Store
from spanledger.guard.stores import open_shared
from spanledger.settings import Settings, load
from spanledger.spool import FOLDER_LIMIT_BYTES, backlog
from spanledger_analytics.connection import Ledger
from spanledger_analytics.controls.reconcile import reconcile
from spanledger_analytics.controls.spent import Spent, millis, spent
from spanledger_analytics.scope import EVERYTHING
from spanledger_cli.demo.plans import plan_header
from spanledger_cli.demo.provider import LocalProvider
from spanledger_cli.demo.tokens import make_text
from waiting import wait_until

PROCESSES: Final = 4
USERS, TEAMS = 40, 4
BEFORE_S: Final = 5.0
BUSY_MINUTES: Final = 3
"""So long the money lasts where nobody pauses; in a longer time they pause after each call."""
PAUSE_S, REFUSED_S = 0.08, 0.02
LOOK_EVERY_S, COMPARE_EVERY_S = 0.1, 10.0
POLICY: Final = """
store = "{store}"
[[budget]]
name = "each user, a month"
store_away = "closed"
match = {{ user_id = "*" }}
per = "month"
usd = "0.20"
[[budget]]
name = "each team, in all"
store_away = "closed"
match = {{ team_id = "*" }}
per = "total"
usd = "{team_usd}"
at = {{ "50%" = "warn", "100%" = "block" }}
[[budget]]
name = "everybody, in all"
store_away = "closed"
per = "total"
usd = "{all_usd}"
"""
"""A call costs a tenth of a cent: 200 tokens in and 50 out of gpt-4o. Stores that are away are another check."""
ALL: Final = "budget/everybody, in all/everything/total"


def work(base_url: str, seed: int, pause_s: float) -> None:
    """Be one application: call from `go` to `stop`, and end when all is handed over."""
    import openai

    import spanledger

    chance = random.Random(seed)  # noqa: S311 - of users
    done: Counter[str] = Counter()
    going, calling = threading.Event(), threading.Lock()
    client = openai.OpenAI(base_url=f"{base_url}/v1", api_key="none", max_retries=0)

    def call() -> None:
        user = chance.randrange(USERS)
        with spanledger.tags(user_id=f"u{user:02}", team_id=f"t{user % TEAMS}"):
            try:
                client.chat.completions.create(
                    model="gpt-4o",
                    max_tokens=50,
                    messages=[{"role": "user", "content": make_text(200)}],
                    extra_headers=plan_header(text_tokens=50),
                )
                done["made"] += 1
                time.sleep(pause_s)
            except spanledger.BudgetExceeded as refused:
                done["refused"] += 1
                done[refused.policy] += 1
                time.sleep(REFUSED_S + pause_s / 4)  # an application that is refused has less to do

    def run() -> None:
        while going.wait():
            with calling:
                if going.is_set():
                    call()

    threading.Thread(target=run, daemon=True).start()
    print("ready", flush=True)
    for line in sys.stdin:
        match line.strip():
            case "go":
                going.set()
            case "stop":
                going.clear()
                with calling:  # the call that is under way
                    print(json.dumps(done), flush=True)
            case "hand over":
                wait_until(lambda: spanledger.flush(10), timeout_s=300, what="all spans to be handed over")
                print("handed over", flush=True)


class Application:
    """One process that calls."""

    def __init__(self, provider: str, endpoint: str, home: Path, seed: int, pause_s: float) -> None:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("SPANLEDGER_")}
        own = {"SPANLEDGER_ENABLED": "1", "SPANLEDGER_HOME": str(home), "SPANLEDGER_ENDPOINT": endpoint}
        argv = [sys.executable, __file__, "--work", provider, str(seed), str(pause_s)]
        self._process = subprocess.Popen(  # noqa: S603
            argv, env={**kept, **own}, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        must(self._line() == "ready", "an application starts")

    def ask(self, what: str) -> None:
        """Tell it what to do."""
        if self._process.stdin is not None:
            self._process.stdin.write(f"{what}\n")
            self._process.stdin.flush()

    def told(self, what: str) -> str:
        """Tell it what to do, and return what it says."""
        self.ask(what)
        return self._line()

    def _line(self) -> str:
        return self._process.stdout.readline().strip() if self._process.stdout is not None else ""

    def end(self) -> None:
        """End it."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        self._process.wait(60)


class Watch:
    """Looks at all accounts again and again, and compares them with the lake in between."""

    def __init__(self, store: Store, settings: Settings) -> None:
        self._store, self._settings = store, settings
        self._budgets = read_policy(settings.home / "policy.toml", settings).budgets
        self._known: dict[str, int] = {}
        self.looks = self.compared = 0
        self.wrong: list[str] = []
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch)

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(self, *_exception: object) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        try:
            self._run()
        except Exception as error:  # else nothing would be wrong, as nobody looked
            self.wrong.append(f"watching ended: {error!r}")

    def _run(self) -> None:
        ledger, next_s = Ledger(self._settings.lake, EVERYTHING), time.monotonic()
        while not self._over.wait(LOOK_EVERY_S):
            self._look()
            if time.monotonic() > next_s:
                next_s = time.monotonic() + COMPARE_EVERY_S
                done = reconcile(self._store, ledger, datetime.now(UTC), provisional=True)
                self.compared += 1
                if done.changed:
                    self.wrong.append(f"{done.changed} calls were booked at another amount than they were charged")
                self._look()

    def _look(self) -> None:
        self.looks += 1
        for one in self._store.accounts():
            if one.kind != "budget":
                continue
            if (key := read_budget_key(one.key, self._budgets)) is None:
                self.wrong.append(f"{one.key}: an account of no budget")
            elif one.spent + one.held > key.budget.cap:
                self.wrong.append(f"{one.key}: {one.spent} spent and {one.held} held of {key.budget.cap}")
            if one.spent < self._known.get(one.key, 0):
                self.wrong.append(f"{one.key}: {one.spent} after {self._known[one.key]}")
            self._known[one.key] = one.spent


def must(holds: bool, what: str) -> None:
    """End where a promise is broken."""
    if not holds:
        raise SystemExit(f"collector-away: this does not hold: {what}")


def away(store_name: str, folder: Path, minutes: float) -> dict[str, Any]:
    """Have a collector go and come back; return what there was to see; SystemExit where a promise is broken."""
    home, lake, port = folder / "home", folder / "lake", free_port()
    home.mkdir(parents=True)
    busy = min(minutes, BUSY_MINUTES)
    pause_s = PAUSE_S * (minutes / busy - 1)
    cents = {"team_usd": round(60 * busy), "all_usd": round(180 * busy)}
    usd = {name: f"{Decimal(amount).scaleb(-2):.2f}" for name, amount in cents.items()}
    (home / "policy.toml").write_text(POLICY.format(store=store_name, **usd), "utf-8")
    settings = load(home=home, lake=lake)
    store = open_shared(store_name, home, 10.0)
    with LocalProvider() as provider, contextlib.ExitStack() as after:
        collector = after.enter_context(_collecting(home, lake, port))
        endpoint = f"http://127.0.0.1:{port}"
        applications = [Application(provider.url, endpoint, home, seed, pause_s) for seed in range(PROCESSES)]
        for one in applications:
            after.callback(one.end)
            one.ask("go")
        time.sleep(BEFORE_S)
        collector.kill()
        say(f"{store_name}: the collector is away for {minutes:g} minutes")
        with Watch(store, settings) as watch:
            time.sleep(minutes * 60)
            counts: Counter[str] = Counter()
            for one in applications:
                counts.update(json.loads(one.told("stop")))
            kept = backlog(home / "spool")
            before = _accounts(store)
            say(f"{store_name}: {counts['made']} calls made, {counts['refused']} refused; it comes back")
            after.enter_context(_collecting(home, lake, port))
            for one in applications:
                must(one.told("hand over") == "handed over", "all spans are handed over")
            ledger = Ledger(lake, EVERYTHING)
            _wait_confirmed(store, ledger)
        booked = _booked(ledger, settings)
        must(not watch.wrong, f"no account falls or goes beyond its cap, but {watch.wrong[:5]}")
        must(_accounts(store) == before, "accounts are what they were before the collector came back")
        told = {key: (one.nano_usd, 0, 0) for key, one in booked.items()}
        differ = [key for key in told.keys() | before.keys() if told.get(key) != before.get(key)]
        must(not differ, f"accounts are what the lake says, but {differ[:5]}")
        must(len(provider.billed) == counts["made"] == booked[ALL].calls, "each call is in the lake once")
        must(not kept.dropped, "the spool has room")
        must(bool(counts["everybody, in all"]), "the budget of all is spent, as nothing else could be unlocked")
    store.close()
    return {
        "minutes_away": minutes,
        "calls_made": counts.pop("made"),
        "calls_refused": counts.pop("refused"),
        "refused_by": dict(counts),
        "accounts": len(booked),
        "usd_of_all": f"{Decimal(booked[ALL].nano_usd).scaleb(-9):f} of {usd['all_usd']}",
        "accounts_that_differ_from_the_lake": len(differ),
        "looks_at_all_accounts": watch.looks,
        "comparisons_with_the_lake": watch.compared,
        "spooled_mb": round(kept.bytes / 1e6, 1),
        "spool_limit_mb": round(FOLDER_LIMIT_BYTES / 1e6, 1),
    }


@contextlib.contextmanager
def _collecting(home: Path, lake: Path, port: int) -> Iterator[Collector]:
    program = ("-m", "spanledger_cli", "collect")
    with (home / "collector.log").open("ab") as errors:
        collector = start_collector(home, lake, errors, program, ("--http-port", str(port)))
        try:
            yield collector
        finally:
            if collector.process.poll() is None:
                collector.kill()


def _accounts(store: Store) -> dict[str, tuple[int, int, int]]:
    return {one.key: (one.spent, one.held, one.flagged) for one in store.accounts() if one.kind == "budget"}


def _wait_confirmed(store: Store, ledger: Ledger) -> None:
    def is_confirmed() -> bool:
        reconcile(store, ledger, datetime.now(UTC), provisional=True)
        return not store.charges(2**60, 1)

    wait_until(is_confirmed, timeout_s=300, what="all calls to be confirmed")


def _booked(ledger: Ledger, settings: Settings) -> dict[str, Spent]:
    """Return what the lake alone says of each account."""
    return {
        budget_key(budget, one.scope, one.window.name): one
        for budget in read_policy(settings.home / "policy.toml", settings).budgets
        for one in spent(ledger, budget, [budget.window(millis(datetime.now(UTC)))])
    }


def tried(name: str, minutes: float) -> dict[str, Any]:
    """Try a store of its own, and return what there was to see."""
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as after:
        store = after.enter_context(serving(Path(folder))).url if name == "redis" else name
        return away(store, Path(folder) / "run", minutes)


def say(what: str) -> None:
    """Tell on stderr what is being done."""
    print(f"collector-away: {what}", file=sys.stderr, flush=True)


def main() -> None:
    """Run it, or one of its applications."""
    if sys.argv[1:2] == ["--work"]:
        work(sys.argv[2], int(sys.argv[3]), float(sys.argv[4]))
        return
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=3.0, help="how long the collector is away")
    parser.add_argument("--store", nargs="+", choices=("sqlite", "redis"), default=("sqlite", "redis"))
    options = parser.parse_args()
    with ThreadPoolExecutor(len(options.store)) as side_by_side:
        told = list(side_by_side.map(lambda name: tried(name, options.minutes), options.store))
    found = dict(zip(options.store, told, strict=True))
    print(f"evidence: {json.dumps(found)}" if os.environ.get("SPANLEDGER_PROVE") else json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
