"""Budgets of real processes and a real collector: who dies, who is away, and what accounts are in the end."""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import openai
import pytest

import spanledger
from application import environment
from collecting import RealCollector
from collector_process import start_collector
from guarded import write_policy
from ledger_rows import make_lake
from spanledger import call
from spanledger.guard.gate import Gate
from spanledger.guard.policy_file import read_policy
from spanledger.guard.sqlite import SqliteStore
from spanledger.guard.store import LEASE_MS
from spanledger.guard.stores import FILE
from spanledger.names import GUARD_DECISIONS as DECISIONS
from spanledger.settings import load
from spanledger.usage import Usage
from spanledger_analytics.alert import alert_command
from spanledger_analytics.connection import Ledger
from spanledger_analytics.controls.simulate import simulate
from spanledger_analytics.controls.watch import BudgetWatch
from spanledger_analytics.scope import EVERYTHING
from spanledger_cli.demo.plans import Plan
from spanledger_cli.demo.provider import LocalProvider
from spanledger_collector.rows import convert
from tracing import switched_on
from waiting import wait_until

POLICY = """
store = "sqlite"

[[budget]]
name = "a user"
match = { user_id = "*" }
per = "total"
usd = "2.06"
estimate = "strict"
"""
CONTRACT = """
[[discount]]
name = "a third"
provider = "openai"
percent = "33.3333333"
"""
"""That only the collector knows of: so what is booked is not what the application thought."""
DOLLAR = 10**9
NOWHERE = "http://127.0.0.1:9"
A_DOLLAR = Usage(input_uncached_tokens=200_000, output_text_tokens=50_000)
"""Of gpt-4o: 200,000 at $2.50 and 50,000 at $10 a million."""
APPLICATION = """
import json, os, signal, sys
import httpx, openai, spanledger
from spanledger.guard.admission import Admission

url, user, dies, away = sys.argv[1:]
chat = {"model": "gpt-4o", "max_tokens": 50_000, "messages": [{"role": "user", "content": "hi"}]}

def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)

if dies == "before":
    Admission.leaves = die
hooks = {"response": [die]} if dies == "after" else {}
refused = 0
with openai.OpenAI(base_url=url + "/v1", api_key="none", http_client=httpx.Client(event_hooks=hooks)) as client:
    with spanledger.tags(user_id=user):
        for _ in range(3):
            try:
                client.chat.completions.create(**chat)
            except openai.RateLimitError:
                refused += 1
while not spanledger.flush() and not away:
    pass
print(refused)
"""


@pytest.fixture
def home(tmp_path: Path) -> Path:
    home = tmp_path / "home"
    home.mkdir()
    (home / "policy.toml").write_text(POLICY, "utf-8")
    (home / "contract-of-the-collector.toml").write_text(CONTRACT, "utf-8")
    (home / "application.py").write_text(APPLICATION, "utf-8")
    return home


@pytest.fixture
def provider() -> Iterator[LocalProvider]:
    with LocalProvider() as provider:
        yield provider


@pytest.fixture
def store(home: Path) -> Iterator[SqliteStore]:
    store = SqliteStore(home / FILE, patience_s=30)
    yield store
    store.close()


def run(home: Path, provider: LocalProvider, user: str, endpoint: str, dies: str = "") -> str:
    """Have a user make three calls of a dollar each; return how many were refused, or how the process ended."""
    provider.forget_plans()
    provider.plan(*[Plan(usage=A_DOLLAR)] * 3)
    away = "away" if endpoint == NOWHERE else ""
    argv = [sys.executable, str(home / "application.py"), provider.url, user, dies, away]
    done = subprocess.run(argv, env=environment(endpoint, home), capture_output=True, text=True, timeout=100)
    assert done.returncode in (0, -signal.SIGKILL), done.stderr
    return done.stdout.strip() or signal.Signals(-done.returncode).name


def spent(store: SqliteStore) -> dict[str, tuple[int, int, int]]:
    """Return spent, held and flagged by user."""
    return {one.key.split("/")[2].removeprefix("user_id="): one[3:6] for one in store.accounts()}


def booked(collector: RealCollector) -> dict[str, int]:
    """Return what the lake has of each user, each call rounded up to the nano-dollar."""
    told = collector.ask(
        "select user_id, sum(ceil(cost_usd::decimal(28, 12) * 1000000000::decimal(10, 0)))::bigint as nano"
        " from llm_calls group by user_id"
    )
    return {str(user): int(str(nano)) for user, nano in told}


@contextlib.contextmanager
def collecting(home: Path) -> Iterator[RealCollector]:
    """Run `spanledger collect`, with a contract that applications don't have."""
    with pytest.MonkeyPatch.context() as variables, (home / "collector.log").open("ab") as words:
        variables.setenv("SPANLEDGER_CONTRACT", str(home / "contract-of-the-collector.toml"))
        lake = home.parent / "lake"
        collector = start_collector(home, lake, words)
        try:
            yield RealCollector(f"http://127.0.0.1:{collector.http_port}", lake)
        finally:
            collector.kill()


@contextlib.contextmanager
def comparing(home: Path) -> Iterator[None]:
    """Run the process that `collect` and `up` keep beside them, by itself: it compares when it starts."""
    argv = alert_command(home, home.parent / "lake").argv
    with subprocess.Popen(argv, stdin=subprocess.PIPE) as process:
        try:
            yield
        finally:
            process.kill()


def sweep(store: SqliteStore) -> None:
    """Have it be later than any hold that nobody renews lives."""
    store.sweep(time.time_ns() // 1_000_000 + LEASE_MS + 1)


def test_no_budget_unlocks_while_the_collector_is_away_and_then_accounts_are_what_the_lake_has(
    home: Path, provider: LocalProvider, store: SqliteStore
) -> None:
    """The amounts differ, because the collector has a contract; of killed processes one had sent its call."""
    assert run(home, provider, "ann", NOWHERE) == "1"
    assert run(home, provider, "bob", NOWHERE, "before") == "SIGKILL"
    assert run(home, provider, "cat", NOWHERE, "after") == "SIGKILL"
    assert provider.requests == 3
    estimate = spent(store)["cat"][1]
    assert spent(store) == {"ann": (2 * DOLLAR, 0, 0), "bob": (0, estimate, 0), "cat": (0, estimate, 0)}
    sweep(store)
    away = {"ann": (2 * DOLLAR, 0, 0), "bob": (0, 0, 0), "cat": (estimate, 0, estimate)}
    assert spent(store) == away

    done = BudgetWatch(load(home=home, lake=home.parent / "lake")).compare()
    assert done is not None
    assert (done.confirmed, done.waiting) == (0, 3)
    with collecting(home) as collector:
        assert run(home, provider, "ann", collector.endpoint) == "3"
        collector.wait_for_spans(6)  # all of ann's; what the killed ones knew is lost
        lake = booked(collector)
    assert spent(store) == away
    with comparing(home):
        wait_until(
            lambda: spent(store)["ann"] == (1_333_333_334, 0, 0), timeout_s=180, what="budgets that are compared"
        )
    assert lake == {"ann": 1_333_333_334}
    assert spent(store) == away | {"ann": (1_333_333_334, 0, 0)}
    assert [charge.usd for charge in store.charges(time.time_ns() // 1_000_000 + LEASE_MS, 9)] == [estimate]


SHADOWED = """
[[budget]]
name = "a user's day"
match = { user_id = "*" }
per = "day"
usd = "0.05"
at = { "30%" = "warn", "60%" = "degrade", "100%" = "block" }
shadow = true

[[budget]]
name = "runs"
per = "session"
tokens = 4_000
shadow = true

[[limit]]
name = "flood"
match = { user_id = "a" }
tokens_per_minute = 5_000
shadow = true
"""


class Clock:
    """The time of calls and of the policy; it stands still during a call, and no day ends in two minutes of it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        now = datetime.now(UTC).replace(second=0, microsecond=0)
        self.began = min(now, now.replace(hour=23, minute=57))
        self._ns = int(self.began.timestamp()) * 10**9
        monkeypatch.setattr(call, "time_ns", lambda: self._ns)
        monkeypatch.setattr(Gate, "now_ns", lambda _gate: self._ns)

    def goes_on(self) -> None:
        self._ns += 5 * 10**9


def test_simulate_says_of_calls_made_in_shadow_what_their_spans_say(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, provider: LocalProvider
) -> None:
    policy = write_policy(monkeypatch, tmp_path, SHADOWED)
    clock = Clock(monkeypatch)
    sizes = [(100 + 40 * number, 50 + (317 * number) % 850) for number in range(24)]
    provider.plan(*[Plan(usage=Usage(input_uncached_tokens=into, output_text_tokens=out)) for into, out in sizes])
    with (
        switched_on(monkeypatch, tmp_path / "home") as traced,
        openai.OpenAI(base_url=f"{provider.url}/v1", api_key="none") as client,
    ):
        for number in range(24):
            words: Any = [{"role": "user", "content": "word " * (50 + 37 * number)}]
            clock.goes_on()
            with spanledger.tags(user_id="abc"[number % 3], session_id=f"s{number % 5}"):
                client.chat.completions.create(model="gpt-4o", messages=words)
        spans = traced.spans()
        bodies = [received.raw for received in traced.sink.received]
    told = Counter(
        (one["rule"], one["action"]) for span in spans for one in json.loads(span["attributes"].get(DECISIONS, "[]"))
    )
    rows = convert(bodies, [time.time_ns()] * len(bodies)).rows.to_pylist(maps_as_pydicts="strict")
    ledger = Ledger(make_lake(tmp_path / "lake", rows), EVERYTHING)
    settings = load(home=tmp_path / "home", lake=tmp_path / "lake")

    found = simulate(ledger, read_policy(policy, settings), settings, clock.began, clock.began + timedelta(hours=1))
    would: Counter[tuple[str, str]] = Counter()
    for key, effect in found.effects.items():
        assert key.shadow
        would.update({(key.rule, "block"): effect.refused, (key.rule, "degrade"): effect.degraded})
        would.update({(key.rule, "warn"): effect.warned})
    assert (found.calls, found.refused_calls) == (24, 0)
    assert +would == told
    assert {action for _, action in told} == {"warn", "degrade", "block"}
    assert {rule for rule, _ in told} == {"a user's day", "runs", "flood"}
