"""`spanledger budget`: what a person types, and what is shown."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta, tzinfo
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner, Result

from ledger_rows import call, make_lake
from small_ledger import small_ledger
from spanledger.guard.keys import budget_key, read_budget_key, session_window
from spanledger.guard.policy import Budget, make_match
from spanledger.guard.sqlite import SqliteStore
from spanledger.guard.store import LEASE_MS, Line, Unit
from spanledger.guard.stores import FILE
from spanledger.guard.windows import Per
from spanledger_analytics.connection import Ledger
from spanledger_analytics.controls.history import history
from spanledger_analytics.controls.reconcile import reconcile
from spanledger_analytics.controls.spent import millis, spent
from spanledger_analytics.scope import EVERYTHING
from spanledger_cli import budget as budget_command, cli

POLICY = """
store = "sqlite"

[[budget]]
name = "a user's day"
match = { user_id = "*" }
per = "day"
usd = 2
at = { "50%" = "warn", "90%" = "degrade", "100%" = "block" }

[[budget]]
name = "drafts, a month"
match = { feature = "draft", model = "claude*" }
per = "month"
usd = "10"
shadow = true

[[budget]]
name = "runs"
per = "session"
tokens = 1_000_000

[[budget]]
name = "one call"
per = "request"
usd = 1
"""
DOLLAR = 10**9
NOW = datetime.now(UTC).replace(hour=12, minute=0, second=0, microsecond=0)


class Noon(datetime):
    """A clock that stands."""

    @classmethod
    def now(cls, tz: tzinfo | None = None) -> datetime:  # type: ignore[override]
        return NOW.astimezone(tz)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(budget_command, "datetime", Noon)
    monkeypatch.setattr(budget_command, "time", SimpleNamespace(time_ns=lambda: millis(NOW) * 1_000_000))
    monkeypatch.setenv("SPANLEDGER_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("SPANLEDGER_LAKE", str(tmp_path / "lake"))
    monkeypatch.delenv("SPANLEDGER_POLICY", raising=False)
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "policy.toml").write_text(POLICY, "utf-8")
    return tmp_path / "home"


@pytest.fixture
def store(home: Path) -> Iterator[SqliteStore]:
    store = SqliteStore(home / FILE)
    yield store
    store.close()


def run(*arguments: str) -> Result:
    return CliRunner().invoke(cli, ["budget", *arguments], terminal_width=200)


def rows(*arguments: str) -> list[dict[str, Any]]:
    done = run(*arguments, "--format", "json")
    assert done.exit_code == 0, (done.stderr, done.exception)
    found: list[dict[str, Any]] = json.loads(done.stdout)
    return found


def failure(*arguments: str) -> str:
    done = run(*arguments)
    assert done.exit_code != 0
    return f"{done.stderr}{done.exception}"


def today() -> str:
    return f"{NOW:%Y-%m-%d}"


def month() -> str:
    return f"{NOW:%Y-%m}"


def spend(store: SqliteStore, budget: str, scope: str, window: str, nano: int, held: int = 0) -> None:
    key = f"budget/{budget}/{scope}/{window}"
    unit: Unit = "tokens" if budget == "runs" else "usd"
    store.set_spent(key, nano, 0, unit)
    if held:
        store.reserve(f"{key}-held", [Line(key, "budget", unit, held, -1)], millis(NOW))


def test_status_shows_every_account_of_every_budget(store: SqliteStore) -> None:
    spend(store, "a user's day", "user_id=bob", today(), DOLLAR // 2)
    spend(store, "a user's day", "user_id=ann/of/sales", today(), 9 * DOLLAR // 5, 200_000_001)
    spend(store, "a user's day", "user_id=ann/of/sales", "2020-01-01", 7)
    spend(store, "drafts, a month", "feature=draft,model=claude-opus-4-5", month(), 11 * DOLLAR)
    spend(store, "runs", "everything", "session:a/session:b", 250_000)
    spend(store, "gone", "everything", today(), 1)

    found = rows("status")
    keys = ("budget", "scope", "window", "spent", "held", "cap", "unit", "share", "flagged", "state")
    assert [[row[key] for key in keys] for row in found] == [
        ["a user's day", "user_id=ann/of/sales", today(), "1.8", "0.200000001", "2", "usd", "1.0000", "0", "block"],
        ["a user's day", "user_id=bob", today(), "0.5", "0", "2", "usd", "0.2500", "0", "ok"],
        [
            *("drafts, a month", "feature=draft,model=claude-opus-4-5", month()),
            *("11", "0", "10", "usd", "1.1000", "0", "block (shadow)"),
        ],
        ["runs", "everything", "session:a/session:b", "250000", "0", "1000000", "tokens", "0.2500", "0", "ok"],
        ["one call", "everything", "request", None, None, "1", "usd", None, None, "ok"],
    ]
    midnight = NOW.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
    assert [row["resets_at"] for row in found[:2]] == [midnight.isoformat().replace("+00:00", "Z")] * 2
    assert [row["resets_at"] for row in found[3:]] == [None, None]


def test_status_draws_a_table_whose_columns_line_up(store: SqliteStore) -> None:
    spend(store, "a user's day", "user_id=bob", today(), DOLLAR // 2, DOLLAR // 5)
    spend(store, "a user's day", "user_id=carol", today(), 12 * DOLLAR)
    done = run("status", "--name", "a user's day")
    head, _, *lines = done.stdout.splitlines()
    assert [line[head.index("spent") : head.index("resets_at")].rstrip() for line in lines] == [
        "$12.00   $0.00   $2.00    600.0% ██████████",
        " $0.50   $0.20   $2.00     35.0% ██▒·······",
    ]


def test_status_can_be_asked_of_a_budget_or_a_scope(store: SqliteStore) -> None:
    for user in ("ann", "ann2"):
        spend(store, "a user's day", f"user_id={user}", today(), 1)
    assert [row["scope"] for row in rows("status", "--scope", "user_id=ann")] == ["user_id=ann"]
    assert [row["budget"] for row in rows("status", "--name", "runs", "--name", "one call")] == ["runs", "one call"]
    assert "no budget is called 'x'; there are a user's day, drafts, a month" in failure("status", "--name", "x")


def test_an_account_nobody_has_drawn_on_is_shown_by_what_the_budget_is_about(store: SqliteStore) -> None:
    assert [(row["scope"], row["spent"], row["state"]) for row in rows("status")] == [
        ("user_id=*", None, "ok"),
        ("feature=draft,model=claude*", None, "ok"),
        ("everything", None, "ok"),
        ("everything", None, "ok"),
    ]


def test_accounts_in_the_memory_of_an_application_are_not_made_up(home: Path) -> None:
    (home / "policy.toml").write_text(POLICY.replace("sqlite", "memory"), "utf-8")
    assert 'with store = "sqlite" they can be shown' in failure("status")
    assert not (home / FILE).exists()


@pytest.mark.parametrize(
    ("address", "told"),
    [
        ("redis://me:secret@127.0.0.1:9/0", "redis://127.0.0.1:9/0"),
        ("redis://127.0.0.1:9/0?password=secret", "redis://127.0.0.1:9/0"),
        ("redis://:secret@127.0.0.1:9", "redis://127.0.0.1:9"),
    ],
)
def test_a_store_that_is_away_is_named_without_its_password(home: Path, address: str, told: str) -> None:
    (home / "policy.toml").write_text(POLICY.replace("sqlite", address), "utf-8")
    words = failure("status")
    assert f"the store {told} of {home / 'policy.toml'} can't be reached: {told}: " in words
    assert "secret" not in words
    assert f", store {told}" in CliRunner().invoke(cli, ["doctor"]).output


def test_without_a_policy_it_says_how_to_get_one(home: Path) -> None:
    (home / "policy.toml").unlink()
    assert "policy.toml isn't there, so nothing is held up; `spanledger policy init`" in failure("status")


def test_set_says_what_is_spent_in_the_window_under_way(store: SqliteStore) -> None:
    assert run("set", "a user's day", "--scope", "user_id=ann", "--spent", "$1,000.0000000001").stdout == (
        f"user_id=ann  {today()}  $0.00 -> $1,000.00\n"
    )
    assert run(
        "set", "runs", "--session", "s/1", "--spent", "12"
    ).stdout == "everything  session:s/1  0 -> 12 tokens\n".replace("0 ->", "0 tokens ->")
    assert {account.key: account.spent for account in store.accounts()} == {
        f"budget/a user's day/user_id=ann/{today()}": 1000 * DOLLAR + 1,
        "budget/runs/everything/session:s/1": 12,
    }


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["a user's day", "--spent", "1"], "has an account for each user_id=*; name one by --scope"),
        (["a user's day", "--scope", "team_id=x", "--spent", "1"], "is about user_id=*, not about team_id=x"),
        (["a user's day", "--scope", "ann", "--spent", "1"], "'ann' is no tag and value; write user_id=ann"),
        (["a user's day", "--scope", "user_id=ann", "--spent", "-1"], "expected an amount of at least 0, not '-1'"),
        (["a user's day", "--scope", "user_id=ann"], "say --spent AMOUNT, or --from-lake"),
        (["runs", "--spent", "1"], "has an account for each session; name one by --session"),
        (["one call", "--spent", "1"], "is about single calls, and has no account"),
    ],
)
def test_set_refuses_what_names_no_account(store: SqliteStore, arguments: list[str], words: str) -> None:
    assert words in failure("set", *arguments)
    assert store.accounts() == []


def drafts(lake: Path, start: datetime) -> None:
    """Write three calls of $2 for ann, one of $1 for bob, one of nobody; two are drafts by Claude."""
    opus = "claude-opus-4-5"
    ours: Any = {"dialect": "spanledger"}
    make_lake(
        lake,
        [
            call(1, 1, start, "gpt-5", 800, 100, user_id="ann", session_id="s1", **ours),
            call(2, 1, start, opus, 200_000, 40_000, user_id="ann", feature="draft", session_id="s1", **ours),
            call(3, 1, start, opus, 200_000, 40_000, user_id="ann", feature="draft", **ours),
            call(4, 1, start, "gpt-5", 800_000, 0, user_id="bob", feature="draft", **ours),
            call(5, 1, start, "local", 800_000, 0, **ours),
            call(6, 1, start, "gpt-5", 800_000, 0, user_id="bob", guard_action="block", cost_usd=Decimal(0), **ours),
        ],
    )


def test_set_takes_all_accounts_of_the_window_from_the_lake(store: SqliteStore, tmp_path: Path) -> None:
    drafts(tmp_path / "lake", NOW)
    spend(store, "a user's day", "user_id=bob", today(), 5 * DOLLAR)
    done = run("set", "a user's day", "--from-lake")
    assert (done.exit_code, done.stdout) == (
        0,
        f"user_id=ann  {today()}  $0.00 -> $4.002\nuser_id=bob  {today()}  $5.00 -> $1.00\n",
    )
    run("set", "runs", "--from-lake")
    assert {account.key: account.spent for account in store.accounts()} == {
        f"budget/a user's day/user_id=ann/{today()}": 4_002_000_000,
        f"budget/a user's day/user_id=bob/{today()}": DOLLAR,
        "budget/runs/everything/session:s1": 240_900,
        f"budget/runs/everything/session:{3:032x}": 240_000,
        f"budget/runs/everything/session:{4:032x}": 800_000,
        f"budget/runs/everything/session:{5:032x}": 800_000,
    }


def test_status_ends_holds_that_ran_out_as_the_next_call_would(store: SqliteStore) -> None:
    key = f"budget/a user's day/user_id=ann/{today()}"
    now_ms = millis(NOW)
    for hold, at_ms in (("sent", now_ms - 2 * LEASE_MS), ("unsent", now_ms - 2 * LEASE_MS), ("alive", now_ms)):
        store.reserve(hold, [Line(key, "budget", "usd", DOLLAR // 4, -1)], at_ms)
    store.sent("sent")
    done = run("status", "--format", "json")
    assert "ended, as nobody renewed them: 2 holds" in done.stderr
    (row,) = [row for row in json.loads(done.stdout) if row["scope"] == "user_id=ann"]
    assert [row[name] for name in ("spent", "held", "flagged")] == ["0.25", "0.25", "0.25"]
    assert "ended" not in run("status").stderr


def test_an_account_is_only_raised_while_the_lake_lacks_a_call(store: SqliteStore, tmp_path: Path) -> None:
    drafts(tmp_path / "lake", NOW)
    spend(store, "a user's day", "user_id=bob", today(), 5 * DOLLAR)
    now_ms = millis(NOW) - 1000
    store.reserve("f" * 16, [Line(f"budget/a user's day/user_id=bob/{today()}", "budget", "usd", 1, -1)], now_ms)
    store.settle("f" * 16, DOLLAR, 0, now_ms)
    done = run("set", "a user's day", "--from-lake")
    assert "not in the lake yet, or without a cost there: 1 call; accounts are raised, none is lowered" in done.stderr
    assert [account.spent for account in store.accounts()] == [4_002_000_000, 6 * DOLLAR]


@pytest.mark.parametrize(
    ("after", "words"),
    [
        (reconcile, "not in the lake yet, or without a cost there: 1 call; accounts are raised, none is lowered"),
        (spent, "drawn on while the lake was asked: 1 account; raised, not lowered; say it again"),
    ],
    ids=["after what the lake has was confirmed", "after the lake was added up"],
)
def test_a_call_that_is_settled_while_an_account_is_set_is_not_forgotten(
    store: SqliteStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, after: Callable[..., Any], words: str
) -> None:
    drafts(tmp_path / "lake", NOW)
    spend(store, "a user's day", "user_id=bob", today(), 5 * DOLLAR, DOLLAR)

    def settling(*asked: Any, **more: Any) -> Any:
        found = after(*asked, **more)
        assert store.settle(f"budget/a user's day/user_id=bob/{today()}-held", DOLLAR, 0, millis(NOW))
        return found

    monkeypatch.setattr(sys.modules[after.__module__], after.__name__, settling)
    done = run("set", "a user's day", "--from-lake")
    assert words in done.stderr
    assert [account.spent for account in store.accounts()] == [4_002_000_000, 6 * DOLLAR]


def test_history_tells_past_windows_from_the_lake(tmp_path: Path) -> None:
    ledger = small_ledger(tmp_path / "lake")

    def told(budget: Budget, since: datetime) -> list[tuple[str, str, str, int, int, str]]:
        now = datetime(2026, 11, 13, tzinfo=UTC)
        return [
            (
                *(one.spent.window.name, one.spent.scope, f"{one.used.normalize():f}"),
                *(one.spent.calls, one.spent.unpriced_calls, f"{one.share}"),
            )
            for one in history(ledger, budget, since, now)
        ]

    november = datetime(2026, 11, 1, tzinfo=UTC)
    assert told(_budget("week", {"team_id": "*", "model": "gpt-5*"}), november) == [
        ("2026-W45", "team_id=search,model=gpt-5", "13.1", 6, 0, "1.3100"),
        ("2026-W45", "team_id=support,model=gpt-5-mini", "4", 2, 0, "0.4000"),
        ("2026-W46", "team_id=search,model=gpt-5", "5", 2, 0, "0.5000"),
        ("2026-W46", "team_id=support,model=gpt-5-mini", "3", 1, 0, "0.3000"),
    ]
    assert told(_budget("day", {"user_id": "cat"}), datetime(2026, 11, 3, 12, tzinfo=UTC)) == [
        ("2026-11-03", "user_id=cat", "2", 2, 1, "0.2000"),
        ("2026-11-09", "user_id=cat", "3", 1, 0, "0.3000"),
    ]
    assert told(_budget("session", {"customer_id": "beta"}), datetime(2026, 11, 9, tzinfo=UTC)) == [
        ("session:s11", "customer_id=beta", "3", 1, 0, "0.3000"),
        ("session:s12", "customer_id=beta", "6", 1, 0, "0.6000"),
        ("session:s8", "customer_id=beta", "4.7", 2, 0, "0.4700"),
        ("session:s9", "customer_id=beta", "3", 1, 0, "0.3000"),
    ]
    assert told(_budget("total", {"environment": "production"}), november) == [
        ("total", "environment=production", "41.8", 18, 1, "4.1800")
    ]
    assert told(_budget("month", {"color": "*"}), november) == []
    assert told(_budget("request", {}), november) == []


def test_history_counts_results_of_batches_for_the_model_that_answered(tmp_path: Path) -> None:
    start = datetime(2026, 11, 18, 9, tzinfo=UTC)
    more: dict[str, Any] = {"request_model": None, "response_model": "gpt-5-2025-08-07"}
    rows = [call(number, 1, start, "gpt-5", 0, 100_000, **more, is_batch=number < 2) for number in range(3)]
    rows += [call(3, 1, start, "gpt-5", 0, 100_000)]
    ledger = Ledger(make_lake(tmp_path / "lake", rows), EVERYTHING)
    (told,) = history(ledger, _budget("day", {"model": "*"}), start, start + timedelta(hours=1))
    assert (told.spent.scope, told.spent.calls, told.used) == ("model=gpt-5", 3, Decimal(3))


def test_history_is_shown_exactly(home: Path, tmp_path: Path) -> None:
    drafts(tmp_path / "lake", NOW)
    found = rows("history", "--since", "1h", "--name", "drafts, a month")
    assert [{key: row[key] for key in ("scope", "window", "spent", "cap", "share", "calls")} for row in found] == [
        {
            "scope": "feature=draft,model=claude-opus-4-5",
            "window": month(),
            "spent": "4",
            "cap": "10",
            "share": "0.4000",
            "calls": 2,
        }
    ]


def _budget(per: Per, match: dict[str, str]) -> Budget:
    return Budget("a/b", make_match(match), per, 10 * DOLLAR, "usd", ())


@pytest.mark.parametrize(
    ("per", "scope", "window"),
    [("day", "model=meta/llama,user_id=a/b", "2026-11-22"), ("session", "user_id=a/b", session_window("x/session:y"))],
)
def test_a_key_says_what_it_was_made_of(per: Per, scope: str, window: str) -> None:
    longer = Budget("a/b", make_match({}), per, 1, "usd", ())
    shorter = Budget("a", make_match({}), "day", 1, "usd", ())
    assert read_budget_key(budget_key(longer, scope, window), [shorter, longer]) == (longer, scope, window)
    assert read_budget_key("limit/a/everything/calls", [shorter, longer]) is None
    assert read_budget_key("budget/c/everything/2026-11-22", [shorter, longer]) is None
