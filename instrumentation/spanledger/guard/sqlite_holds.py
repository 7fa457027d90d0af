"""Holds in the SQLite store, within a transaction of the caller's: all lines of a call or none.

Accounts are read with one statement, looked at here, and written with another: nobody else can write in between, and
what the thread itself does in between, in a signal handler, is kept, as amounts are added and not set (but for a rate
whose window moves at that moment).
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from functools import lru_cache
from typing import Final

from .sliding import room_in_ms
from .sqlite_rows import MOVE, OPEN, Own, Row, Wanted, expire, text
from .store import LEASE_MS, Balance, Line, Reserved

MOST_OWN: Final = 10_000
"""Calls under way that a process knows without reading them."""
_HOLD: Final = "update amounts set held = held + ?, spent = spent + ? where id = ?"
_BEGIN_CALL: Final = (
    "insert into live select ?1, 0, ?2, 0, 0, 0, ?4, ?3 where not exists (select 1 from ended where call = ?1)"
    " on conflict do nothing"
)
_new: Final = tuple.__new__  # of a named tuple: half of what calling it costs
_NEW: Final = Row(0, 0, 0, 0, 0, 0)
"""An account that isn't there yet."""


def reserve(cursor: sqlite3.Cursor, own: Own, call: str, lines: Sequence[Line], now_ms: int) -> Reserved:
    """Hold all lines of a call or none."""
    rows = _rows_of(cursor, lines)
    balances = _held(lines, rows, now_ms)
    if len(balances) < len(lines) or _NEW in rows:
        if _is_known(cursor, call):
            return Reserved(_balances(lines, rows, now_ms))
        if len(balances) < len(lines) and expire(cursor, now_ms):
            rows = _rows_of(cursor, lines)
            balances = _held(lines, rows, now_ms)
        if (place := len(balances)) < len(lines):
            room_in_ms = _room_in_ms(lines[place], rows[place], now_ms)
            return Reserved(_balances(lines, rows, now_ms), place, room_in_ms)
        rows = [_opened(cursor, line, row) for line, row in zip(lines, rows, strict=True)]
    wanted = [
        _new(Wanted, (row[0], kind, unit, amount))
        for (_key, kind, unit, amount, _cap, _until_ms, _window_ms), row in zip(lines, rows, strict=True)
    ]
    if cursor.execute(_BEGIN_CALL, (call, now_ms, now_ms + LEASE_MS, text(wanted))).rowcount < 1:
        return Reserved(_balances(lines, rows, now_ms))
    _hold(cursor, lines, rows, now_ms)
    if len(own) >= MOST_OWN:
        own.clear()
    own[call] = now_ms, wanted
    return _new(Reserved, (tuple(balances), -1, 0))


def _is_known(cursor: sqlite3.Cursor, call: str) -> bool:
    statement = "select 1 from live where call = ?1 union all select 1 from ended where call = ?1"
    return bool(cursor.execute(statement, (call,)).fetchall())


def _rows_of(cursor: sqlite3.Cursor, lines: Sequence[Line]) -> list[Row]:
    """Return the accounts of lines, `_NEW` where there are none yet."""
    if not lines:
        return []
    return [_new(Row, row) for row in cursor.execute(_find(len(lines)), [line[0] for line in lines]).fetchall()]


@lru_cache(64)
def _find(lines: int) -> str:
    """Return the statement that reads so many accounts, in the order of their keys."""
    columns = ", ".join([f"ifnull(amounts.{column}, 0)" for column in Row._fields])
    values = ", ".join(["(?)"] * lines)
    return (
        f"select {columns} from (values {values}) as wanted"  # noqa: S608 - names and question marks
        " left join names on names.key = wanted.column1 left join amounts on amounts.id = names.id"
    )


def _held(lines: Sequence[Line], rows: Sequence[Row], now_ms: int) -> list[Balance]:
    """Return the accounts with what is wanted of them, up to the line without room."""
    balances: list[Balance] = []
    for (_key, _kind, _unit, amount, cap, _until_ms, window_ms), row in zip(lines, rows, strict=True):
        if window_ms:
            has, held = row.used(window_ms, now_ms) + amount, 0
        else:
            has, held = row[1], row[2] + amount
        if has + held > cap >= 0:
            break
        balances.append(_new(Balance, (has, held)))
    return balances


def _balances(lines: Sequence[Line], rows: Sequence[Row], now_ms: int) -> tuple[Balance, ...]:
    """Return the accounts as they are."""
    return tuple(
        [
            Balance(row.used(line.window_ms, now_ms), 0) if line.window_ms else Balance(row.spent, row.held)
            for line, row in zip(lines, rows, strict=True)
        ]
    )


def _room_in_ms(line: Line, row: Row, now_ms: int) -> int:
    if line.kind != "rate":
        return 0
    return room_in_ms(row.slid(line.window_ms, now_ms), line.window_ms, line.amount, line.cap, now_ms)


def _opened(cursor: sqlite3.Cursor, line: Line, row: Row) -> Row:
    """Return the row of an account that is there now."""
    if row.id:
        return row
    cursor.execute(OPEN, (line.key, line.kind, line.unit, line.until_ms))
    amounts = "insert into amounts select id, 0, 0, 0, ?, 0, 0 from names where key = ? on conflict do nothing"
    cursor.execute(amounts, (line.window_ms, line.key))
    return _rows_of(cursor, [line])[0]


def _hold(cursor: sqlite3.Cursor, lines: Sequence[Line], rows: Sequence[Row], now_ms: int) -> None:
    changes = []
    for (_key, _kind, _unit, amount, _cap, _until_ms, window_ms), row in zip(lines, rows, strict=True):
        if not window_ms:
            changes.append((amount, 0, row[0]))
            continue
        if now_ms // window_ms != row.slot or window_ms != row.window_ms:
            slid = row.slid(window_ms, now_ms)
            cursor.execute(MOVE, (slid.current, slid.previous, slid.slot, window_ms, row.id))
        changes.append((0, amount, row[0]))
    cursor.executemany(_HOLD, changes)
