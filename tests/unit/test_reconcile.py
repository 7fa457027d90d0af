"""Accounts set right by the lake: which calls, to the nano-dollar, and never what the lake hasn't seen."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from ledger_rows import Row, call as any_call, make_lake
from redis_server import serving
from spanledger.guard.memory import MemoryStore
from spanledger.guard.paid_later import PaidLater
from spanledger.guard.policy import Budget, Threshold, make_match
from spanledger.guard.sqlite import SqliteStore
from spanledger.guard.store import LEASE_MS, Charge, Line, Store
from spanledger.guard.stores import FILE, open_shared
from spanledger.settings import load
from spanledger.usage import Usage
from spanledger_analytics.connection import Ledger
from spanledger_analytics.controls import reconcile as module
from spanledger_analytics.controls.reconcile import Reconciled, reconcile
from spanledger_analytics.controls.spent import millis
from spanledger_analytics.controls.watch import STATE, BudgetWatch
from spanledger_analytics.scope import EVERYTHING
from spanledger_cli import cli

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
KEY = "budget/day/everything/2026-11-22"
TOKENS = "budget/tokens/everything/2026-11-22"
ESTIMATE = 5_000_000
"""Nano-dollars: half a cent."""


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """A store that takes long to answer is not away."""
    monkeypatch.setattr("spanledger.guard.redis_store.TIMEOUT_S", 60.0)
    for name in ("spanledger_analytics.controls.watch", "spanledger_cli.policy_store"):
        monkeypatch.setattr(f"{name}.PATIENCE_S", 60.0)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    store = SqliteStore(tmp_path / FILE)
    yield store
    store.close()


def call(trace: int, number: int, start: datetime, model: str = "gpt-5", *tokens: int, **columns: Any) -> Row:
    """Build a call of ours, below nothing: no trace can change it."""
    return any_call(trace, number, start, model, *tokens, **{"dialect": "spanledger"} | columns)


def charge(store: Store, row: Row, usd: int | None = ESTIMATE, tokens: int = 0) -> str:
    """Have a call of the lake's be charged what the application thought; None: never settled."""
    span_id, at_ms = str(row["span_id"]), millis(row["start_time"])
    lines = [Line(KEY, "budget", "usd", ESTIMATE, -1), Line(TOKENS, "budget", "tokens", 2000, -1)]
    store.reserve(span_id, lines, at_ms)
    store.sent(span_id)
    if usd is not None:
        store.settle(span_id, usd, tokens, at_ms + 1000)
    return span_id


def spent(store: Store) -> dict[str, tuple[int, int, int]]:
    return {account.key: (account.spent, account.held, account.flagged) for account in store.accounts()}


def earlier(minutes: float) -> datetime:
    return NOW - timedelta(minutes=minutes)


def test_a_call_gets_what_is_booked_rounded_up_and_others_keep_theirs(store: SqliteStore, tmp_path: Path) -> None:
    booked = call(1, 1, earlier(5), "gpt-5", 1001, 100, cost_usd=Decimal("0.002251250001"))
    unpriced = call(2, 1, earlier(4), "local")
    unseen = call(3, 1, earlier(3))
    for row in (booked, unpriced, unseen):
        charge(store, row, ESTIMATE, 1500)
    ledger = Ledger(make_lake(tmp_path / "lake", [booked, unpriced]), EVERYTHING)

    assert reconcile(store, ledger, NOW) == Reconciled(0, 1, 1, 2_251_251 - ESTIMATE, 2)
    assert spent(store) == {KEY: (2_251_251 + 2 * ESTIMATE, 0, 0), TOKENS: (1101 + 3000, 0, 0)}
    assert reconcile(store, ledger, NOW) == Reconciled(0, 0, 0, 0, 2)


def test_an_empty_lake_lowers_nothing(store: SqliteStore, tmp_path: Path) -> None:
    charge(store, call(1, 1, earlier(5)))
    assert reconcile(store, Ledger(tmp_path / "lake", EVERYTHING), NOW) == Reconciled(0, 0, 0, 0, 1)
    assert spent(store)[KEY] == (ESTIMATE, 0, 0)


def test_what_nobody_settled_is_charged_by_estimate_until_its_span_comes(store: SqliteStore, tmp_path: Path) -> None:
    lost = call(1, 1, earlier(5), "gpt-5", 800, 100)
    charge(store, lost, None)
    empty = Ledger(make_lake(tmp_path / "lake", []), EVERYTHING)
    assert spent(store)[KEY] == (0, ESTIMATE, 0)

    assert reconcile(store, empty, NOW) == Reconciled(1, 0, 0, 0, 1)
    assert spent(store)[KEY] == (ESTIMATE, 0, ESTIMATE)
    make_lake(tmp_path / "lake", [lost], version=1)
    assert reconcile(store, empty, NOW) == Reconciled(0, 1, 1, 2_000_000 - ESTIMATE, 0)
    assert spent(store)[KEY] == (2_000_000, 0, 0)


def test_a_call_that_another_span_carries_is_charged_what_that_one_cost(store: SqliteStore, tmp_path: Path) -> None:
    carrier = call(1, 2, earlier(5), "gpt-5", 800, 100, dialect="genai")
    ours = call(1, 1, earlier(5), "gpt-5", 9, 9, duplicate_of=carrier["span_id"], cost_usd=None)
    charge(store, ours)
    ledger = Ledger(make_lake(tmp_path / "lake", [ours, carrier]), EVERYTHING)

    assert reconcile(store, ledger, NOW, provisional=True).confirmed == 1
    assert spent(store) == {KEY: (2_000_000, 0, 0), TOKENS: (900, 0, 0)}


@pytest.mark.parametrize(("age", "confirmed"), [(timedelta(minutes=5), 0), (timedelta(hours=25), 1)])
def test_a_trace_that_may_change_is_waited_for_a_day_at_most(
    store: SqliteStore, tmp_path: Path, age: timedelta, confirmed: int
) -> None:
    below = call(1, 1, NOW - age, "gpt-5", 800, 100, parent_span_id="0" * 16)
    alone = call(2, 1, NOW - age, "gpt-5", 800, 100)
    for row in (below, alone):
        charge(store, row)
    ledger = Ledger(make_lake(tmp_path / "lake", [below, alone]), EVERYTHING)

    assert reconcile(store, ledger, NOW).confirmed == 1 + confirmed


def read(store: Store, row: Row) -> None:
    """Read an answer that is paid later: what the application thinks is $0.002, rounded up."""
    at_ms, now_ms = millis(row["start_time"]), millis(datetime.now(UTC))
    budgets = [(Budget("all", make_match({}), "total", 10**9, "usd", (Threshold(Fraction(1), "block"),)), "everything")]
    usage = Usage(input_uncached_tokens=800, output_text_tokens=100)
    PaidLater(store, str(row["span_id"]), budgets, "", at_ms, now_ms).end(usage, 1_999_999_001, billed=True)


@pytest.mark.parametrize("kind", ["sqlite", "redis"])
def test_what_is_paid_later_counts_once_however_often_and_late_it_is_read(kind: str, tmp_path: Path) -> None:
    made = datetime.now(UTC) - timedelta(days=2)
    row, later = call(1, 1, made, "gpt-5", 800, 100, cost_usd=Decimal("0.003")), call(2, 1, made, "gpt-5", 800, 100)

    with serving(tmp_path) if kind == "redis" else nullcontext() as server:
        store = open_shared(server.url if server else "sqlite", tmp_path)
        ledger = Ledger(make_lake(tmp_path / "lake", [row]), EVERYTHING)
        counted = []
        for amount in (2_000_000, 3_000_000, 3_000_000):
            for _ in range(2):
                read(store, row)
            counted.append((amount, spent(store)["budget/all/everything/total"]))
            reconcile(store, ledger, datetime.now(UTC))
        read(store, later)
        counted.append((5_000_000, spent(store)["budget/all/everything/total"]))
        store.close()
    assert [found for _, found in counted] == [(amount, 0, 0) for amount, _ in counted]


@pytest.mark.parametrize("kind", ["memory", "sqlite", "redis"])
@pytest.mark.parametrize("step", ["reserve", "confirm", "release"])
def test_who_reads_an_answer_while_it_is_confirmed_doesn_t_count_it_again(
    kind: str, step: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = call(1, 1, datetime.now(UTC) - timedelta(days=2), "gpt-5", 800, 100, cost_usd=Decimal("0.003"))
    with serving(tmp_path) if kind == "redis" else nullcontext() as server:
        store = MemoryStore() if kind == "memory" else open_shared(server.url if server else kind, tmp_path)
        read(store, row)
        done = getattr(store, step)
        calls: list[object] = []

        def do_and_read(*arguments: Any) -> Any:
            found = done(*arguments)
            calls.append(arguments)
            if len(calls) == 1:
                read(store, row)
            return found

        ledger = Ledger(make_lake(tmp_path / "lake", [row]), EVERYTHING)
        with monkeypatch.context() as patch:
            patch.setattr(store, step, do_and_read)
            assert reconcile(store, ledger, datetime.now(UTC)).confirmed >= 1
        store.sweep(millis(datetime.now(UTC)) + 2 * LEASE_MS)
        read(store, row)
        left = {account.key: (account.spent, account.held) for account in store.accounts() if account.kind == "budget"}
        store.close()
    assert left == {"budget/all/everything/total": (3_000_000, 0)}


def test_calls_that_wait_don_t_hide_later_ones(
    store: SqliteStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_PAGE", 2)
    rows = [call(number, 1, earlier(60 - number), "gpt-5" if number % 3 == 2 else "local") for number in range(12)]
    for row in rows:
        charge(store, row)
    ledger = Ledger(make_lake(tmp_path / "lake", rows), EVERYTHING)
    listed, charges = [], store.charges

    def listing(*asked: Any) -> list[Charge]:
        page = charges(*asked)
        listed.append([charge.call for charge in page])
        return page

    monkeypatch.setattr(store, "charges", listing)
    done = reconcile(store, ledger, NOW)
    ids = [str(row["span_id"]) for row in rows]
    assert listed == [*(ids[place : place + 2] for place in range(0, 12, 2)), []]  # each once
    assert (done.confirmed, done.waiting) == (4, 8)
    cost = 1000 * 1250 + 100 * 10_000
    assert spent(store)[KEY] == (4 * cost + 8 * ESTIMATE, 0, 0)


def test_calls_before_the_moment_asked_about_wait(store: SqliteStore, tmp_path: Path) -> None:
    rows = [call(1, 1, earlier(90)), call(2, 1, earlier(5))]
    for row in rows:
        charge(store, row)
    ledger = Ledger(make_lake(tmp_path / "lake", rows), EVERYTHING)

    assert reconcile(store, ledger, NOW, millis(earlier(60)))[1::3] == (1, 1)
    assert reconcile(store, ledger, NOW)[1::3] == (1, 0)


@pytest.fixture
def watched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[BudgetWatch, Callable[[], None]]:
    """Return a watch over the home `tmp_path`, and what lets a minute pass in it."""
    monkeypatch.delenv("SPANLEDGER_POLICY", raising=False)
    seconds = [0.0]
    watch = BudgetWatch(load(home=tmp_path, lake=tmp_path / "lake"), lambda: seconds[0])

    def minute() -> None:
        seconds[0] += 60
        watch.step()

    return watch, minute


def test_the_watch_begins_when_a_policy_with_a_shared_store_comes(
    store: SqliteStore,
    tmp_path: Path,
    watched: tuple[BudgetWatch, Callable[[], None]],
    caplog: pytest.LogCaptureFixture,
) -> None:
    watch, minute = watched
    began = datetime.now(UTC) - timedelta(minutes=10)
    row = call(1, 1, began, "gpt-5", 800, 100)
    charge(store, row)
    make_lake(tmp_path / "lake", [row])
    policy = tmp_path / "policy.toml"
    budget = '[[budget]]\nname = "day"\nper = "day"\nusd = 1\n'
    for text in (None, 'store = "memory"\n' + budget):
        if text is not None:
            policy.write_text(text, "utf-8")
        minute()
        assert spent(store)[KEY][0] == ESTIMATE
    policy.write_text('store = "sqlite"\n' + budget, "utf-8")
    watch.step()  # not yet
    assert spent(store)[KEY][0] == ESTIMATE
    minute()
    assert spent(store)[KEY][0] == 2_000_000
    said = json.loads(store.states(STATE)[STATE])
    assert (said["confirmed"], said["changed"], said["difference"]) == (1, 1, 2_000_000 - ESTIMATE)
    watch.close()
    assert caplog.messages == []


def test_a_policy_that_can_t_be_read_leaves_the_last_one_watched(
    store: SqliteStore,
    tmp_path: Path,
    watched: tuple[BudgetWatch, Callable[[], None]],
    caplog: pytest.LogCaptureFixture,
) -> None:
    watch, minute = watched
    policy = tmp_path / "policy.toml"
    policy.write_text('store = "sqlite"\n[[budget]]\nname = "day"\nper = "day"\nusd = 1\n', "utf-8")
    minute()
    policy.write_text("store = 7\n", "utf-8")
    row = call(1, 1, datetime.now(UTC) - timedelta(minutes=1), "gpt-5", 800, 100)
    charge(store, row)
    make_lake(tmp_path / "lake", [row])
    for _ in range(4):
        minute()
    assert spent(store)[KEY][0] == 2_000_000
    assert [message.partition(": ")[2] for message in caplog.messages] == [
        'store: expected "memory", "sqlite" or "redis://host:6379/0", not 7; it is tried again'
    ]
    watch.close()


def test_the_process_loads_nothing_heavy_until_there_is_something_to_compare(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from spanledger_analytics import alert\n"
        "alert.make_step(Path(sys.argv[1]), Path(sys.argv[1]) / 'lake')()\n"
        "print([name for name in ('duckdb', 'deltalake', 'polars', 'pyarrow') if name in sys.modules])"
    )
    (tmp_path / "policy.toml").write_text('store = "memory"\n', "utf-8")
    argv = [sys.executable, "-c", program, str(tmp_path)]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=180)
    assert (done.stdout, done.stderr) == ("[]\n", "")


def test_holds_are_swept_where_no_application_is_left(
    store: SqliteStore, tmp_path: Path, watched: tuple[BudgetWatch, Callable[[], None]]
) -> None:
    watch, minute = watched
    (tmp_path / "policy.toml").write_text('store = "sqlite"\n', "utf-8")
    old = call(1, 1, datetime.now(UTC) - 2 * timedelta(milliseconds=LEASE_MS))
    charge(store, old, None)
    minute()
    assert spent(store)[KEY] == (ESTIMATE, 0, ESTIMATE)
    watch.close()


def test_accounts_in_a_redis_are_compared_and_shown_and_one_that_is_away_is_told(
    tmp_path: Path, watched: tuple[BudgetWatch, Callable[[], None]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SPANLEDGER_HOME", str(tmp_path))
    row = call(1, 1, datetime.now(UTC) - timedelta(minutes=10), "gpt-5", 800, 100)
    make_lake(tmp_path / "lake", [row])
    watch, minute = watched
    status = ["budget", "status", "--format", "json"]
    with serving(tmp_path) as server:
        store = open_shared(server.url, tmp_path)
        charge(store, row)
        policy = f'store = "{server.url}"\n[[budget]]\nname = "day"\nper = "total"\nusd = 1\n'
        (tmp_path / "policy.toml").write_text(policy, "utf-8")
        minute()
        assert spent(store) == {KEY: (2_000_000, 0, 0), TOKENS: (900, 0, 0)}
        store.set_spent("budget/day/everything/total", 5, 0, "usd")
        (shown,) = json.loads(CliRunner().invoke(cli, status).stdout)
        assert (shown["spent"], shown["state"]) == ("0.000000005", "ok")
        store.close()
    done = CliRunner().invoke(cli, status)
    assert (done.exit_code, f"the store {server.url} of" in str(done.exception)) == (1, True)
    watch.close()


def test_maintain_sets_budgets_right(store: SqliteStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPANLEDGER_HOME", str(tmp_path))
    monkeypatch.delenv("SPANLEDGER_POLICY", raising=False)
    rows = [call(number, 1, datetime.now(UTC) - timedelta(hours=number)) for number in (1, 30)]
    for row in rows:
        charge(store, row)
    make_lake(tmp_path / "lake", rows)
    arguments = ["maintain", "--lake", str(tmp_path / "lake")]
    assert "budgets" not in CliRunner().invoke(cli, arguments).stdout
    (tmp_path / "policy.toml").write_text('store = "sqlite"\n', "utf-8")
    done = CliRunner().invoke(cli, arguments)
    assert (done.exit_code, done.stdout.splitlines()[-1]) == (
        0,
        "compare    budgets      2 calls confirmed, 2 of them set right",
    )
    assert spent(store)[KEY] == (2 * (1000 * 1250 + 100 * 10_000), 0, 0)
