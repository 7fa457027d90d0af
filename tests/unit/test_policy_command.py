"""`spanledger policy`: what a person types, and what is shown."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner, Result

from ledger_rows import Row, call, make_lake
from spanledger.guard.sqlite import SqliteStore
from spanledger.guard.stores import FILE
from spanledger_cli import cli
from spanledger_cli.policy import _STARTING_FILE


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("SPANLEDGER_POLICY", "WEB_CONCURRENCY", "GUNICORN_CMD_ARGS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("SPANLEDGER_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("SPANLEDGER_LAKE", str(tmp_path / "lake"))
    (tmp_path / "home").mkdir()
    return tmp_path / "home"


def run(*arguments: str) -> Result:
    return CliRunner().invoke(cli, ["policy", *arguments], terminal_width=200)


def write(home: Path, text: str) -> None:
    (home / "policy.toml").write_text(text, "utf-8")


def findings(*arguments: str) -> list[tuple[str, str, str]]:
    done = run("check", "--format", "json", *arguments)
    assert done.exit_code in (0, 1), done.exception
    return [(row["level"], row["rule"], row["finding"]) for row in json.loads(done.stdout)]


def ours(number: int, model: str, into: int, out: int, **columns: Any) -> Row:
    start = datetime.now(UTC) - timedelta(hours=2, minutes=number)
    return call(number, 1, start, model, into, out, dialect="spanledger", **columns)


def test_a_store_in_redis_without_its_library_is_an_error(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(home, 'store = "redis://127.0.0.1:9/0"\n[[budget]]\nname = "all"\nper = "day"\nusd = 1\n')
    monkeypatch.setitem(sys.modules, "redis", None)
    assert ("error", "", "a store in Redis needs the extra: pip install 'spanledger[redis]'") in findings()


def test_init_writes_a_policy_once_that_can_be_used(home: Path) -> None:
    assert run("init").stdout == f"{home / 'policy.toml'}\n"
    assert (home / "policy.toml").read_text("utf-8") == _STARTING_FILE.read_text("utf-8")
    done = run("check")
    assert (done.exit_code, done.stdout) == (0, "")
    assert done.stderr.endswith("policy.toml: 1 rule, nothing to look at\n")
    write(home, "# mine")
    assert "is there already; it stays as it is" in str(run("init").exception)
    assert (home / "policy.toml").read_text("utf-8") == "# mine"


def test_all_of_the_first_policy_can_be_used_once_it_is_no_comment_any_more(home: Path) -> None:
    lines = _STARTING_FILE.read_text("utf-8").splitlines()
    head = lines.index(
        "# A month of everything: told at 70 %, refused when it is used up. Begin in shadow, which only records."
    )
    rules = [
        line[2:] if line.startswith(("# [[", "# ")) and ("=" in line or "[[" in line) else line for line in lines[head:]
    ]
    write(home, "\n".join(['store = "sqlite"', *rules]))
    done = run("check", "--no-lake")
    assert (done.exit_code, done.stdout) == (0, ""), done.stderr
    assert "7 rules, nothing to look at" in done.stderr


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('[[budget]]\nname = "b"\nper = "day"\nusd = 1\nlimit = 3\n', "line 5: [[budget]] limit: unknown; known: at,"),
        ('[[budget]]\nname = "b"\nper = "eon"\nusd = 1\n', "line 3: [[budget]] per: expected one of request,"),
        (
            '[[limit]]\nname = "l"\nconcurrent = 1\n[[limit]]\nname = "l"\nconcurrent = 2\n',
            "line 5: [[limit]] name: 'l' stands twice",
        ),
        ("store = 7\n", 'store: expected "memory", "sqlite" or "redis://host:6379/0", not 7'),
    ],
)
def test_a_policy_that_can_t_be_used_is_told_with_its_line_and_key(home: Path, text: str, words: str) -> None:
    write(home, text)
    done = run("check")
    assert (done.exit_code, words in str(done.exception)) == (1, True), done.exception


def test_workers_that_don_t_share_a_store_are_told(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(home, 'store = "memory"\n[[limit]]\nname = "l"\nconcurrent = 1\n')
    assert findings("--no-lake") == []
    told = "counts in each process by itself, and there seem to be 4 workers"
    for name, value in (("GUNICORN_CMD_ARGS", "--bind :80 --workers=4"), ("WEB_CONCURRENCY", "4")):
        monkeypatch.setenv(name, value)
        ((level, rule, sentence),) = findings("--no-lake")
        assert (level, rule, told in sentence) == ("warning", "", True)


def test_rules_that_never_do_what_they_say_are_told(home: Path) -> None:
    write(
        home,
        """
        store = "sqlite"
        [[budget]]
        name = "late"
        per = "day"
        usd = 1
        at = { "80%" = "block", "90%" = "warn" }
        [[budget]]
        name = "softer"
        per = "day"
        usd = 1
        at = { "50%" = "degrade", "70%" = "warn", "100%" = "block" }
        [[budget]]
        name = "idle"
        match = { provider = "openai", model = "gpt-99-nonesuch" }
        per = "day"
        tokens = 1
        at = { "50%" = "allow" }
        [[limit]]
        name = "idle"
        concurrent = 1
        [[degrade]]
        model = "gpt-5-mini"
        to = "gpt-5"
        """,
    )
    assert findings("--no-lake") == [
        ("warning", "idle", "a [[budget]] and a [[limit]] have this name, which is all that people are told"),
        ("warning", "late", "warn at 90 % is never reached: block at 80 % comes before it"),
        ("warning", "softer", "warn at 70 % takes the place of degrade at 50 %, which is harder"),
        ("warning", "idle", "the price book knows no gpt-99-nonesuch of openai: it may never match"),
        ("note", "idle", "does nothing at any share: it only counts"),
        ("warning", "gpt-5-mini -> gpt-5", "saves nothing: a million tokens in and out are $2.25 and $11.25"),
    ]


def test_what_calls_of_the_last_week_say_of_rules_is_told(home: Path, tmp_path: Path) -> None:
    write(
        home,
        """
        store = "sqlite"
        [[budget]]
        name = "small"
        match = { team_id = "*" }
        per = "day"
        usd = 1
        at = { "50%" = "degrade", "100%" = "block" }
        [[budget]]
        name = "nobody"
        match = { team_id = "ghosts" }
        per = "day"
        usd = 1
        [[limit]]
        name = "slow"
        tokens_per_minute = 500_000
        [[degrade]]
        model = "gpt-5-mini"
        to = "gpt-5-nano"
        """,
    )
    make_lake(
        tmp_path / "lake",
        [
            ours(1, "gpt-5", 800_000, 100_000, team_id="search"),
            ours(2, "gpt-5", 800_001, 100_000, team_id="search"),
            ours(3, "local", 10, 10, team_id="search"),
            ours(4, "gpt-5-mini", 10, 10, team_id="support"),
        ],
    )
    assert findings() == [
        (
            "warning",
            "small",
            "1 of the calls of local had no price, and counted nothing: set unknown_price, or a price in the contract",
        ),
        ("warning", "small", "$1.00 is less than a call of gpt-5 takes on average, $2.00"),
        ("warning", "nobody", "no call of the last week has team_id=ghosts: it may never match"),
        (
            "warning",
            "slow",
            "500,000 tokens a minute are less than a call of gpt-5 takes on average, 900,001:"
            " it would never be let through",
        ),
        ("warning", "small", "degrades, and no [[degrade]] names a model that stands in for local"),
        ("warning", "small", "degrades, and no [[degrade]] names a model that stands in for gpt-5"),
    ]
    assert [rule for _, rule, _ in findings("--no-lake")] == []


def test_caches_whose_answers_are_not_kept_as_they_are_cut_off_are_told(home: Path, tmp_path: Path) -> None:
    write(
        home,
        """
        [[cache]]
        name = "help"
        match = { feature = "help" }
        [[cache]]
        name = "others"
        """,
    )
    ends = ["length", "max_tokens", "stop", "length", None]
    rows = [ours(number, "gpt-5", 1, 1, feature="help", finish_reason=end) for number, end in enumerate(ends)]
    rows += [ours(9 + number, "gpt-5", 1, 1, finish_reason="end_turn") for number in range(4)]
    make_lake(tmp_path / "lake", rows)
    assert findings() == [
        (
            "warning",
            "help",
            "3 of the 4 answers of the last week that it is about ended by length, max_tokens: such are not kept;"
            " with a larger max_tokens they may end by themselves",
        )
    ]
    assert findings("--no-lake") == []


def test_a_call_is_told_which_rules_it_meets_and_what_they_have_left(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = datetime.now(UTC)
    clock = SimpleNamespace(time_ns=lambda: int(now.timestamp()) * 10**9)
    monkeypatch.setattr("spanledger_cli.policy.time", clock)
    write(
        home,
        """
        store = "sqlite"
        [[budget]]
        name = "a user's day"
        match = { user_id = "*", model = "gpt-*" }
        per = "day"
        usd = 2
        at = { "50%" = "warn", "100%" = "block" }
        [[budget]]
        name = "claude"
        match = { model = "claude*" }
        per = "total"
        usd = 9
        shadow = true
        [[limit]]
        name = "paid"
        match = { plan = "free" }
        requests_per_minute = 60
        concurrent = 2
        [[breaker]]
        name = "pace"
        budget = "claude"
        budget_share = "50%"
        usd_per_minute = "0.5"
        [[breaker]]
        name = "a run"
        session_calls = 50
        at = { "80%" = "degrade" }
        """,
    )
    store, today = SqliteStore(home / FILE), f"{now:%Y-%m-%d}"
    store.set_spent(f"budget/a user's day/user_id=ann,model=gpt-4o/{today}", 1_500_000_000, 0, "usd")
    store.close()
    done = run("check", "--call", "user_id=ann,model=gpt-4o", "--call", "plan=free", "--format", "json")
    rows = [{key: value for key, value in row.items() if value is not None} for row in json.loads(done.stdout)]
    assert rows == [
        {
            "kind": "budget",
            "rule": "a user's day",
            "applies": True,
            "scope": "user_id=ann,model=gpt-4o",
            "does": "warn at 50 %, block at 100 %",
            "window": today,
            "spent": "1.5",
            "held": "0",
            "cap": "2",
            "unit": "usd",
            "shadow": False,
        },
        {
            "kind": "limit",
            "rule": "paid",
            "applies": True,
            "scope": "plan=free",
            "does": "60 calls a minute, 2 calls at a time",
            "shadow": False,
        },
        {
            "kind": "breaker",
            "rule": "a run",
            "applies": True,
            "scope": "session_id=?",
            "does": "degrade at 80 % of 50 calls a session",
            "shadow": False,
        },
        {
            "kind": "budget",
            "rule": "claude",
            "applies": False,
            "scope": "model is gpt-4o, not claude*",
            "does": "block at 100 %",
            "window": "total",
            "cap": "9",
            "unit": "usd",
            "shadow": True,
        },
        {
            "kind": "breaker",
            "rule": "pace",
            "applies": False,
            "scope": "model is gpt-4o, not claude*",
            "does": "block at 100 % of $4.50 of budget 'claude', $0.50 a minute",
            "shadow": False,
        },
    ]
    assert "user_id isn't given" in run("check", "--call", "model=gpt-4o").stdout


def test_routes_that_send_nothing_or_save_nothing_are_told(home: Path) -> None:
    write(
        home,
        """
        [[route]]
        name = "late"
        budget = { "nobody's" = "50%" }
        to = { "gpt-5-mini" = "gpt-5" }
        [[route]]
        name = "own model"
        to = { "gpt-5" = "ours" }
        [[route]]
        name = "own model, described"
        to = { "our-big" = "our-small" }
        supports = ["text"]
        """,
    )
    assert findings("--no-lake") == [
        ("warning", "late", "waits for a budget that isn't there: nobody's"),
        ("warning", "late", "saves nothing: a million tokens in and out are $2.25 and $11.25"),
        ("warning", "own model", "the price book knows no ours of openai"),
        ("warning", "own model", "nothing is known of what ours takes, so no call goes there: say it, supports"),
    ]


def simulated(*arguments: str) -> tuple[Sequence[dict[str, Any]], str]:
    done = run("simulate", "--since", "1d", "--format", "json", *arguments)
    assert done.exit_code == 0, done.exception
    return json.loads(done.stdout), done.stderr


def test_simulate_tells_by_rule_and_day_what_would_have_been_saved(home: Path, tmp_path: Path) -> None:
    budget = '[[budget]]\nname = "b"\nmatch = { user_id = "*" }\nper = "total"\nusd = 3\nshadow = true\n'
    write(home, budget)
    now = datetime.now(UTC).replace(microsecond=0)
    starts = [now - timedelta(hours=12, minutes=-number) for number in range(4)]
    make_lake(
        tmp_path / "lake",
        [
            ours(1, "gpt-5", 0, 200_000, user_id="ann", start_time=start) | {"span_id": f"{place:016x}"}
            for place, start in enumerate(starts)
        ],
    )
    rows, words = simulated()
    (all_days, *days) = rows
    assert (all_days["rule"], all_days["shadow"], all_days["day"], all_days["refused"]) == ("b", True, None, 3)
    assert all_days["saved_usd"] == "6.000000000000"
    assert {row["day"] for row in days} == {f"{start:%Y-%m-%d}" for start in starts[1:]}
    assert (
        "4 calls of $8.00: 0 would have been refused, 0 answered by a stand-in, 0 s waited; $0.00 would have" in words
    )

    rows, words = simulated("--enforce")
    assert (rows[0]["shadow"], rows[0]["refused"], rows[0]["saved_usd"]) == (False, 3, "6.000000000000")
    assert "4 calls of $8.00: 3 would have been refused, 0 answered by a stand-in, 0 s waited; $6.00 would" in words
    assert "a run whose call is refused may end there" in words
    table = run("simulate", "--since", "1d", "--enforce").stdout.splitlines()
    assert table[2].split() == ["b", "budget", "all", "3", "0", "0", "0", "0", "0", "$6.00"]
    assert not (home / FILE).exists()


def test_simulate_says_which_rules_it_does_not_play(home: Path, tmp_path: Path) -> None:
    to = 'to = { "gpt-5" = "gpt-5-mini" }'
    routes = f'[[route]]\nname = "easy"\n{to}\n[[route]]\nname = "prose"\ncode = false\n{to}\n'
    write(home, f'{routes}[[cache]]\nname = "again"\n')
    make_lake(tmp_path / "lake", [ours(1, "gpt-5", 1, 1, start_time=datetime.now(UTC) - timedelta(hours=1))])
    rows, words = simulated()
    assert [(row["rule"], row["kind"], row["shadow"], row["routed"]) for row in rows if row["day"] is None] == [
        ("easy", "route", True, 1)
    ]
    assert "[[cache]] is not played: what a cache would have given hangs on prompts, which the lake doesn't" in words
    assert "the route 'prose' is not played: it asks for code or a schema" in words
    assert "[[route]]" not in words
