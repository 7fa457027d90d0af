"""The tables of the SQLite store, and how a file of an earlier version gets them.

What each call changes, `amounts`, lies apart from what stays as it is, `names`: its rows are small, and in the order in
which accounts were opened, so those of a call are on few pages, and pages are what a commit writes. `accounts` is both
together. Before version 1 it was a table; as it is a view now, a process of then that still runs finds the store away,
and opens no accounts of its own. Version 2 has indexes for what is to be forgotten; a process of version 1 goes on.
"""

from __future__ import annotations

import contextlib
import sqlite3
from typing import Final

VERSION: Final = 2
_TABLES: Final = """
    create table names (
        -- Never used twice: calls mean accounts by it. gone_ms: since when there are no amounts.
        id integer primary key autoincrement, key text not null unique, kind text not null, unit text not null,
        until_ms integer not null, gone_ms integer
    );
    -- Of a rate `spent` is what the window number `slot` has.
    create table amounts (
        id integer primary key, spent integer not null, held integer not null, flagged integer not null,
        window_ms integer not null, slot integer not null, previous integer not null
    );
    create table if not exists live (
        call text primary key, state integer not null, at_ms integer not null, usd integer not null,
        tokens integer not null, flagged integer not null, lines text not null, expires_ms integer not null
    ) without rowid;
    create table if not exists ended (
        call text primary key, state integer not null, at_ms integer not null, usd integer not null,
        tokens integer not null, flagged integer not null, lines text not null
    ) without rowid;
    create index if not exists ended_at on ended (at_ms);
    create table if not exists states (key text primary key, value text not null) without rowid;
"""
_MOVED: Final = """
    insert into names (key, kind, unit, until_ms) select key, kind, unit, until_ms from accounts;
    insert into amounts
        select id, spent, held, flagged, window_ms, slot, previous from accounts join names using (key);
    update live set lines = (
        select json_group_object(cast(names.id as text), json_extract(value, '$[3]'))
        from json_each(live.lines) as line join names on names.key = json_extract(value, '$[0]')
    );
    update ended set lines = (
        select json_group_object(cast(names.id as text), json_extract(value, '$[3]'))
        from json_each(ended.lines) as line join names on names.key = json_extract(value, '$[0]')
    );
    drop table accounts;
"""
_VIEW: Final = """
    create view accounts as
        select key, kind, unit, spent, held, flagged, until_ms, window_ms, slot, previous
        from names join amounts using (id);
"""


_INDEXES: Final = """
    create index names_until on names (until_ms) where gone_ms is null;
    create index names_gone on names (gone_ms) where gone_ms is not null;
"""


def prepare(connection: sqlite3.Connection) -> None:
    """Make the tables, or move what a file of an earlier version has into them, in one transaction."""
    if _version(connection) >= VERSION:
        return
    connection.execute("begin immediate")
    try:
        _make(connection, _version(connection))  # another process may have been first
        connection.execute("commit")
    except BaseException:
        with contextlib.suppress(sqlite3.Error):
            connection.rollback()
        raise


def _version(connection: sqlite3.Connection) -> int:
    version: int = connection.execute("pragma user_version").fetchone()[0]
    return version


def _make(connection: sqlite3.Connection, version: int) -> None:
    before = connection.execute("select 1 from sqlite_schema where type = 'table' and name = 'accounts'").fetchone()
    tables = (_TABLES, _MOVED if before else "", _VIEW) if version < 1 else ()
    for script in (*tables, _INDEXES if version < VERSION else ""):
        for statement in script.split(";"):
            connection.execute(statement)
    connection.execute(f"pragma user_version = {max(version, VERSION)}")
