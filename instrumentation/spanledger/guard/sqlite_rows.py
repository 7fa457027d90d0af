"""What is done to the rows of the SQLite store, within a transaction of the caller's.

What most calls do takes as few statements and pages as could be found. A call is one row with its lines as JSON, in the
small table `live`, and goes on to the large one with many others. `hold_quickly` holds without looking first; what it
can't do, such as a first call of an account, a new minute or a refusal, is undone and done by `reserve`.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from typing import Final, Literal, NamedTuple

from .counting import CHARGED, GONE, RETURNED, SENT, SETTLED, UNSENT, Fate, count, spent
from .sliding import Slid, corrected, room_in_ms, slide
from .store import KEEP_ACCOUNTS_MS, KEEP_CALLS_MS, LEASE_MS, Balance, Kind, Line, Reserved, Unit

MOST_CALLS: Final = 1_000_000
"""Calls that are kept after their end."""
SCHEMA: Final = """
    -- Of a rate `spent` is what the window number `slot` has.
    create table if not exists accounts (
        key text primary key, kind text not null, unit text not null,
        spent integer not null, held integer not null, flagged integer not null, until_ms integer not null,
        window_ms integer not null, slot integer not null, previous integer not null
    ) without rowid;
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
_HOLD: Final = (
    "update accounts set held = held + ?2 where key = ?1 and (?3 < 0 or spent + held + ?2 <= ?3) returning spent, held"
)
_COUNT: Final = (
    "update accounts set spent = spent + ?2"
    " where key = ?1 and slot = ?4 and window_ms = ?5 and (?3 < 0 or spent + previous * ?6 / ?5 + ?2 <= ?3)"
    " returning spent + previous * ?6 / ?5, 0"
)
_CHANGE: Final = (
    "update accounts set held = held + ?, spent = max(0, spent + ?), flagged = max(0, flagged + ?) where key = ?"
)
_RIGHT: Final = (
    "update accounts set spent = max(0, spent + ?1) where key = ?2 and slot = ?3 / window_ms and slot = ?4 / window_ms"
)
_MOVE: Final = "update accounts set spent = ?, previous = ?, slot = ?, window_ms = ? where key = ?"
_BEGIN_CALL: Final = (
    "insert into live select ?1, 0, ?2, 0, 0, 0, ?4, ?3 where not exists (select 1 from ended where call = ?1)"
    " on conflict do nothing"
)
_quoted: Final = json.encoder.encode_basestring


class Row(NamedTuple):
    """A row of `accounts`."""

    key: str
    kind: Kind
    unit: Unit
    spent: int
    held: int
    flagged: int
    until_ms: int
    window_ms: int
    slot: int
    previous: int

    def slid(self, window_ms: int, now_ms: int) -> Slid:
        """Return a rate's windows as they are now; those of another length start anew."""
        known = window_ms == self.window_ms
        return slide(self.spent if known else 0, self.previous if known else 0, self.slot, window_ms, now_ms)


class Wanted(NamedTuple):
    """What is kept of a line."""

    key: str
    kind: Kind
    unit: Unit
    amount: int
    window_ms: int


class Call(NamedTuple):
    """A call, and what it counts for."""

    at_ms: int
    fate: Fate
    wanted: list[Wanted]


# Reserving


def hold_quickly(connection: sqlite3.Connection, call: str, lines: Sequence[Line], now_ms: int) -> Reserved | None:
    """Hold all lines of a call; None, and changes to be undone, where one can't be held without a closer look."""
    if not _begin_call(connection, call, lines, now_ms):
        return None
    balances = []
    for key, kind, _unit, amount, cap, _until_ms, window_ms in lines:
        if kind == "rate":
            slot, elapsed = divmod(now_ms, window_ms)
            found = connection.execute(_COUNT, (key, amount, cap, slot, window_ms, window_ms - elapsed)).fetchone()
        else:
            found = connection.execute(_HOLD, (key, amount, cap)).fetchone()
        if found is None:
            return None
        balances.append(Balance(*found))
    return Reserved(tuple(balances))


def reserve(connection: sqlite3.Connection, call: str, lines: Sequence[Line], now_ms: int) -> Reserved:
    """Hold all lines of a call or none."""
    rows = _rows_of(connection, lines)
    place = _refused(lines, rows, now_ms)
    if _is_known(connection, call):
        return Reserved(_balances(lines, rows, now_ms))
    if place >= 0 and expire(connection, now_ms):
        rows = _rows_of(connection, lines)
        place = _refused(lines, rows, now_ms)
    if place >= 0:
        return Reserved(_balances(lines, rows, now_ms), place, _room_in_ms(lines[place], rows[place], now_ms))
    _begin_call(connection, call, lines, now_ms)
    return Reserved(tuple([_hold(connection, line, row, now_ms) for line, row in zip(lines, rows, strict=True)]))


def _begin_call(connection: sqlite3.Connection, call: str, lines: Sequence[Line], now_ms: int) -> bool:
    # As json.dumps writes it, in a third of the time.
    wanted = ",".join(
        [
            f'[{_quoted(key)},"{kind}","{unit}",{amount},{window_ms}]'
            for key, kind, unit, amount, _cap, _until_ms, window_ms in lines
        ]
    )
    return connection.execute(_BEGIN_CALL, (call, now_ms, now_ms + LEASE_MS, f"[{wanted}]")).rowcount == 1


def _is_known(connection: sqlite3.Connection, call: str) -> bool:
    statement = "select 1 from live where call = ?1 union all select 1 from ended where call = ?1"
    return connection.execute(statement, (call,)).fetchone() is not None


def _rows_of(connection: sqlite3.Connection, lines: Sequence[Line]) -> list[Row]:
    """Return the accounts of lines, empty ones where there are none yet."""
    found = _find(connection, [line.key for line in lines])
    return [
        found.get(key) or Row(key, kind, unit, 0, 0, 0, until_ms, window_ms, 0, 0)
        for key, kind, unit, _amount, _cap, until_ms, window_ms in lines
    ]


def _find(connection: sqlite3.Connection, keys: Sequence[str]) -> dict[str, Row]:
    """Return those accounts of these keys that there are."""
    statement = f"select * from accounts where key in ({','.join('?' * len(keys))})"  # noqa: S608 - question marks
    return {row[0]: Row(*row) for row in connection.execute(statement, keys)}


def _refused(lines: Sequence[Line], rows: Sequence[Row], now_ms: int) -> int:
    """Return the place of the line without room, or -1."""
    for place, (line, row) in enumerate(zip(lines, rows, strict=True)):
        if sum(_balance(line, row, now_ms)) + line.amount > line.cap >= 0:
            return place
    return -1


def _balance(line: Line, row: Row, now_ms: int) -> Balance:
    if line.kind == "rate":
        return Balance(row.slid(line.window_ms, now_ms).used(line.window_ms), 0)
    return Balance(row.spent, row.held)


def _balances(lines: Sequence[Line], rows: Sequence[Row], now_ms: int) -> tuple[Balance, ...]:
    return tuple([_balance(line, row, now_ms) for line, row in zip(lines, rows, strict=True)])


def _room_in_ms(line: Line, row: Row, now_ms: int) -> int:
    if line.kind != "rate":
        return 0
    return room_in_ms(row.slid(line.window_ms, now_ms), line.window_ms, line.amount, line.cap, now_ms)


def _hold(connection: sqlite3.Connection, line: Line, row: Row, now_ms: int) -> Balance:
    connection.execute("insert into accounts values (?,?,?,?,?,?,?,?,?,?) on conflict do nothing", row)
    if line.kind != "rate":
        connection.execute(_CHANGE, (line.amount, 0, 0, line.key))
        return Balance(row.spent, row.held + line.amount)
    slid = row.slid(line.window_ms, now_ms)
    moved = slid.current + line.amount, slid.previous, slid.slot, line.window_ms, line.key
    connection.execute(_MOVE, moved)
    return Balance(slid.used(line.window_ms) + line.amount, 0)


# Ending


def settle(connection: sqlite3.Connection, call: str, fate: Fate, now_ms: int) -> bool:
    """Settle a call: one that is under way, or one whose hold has expired."""
    statement = (
        "update live set state = 2, usd = ?, tokens = ?, flagged = ? where call = ? and state <= 1"
        " returning at_ms, lines"
    )
    values = (fate.usd, fate.tokens, fate.flagged, call)
    # All rows are read: a statement that isn't done would keep the transaction open.
    for at_ms, lines in connection.execute(statement, values).fetchall():
        _settle(connection, json.loads(lines), at_ms, fate, now_ms)
        return True
    found = _taken(connection, "ended", call, (CHARGED, RETURNED))
    if found is None:
        return False
    _count(connection, found, fate, now_ms)
    _keep(connection, call, found, fate)
    return True


def _settle(
    connection: sqlite3.Connection, lines: list[tuple[str, Kind, Unit, int, int]], at_ms: int, fate: Fate, now_ms: int
) -> None:
    """`_count`, for the way that most calls go."""
    changes = []
    for key, kind, unit, amount, _window_ms in lines:
        actual = spent(fate, unit, amount)
        if kind == "budget":
            changes.append((-amount, actual, actual if fate.flagged else 0, key))
        elif kind == "lease":
            changes.append((-amount, 0, 0, key))
        elif actual != amount:
            _correct(connection, key, actual - amount, at_ms, now_ms)
    connection.executemany(_CHANGE, changes)


def release(connection: sqlite3.Connection, call: str, now_ms: int) -> bool:
    """Give back what a call holds, and forget it."""
    found = _taken(connection, "live", call, (UNSENT, SENT))
    if found is None:
        return False
    _count(connection, found, Fate(GONE), now_ms)
    return True


def confirm(connection: sqlite3.Connection, call: str, usd: int, tokens: int) -> bool:
    """Put what the lake says in place of what a call was charged, and forget the call."""
    move_settled(connection)
    found = _taken(connection, "ended", call, (SETTLED, CHARGED))
    if found is None:
        return False
    budgets = [wanted for wanted in found.wanted if wanted.kind == "budget"]
    _count(connection, found._replace(wanted=budgets), Fate(SETTLED, usd, tokens), found.at_ms)
    return True


def expire(connection: sqlite3.Connection, now_ms: int) -> int:
    """End the calls whose hold has expired; how many there were."""
    statement = "select call from live where state <= 1 and expires_ms <= ?"
    expired = connection.execute(statement, (now_ms,)).fetchall()
    for (call,) in expired:
        if found := _taken(connection, "live", call, (UNSENT, SENT)):
            fate = _charged(found) if found.fate.state == SENT else Fate(RETURNED)
            _count(connection, found, fate, now_ms)
            _keep(connection, call, found, fate)
    return len(expired)


def move_settled(connection: sqlite3.Connection) -> None:
    """Move the calls that are settled from the small table to the large one."""
    columns = "call, state, at_ms, usd, tokens, flagged, lines"
    connection.execute(f"insert into ended select {columns} from live where state = 2")  # noqa: S608
    connection.execute("delete from live where state = 2")


def _charged(call: Call) -> Fate:
    """Return the fate of a call that is charged at the largest of its estimates."""
    most = {"usd": 0, "tokens": 0, "calls": 0}
    for wanted in call.wanted:
        if wanted.kind == "budget":
            most[wanted.unit] = max(most[wanted.unit], wanted.amount)
    return Fate(CHARGED, most["usd"], most["tokens"], True)


def _taken(
    connection: sqlite3.Connection, table: Literal["live", "ended"], call: str, states: tuple[int, int]
) -> Call | None:
    statement = (
        f"delete from {table} where call = ? and state in (?, ?)"  # noqa: S608
        " returning state, at_ms, usd, tokens, flagged, lines"
    )
    for state, at_ms, usd, tokens, flagged, lines in connection.execute(statement, (call, *states)).fetchall():
        return Call(at_ms, Fate(state, usd, tokens, bool(flagged)), _wanted(lines))
    return None


def _wanted(lines: str) -> list[Wanted]:
    return [Wanted(*wanted) for wanted in json.loads(lines)]


def _keep(connection: sqlite3.Connection, call: str, found: Call, fate: Fate) -> None:
    row = (
        call,
        fate.state,
        found.at_ms,
        fate.usd,
        fate.tokens,
        fate.flagged,
        json.dumps(found.wanted),
    )
    connection.execute("insert into ended values (?, ?, ?, ?, ?, ?, ?)", row)


def _count(connection: sqlite3.Connection, call: Call, after: Fate, now_ms: int) -> None:
    """Count a call for what becomes of it, and no more for what it was."""
    changes = []
    for wanted in call.wanted:
        old = count(call.fate, wanted.kind, wanted.unit, wanted.amount)
        new = count(after, wanted.kind, wanted.unit, wanted.amount)
        difference = new.spent - old.spent
        if wanted.kind != "rate":
            changes.append((new.held - old.held, difference, new.flagged - old.flagged, wanted.key))
        elif difference:
            _correct(connection, wanted.key, difference, call.at_ms, now_ms)
    connection.executemany(_CHANGE, changes)


def _correct(connection: sqlite3.Connection, key: str, difference: int, at_ms: int, now_ms: int) -> None:
    if connection.execute(_RIGHT, (difference, key, now_ms, at_ms)).rowcount:
        return
    for row in _find(connection, [key]).values():
        slid = row.slid(row.window_ms, now_ms)
        current, previous = corrected(slid, difference, at_ms // row.window_ms)
        connection.execute(_MOVE, (current, previous, slid.slot, row.window_ms, key))


def forget(connection: sqlite3.Connection, now_ms: int) -> None:
    """Forget old calls, and accounts that nothing is lost with."""
    move_settled(connection)
    connection.execute("delete from ended where at_ms <= ?", (now_ms - KEEP_CALLS_MS,))
    newest = "select call from ended order by at_ms desc limit -1 offset ?"
    connection.execute(f"delete from ended where call in ({newest})", (MOST_CALLS,))  # noqa: S608
    connection.execute("delete from accounts where kind = 'lease' and held = 0")
    connection.execute(
        "delete from accounts where kind = 'budget' and held = 0 and until_ms > 0 and until_ms <= ?",
        (now_ms - KEEP_ACCOUNTS_MS,),
    )
    connection.execute("delete from accounts where kind = 'rate' and ? / window_ms > slot + 1", (now_ms,))
