"""The file of the SQLite store: one of the version before is taken over, and several handles share it."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest

from guarding import DAY, NOW, budget, lease, tokens_a_minute
from spanledger.guard import sqlite_holds, sqlite_old
from spanledger.guard.sqlite import SqliteStore
from spanledger.guard.store import KEEP_ACCOUNTS_MS, KEEP_CALLS_MS, Account, Charge

BEFORE = """
create table accounts (
    key text primary key, kind text not null, unit text not null,
    spent integer not null, held integer not null, flagged integer not null, until_ms integer not null,
    window_ms integer not null, slot integer not null, previous integer not null
) without rowid;
create table live (
    call text primary key, state integer not null, at_ms integer not null, usd integer not null,
    tokens integer not null, flagged integer not null, lines text not null, expires_ms integer not null
) without rowid;
create table ended (
    call text primary key, state integer not null, at_ms integer not null, usd integer not null,
    tokens integer not null, flagged integer not null, lines text not null
) without rowid;
create index ended_at on ended (at_ms);
create table states (key text primary key, value text not null) without rowid;
insert into accounts values
    ('a minute', 'rate', 'tokens', 90, 0, 0, 0, 60000, 28401120, 0),
    ('tokens', 'budget', 'tokens', 150, 180, 90, 1704153600000, 0, 0, 0),
    ('under way', 'lease', 'calls', 0, 2, 0, 0, 0, 0, 0),
    ('user''s "day"', 'budget', 'usd', 650, 300, 400, 1704153600000, 0, 0, 0);
insert into live values
    ('sent', 1, 1704067200000, 0, 0, 0, '[["user''s \\"day\\"","budget","usd",100,0],["tokens","budget","tokens",90,0],
        ["a minute","rate","tokens",10,60000],["under way","lease","calls",1,0]]', 1704067320000),
    ('settled', 2, 1704067200000, 250, 60, 0, '[["user''s \\"day\\"","budget","usd",300,0],
        ["tokens","budget","tokens",90,0],["a minute","rate","tokens",30,60000],["forgotten","lease","calls",1,0]]',
        1704067320000),
    ('under way', 0, 1704067200000, 0, 0, 0, '[["user''s \\"day\\"","budget","usd",200,0],
        ["tokens","budget","tokens",90,0],["a minute","rate","tokens",20,60000],["under way","lease","calls",1,0]]',
        1704067320000);
insert into ended values
    ('charged', 3, 1703980800000, 400, 90, 1, '[["user''s \\"day\\"","budget","usd",400,0],
        ["tokens","budget","tokens",90,0],["a minute","rate","tokens",40,60000]]');
insert into states values ('breaker', 'open');
"""
"""What the version before wrote: a call that is settled, one that was charged, and two under way."""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "guard.sqlite"


@pytest.fixture
def stores(path: Path) -> Iterator[list[SqliteStore]]:
    """Make two handles of one file, as two processes have them."""
    with ExitStack() as stack:
        yield [stack.enter_context(closing(SqliteStore(path, patience_s=30))) for _ in range(2)]


def write_before(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("pragma journal_mode = wal")
        connection.executescript(BEFORE)


def accounts(store: SqliteStore) -> dict[str, tuple[int, int, int]]:
    return {one.key: (one.spent, one.held, one.flagged) for one in store.accounts()}


def test_a_file_of_the_version_before_keeps_its_accounts_calls_and_states(
    path: Path, stores: list[SqliteStore]
) -> None:
    write_before(path)
    store, other = stores
    assert store.accounts() == other.accounts()
    assert store.accounts() == [
        Account("a minute", "rate", "tokens", 90, 0, 0, 0),
        Account("tokens", "budget", "tokens", 150, 180, 90, NOW + DAY),
        Account("under way", "lease", "calls", 0, 2, 0, 0),
        Account('user\'s "day"', "budget", "usd", 650, 300, 400, NOW + DAY),
    ]
    assert store.states("") == {"breaker": "open"}
    assert store.charges(NOW + 1, 9) == [
        Charge("charged", NOW - DAY, 400, 90, True),
        Charge("settled", NOW, 250, 60, False),
    ]
    assert [store.settle(call, 80, 50, NOW + 1) for call in ("sent", "sent", "settled")] == [True, False, False]
    assert store.release("under way", NOW + 1)
    assert store.settle("charged", 380, 95, NOW + 1)
    assert store.confirm("settled", 251, 60)
    assert accounts(store) == {
        "a minute": (165, 0, 0),
        "tokens": (205, 0, 0),
        "under way": (0, 0, 0),
        'user\'s "day"': (711, 0, 0),
    }


def test_a_file_of_the_version_before_is_taken_over_once(path: Path) -> None:
    write_before(path)
    told = []
    barrier = threading.Barrier(8)

    def look() -> None:
        with closing(SqliteStore(path, patience_s=30)) as store:
            barrier.wait()
            told.append(accounts(store))

    threads = [threading.Thread(target=look) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    there = {"a minute": (90, 0, 0), "tokens": (150, 180, 90), "under way": (0, 2, 0), 'user\'s "day"': (650, 300, 400)}
    assert told == [there] * 8


def indexes(path: Path) -> list[str]:
    with closing(sqlite3.connect(path)) as connection:
        found = connection.execute("select name from sqlite_schema where type = 'index' and sql not null order by name")
        return [name for (name,) in found]


def test_a_file_of_version_1_gets_its_indexes_and_keeps_its_accounts(path: Path, stores: list[SqliteStore]) -> None:
    stores[0].set_spent("b", 700, NOW + DAY, "usd")
    stores[0].close()
    made = indexes(path)
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript("drop index names_until; drop index names_gone; pragma user_version = 1")
    assert accounts(stores[1]) == {"b": (700, 0, 0)}
    assert (made, indexes(path)) == (["ended_at", "names_gone", "names_until"],) * 2


def test_a_process_of_the_version_before_cannot_count_in_accounts_of_its_own(
    path: Path, stores: list[SqliteStore]
) -> None:
    stores[0].set_spent("b", 700, NOW + DAY, "usd")
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("create table if not exists accounts (key text primary key, held integer) without rowid")
        with pytest.raises(sqlite3.OperationalError, match="it is a view"):
            connection.execute("update accounts set held = held + 1 where key = 'b'")
    assert accounts(stores[1]) == {"b": (700, 0, 0)}


def test_charges_are_listed_while_another_process_writes(path: Path, stores: list[SqliteStore]) -> None:
    store = stores[0]
    store.reserve("a", [budget("b", 400)], NOW)
    store.settle("a", 350, 30, NOW)
    with (
        closing(sqlite3.connect(path, isolation_level=None)) as connection,
        closing(SqliteStore(path, patience_s=0)) as impatient,
    ):
        connection.execute("begin immediate")
        assert impatient.charges(NOW + 1, 9) == [Charge("a", NOW, 350, 30, False)]


def test_a_sweep_forgets_page_by_page_and_goes_on_the_next_time(
    stores: list[SqliteStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_old, "PAGE", 3)
    monkeypatch.setattr(sqlite_old, "MOST_PAGES", 2)
    store, other = stores
    for number in range(10):
        store.set_spent(f"{number}", 1, NOW, "usd")
    told: list[str] = []
    store._connection.set_trace_callback(told.append)  # type: ignore[union-attr]
    left = []
    for _ in range(3):
        store.sweep(NOW + KEEP_ACCOUNTS_MS)
        left.append(len(other.accounts()))
    assert left == [4, 0, 0]
    words = [
        statement.split()[0] for statement in told if statement.startswith(("begin", "delete from amounts", "commit"))
    ]
    forgotten = [text.count("delete") for text in " ".join(words).split("begin")]
    assert [count for count in forgotten if count] == [3, 3, 3, 1]


def test_a_sweep_reads_no_more_than_what_it_forgets_and_what_is_in_use(stores: list[SqliteStore], path: Path) -> None:
    stores[0].accounts()
    values = {"now_ms": NOW, "calls_ms": NOW, "accounts_ms": NOW, "most_calls": 9, "page": 9}
    with closing(sqlite3.connect(path)) as connection:
        plans = [
            connection.execute(f"explain query plan {kind.found}", values).fetchall() for kind in sqlite_old._KINDS
        ]
    assert {words for plan in plans for *_, words in plan if words.startswith("SCAN")} == {
        "SCAN ended USING COVERING INDEX ended_at"  # a million of the newest calls are passed over
    }


def test_accounts_that_are_drawn_on_between_looking_and_forgetting_are_kept(stores: list[SqliteStore]) -> None:
    store, other = stores
    store.set_spent("forgotten", 1, NOW - KEEP_CALLS_MS, "usd")
    store.sweep(NOW - KEEP_CALLS_MS + KEEP_ACCOUNTS_MS)
    ended, in_use = [budget("ended", 1, until_ms=NOW)], [lease("under way"), tokens_a_minute("rate", 5)]
    meanwhile = {"until_ms > 0": ended, "until_ms = 0": in_use, "gone_ms <=": [budget("forgotten", 2)]}
    store.reserve("before", [*ended, *in_use], NOW)
    store.settle("before", 1, 5, NOW)
    now_ms = NOW + KEEP_ACCOUNTS_MS

    def read(statement: str, values: dict[str, int]) -> list[Any]:
        found = store._read(statement, values)
        for words, lines in meanwhile.items():
            if words in statement:
                assert found
                other.reserve(words, lines, now_ms)
        return found

    sqlite_old.forget(read, store._written, now_ms)
    assert accounts(store) == {"ended": (1, 1, 0), "forgotten": (0, 2, 0), "rate": (5, 0, 0), "under way": (0, 1, 0)}


def test_a_call_is_settled_by_another_process_than_the_one_that_reserved_it(stores: list[SqliteStore]) -> None:
    one, other = stores
    one.reserve("a", [budget("b", 400), tokens_a_minute("r", 50), lease("l")], NOW)
    assert [store.settle("a", 350, 30, NOW + 1) for store in (other, one)] == [True, False]
    assert accounts(one) == {"b": (350, 0, 0), "l": (0, 0, 0), "r": (30, 0, 0)}


def test_a_call_that_another_process_released_and_reserved_anew_is_settled_as_it_is_now(
    stores: list[SqliteStore],
) -> None:
    one, other = stores
    one.reserve("a", [budget("b", 400)], NOW)
    other.release("a", NOW + 1)
    other.reserve("a", [budget("c", 300)], NOW + 1)
    assert one.settle("a", 250, 30, NOW + 2)
    assert accounts(one) == {"b": (0, 0, 0), "c": (250, 0, 0)}


def test_calls_beyond_those_that_a_process_remembers_are_settled_alike(
    stores: list[SqliteStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_holds, "MOST_OWN", 2)
    store = stores[0]
    for call in "abcde":
        store.reserve(call, [budget("b", 10)], NOW)
    assert [store.settle(call, 9, 1, NOW) for call in "abcde"] == [True] * 5
    assert accounts(store) == {"b": (45, 0, 0)}
