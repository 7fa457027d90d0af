"""What is done to the rows of the SQLite store, within a transaction of the caller's.

A call is one row, with its lines as JSON, so that holding, settling and expiring write one row of the call and one for
each account. What is written to accounts are differences, but for rates, whose windows move.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from .counting import CHARGED, GONE, RETURNED, SENT, Fate, count
from .sliding import Slid, corrected, room_in_ms, slide
from .store import KEEP_ACCOUNTS_MS, KEEP_CALLS_MS, LEASE_MS, Balance, Kind, Line, Reserved, Unit

MOST_CALLS: Final = 1_000_000
"""Calls that are kept after their end."""
_MARKS: Final = "(?,?,?,?,?,?,?,?,?,?)"
_STEP: Final = (
    "insert into accounts values {} on conflict do update set held = held + excluded.held,"
    " spent = case kind when 'rate' then excluded.spent else max(0, spent + excluded.spent) end,"
    " flagged = max(0, flagged + excluded.flagged),"
    " window_ms = excluded.window_ms, slot = excluded.slot, previous = excluded.previous"
)
_encode: Final = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


class Row(NamedTuple):
    """A row of `accounts`; as a change to one that is no rate `spent`, `held` and `flagged` are differences."""

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
    changes = [_hold(line, row, now_ms) for line, row in zip(lines, rows, strict=True)]
    _write(connection, [change for change, _ in changes])
    held = _encode([(line.key, line.amount) for line in lines])
    statement = "insert into calls values (?, 0, ?, ?, 0, 0, 0, ?)"
    connection.execute(statement, (call, now_ms, now_ms + LEASE_MS, held))
    return Reserved(tuple([balance for _, balance in changes]))


def _rows_of(connection: sqlite3.Connection, lines: Sequence[Line]) -> list[Row]:
    """Return the accounts of lines, empty ones where there are none yet."""
    found = find(connection, [line.key for line in lines])
    return [
        found.get(key) or Row(key, kind, unit, 0, 0, 0, until_ms, window_ms, 0, 0)
        for key, kind, unit, _amount, _cap, until_ms, window_ms in lines
    ]


def find(connection: sqlite3.Connection, keys: Sequence[str]) -> dict[str, Row]:
    """Return those accounts of these keys that there are."""
    statement = f"select * from accounts where key in ({','.join('?' * len(keys))})"  # noqa: S608 - question marks
    return {row[0]: Row(*row) for row in connection.execute(statement, keys)}


def _is_known(connection: sqlite3.Connection, call: str) -> bool:
    return connection.execute("select 1 from calls where call = ?", (call,)).fetchone() is not None


def _refused(lines: Sequence[Line], rows: Sequence[Row], now_ms: int) -> int:
    """Return the place of the line without room, or -1."""
    for place, (line, row) in enumerate(zip(lines, rows, strict=True)):
        if line.cap < 0:
            continue
        spent, held = _balance(line, row, now_ms)
        if spent + held + line.amount > line.cap:
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
    return room_in_ms(row.slid(line.window_ms, now_ms), line.window_ms, line.amount, line.cap)


def _hold(line: Line, row: Row, now_ms: int) -> tuple[Row, Balance]:
    """Return what a hold changes, and the account with it."""
    if line.kind == "rate":
        slid = row.slid(line.window_ms, now_ms)
        used = slid.used(line.window_ms) + line.amount
        return _moved(row, line.window_ms, slid, slid.current + line.amount, slid.previous), Balance(used, 0)
    change = Row(row.key, row.kind, row.unit, 0, line.amount, 0, row.until_ms, 0, 0, 0)
    return change, Balance(row.spent, row.held + line.amount)


def _moved(row: Row, window_ms: int, slid: Slid, current: int, previous: int) -> Row:
    return Row(row.key, row.kind, row.unit, current, 0, 0, 0, window_ms, slid.slot, previous)


def _write(connection: sqlite3.Connection, changes: Sequence[Row]) -> None:
    if changes:
        values = ",".join([_MARKS] * len(changes))
        connection.execute(_STEP.format(values), [value for change in changes for value in change])


def step(
    connection: sqlite3.Connection, call: str, after: Fate, states: Sequence[int], now_ms: int, kind: Kind | None = None
) -> bool:
    """Count a call for what becomes of it, in accounts of one kind or all; False where it is in none of the states."""
    statement = "select state, at_ms, usd, tokens, flagged, lines from calls where call = ?"
    found = connection.execute(statement, (call,)).fetchone()
    if found is None or found[0] not in states:
        return False
    state, at_ms, usd, tokens, flagged, lines = found
    amounts: dict[str, int] = dict(json.loads(lines))
    rows = find(connection, list(amounts))
    before = Fate(state, usd, tokens, bool(flagged))
    changes = [
        _change(row, amounts[key], before, after, at_ms, now_ms)
        for key, row in rows.items()
        if kind is None or row.kind == kind
    ]
    _write(connection, [change for change in changes if change is not None])
    _keep(connection, call, after, amounts, rows)
    return True


def _change(row: Row, amount: int, before: Fate, after: Fate, at_ms: int, now_ms: int) -> Row | None:
    old, new = count(before, row.kind, row.unit, amount), count(after, row.kind, row.unit, amount)
    difference = new.spent - old.spent
    if row.kind != "rate":
        held, flagged = new.held - old.held, new.flagged - old.flagged
        return Row(row.key, row.kind, row.unit, difference, held, flagged, row.until_ms, 0, 0, 0)
    if not difference:
        return None
    slid = row.slid(row.window_ms, now_ms)
    return _moved(row, row.window_ms, slid, *corrected(slid, difference, at_ms // row.window_ms))


def _keep(
    connection: sqlite3.Connection, call: str, fate: Fate, amounts: Mapping[str, int], rows: Mapping[str, Row]
) -> None:
    if fate.state == GONE:
        connection.execute("delete from calls where call = ?", (call,))
        return
    usd, tokens, flagged = fate.usd, fate.tokens, fate.flagged
    if fate.state == CHARGED:
        usd, tokens = (
            max([amounts[key] for key, row in rows.items() if row.kind == "budget" and row.unit == unit], default=0)
            for unit in ("usd", "tokens")
        )
        flagged = True
    statement = "update calls set state = ?, usd = ?, tokens = ?, flagged = ? where call = ?"
    connection.execute(statement, (fate.state, usd, tokens, flagged, call))


def expire(connection: sqlite3.Connection, now_ms: int) -> int:
    """End the calls whose hold has expired; how many there were."""
    statement = "select call, state from calls where state <= 1 and expires_ms <= ?"
    expired = connection.execute(statement, (now_ms,)).fetchall()
    for call, state in expired:
        step(connection, call, Fate(CHARGED if state == SENT else RETURNED), (state,), now_ms)
    return len(expired)


def forget(connection: sqlite3.Connection, now_ms: int) -> None:
    """Forget old calls, and accounts that nothing is lost with."""
    connection.execute("delete from calls where state > 1 and at_ms <= ?", (now_ms - KEEP_CALLS_MS,))
    newest = "select call from calls where state > 1 order by at_ms desc, call limit -1 offset ?"
    connection.execute(f"delete from calls where call in ({newest})", (MOST_CALLS,))  # noqa: S608
    connection.execute("delete from accounts where kind = 'lease' and held = 0")
    connection.execute(
        "delete from accounts where kind = 'budget' and held = 0 and until_ms > 0 and until_ms <= ?",
        (now_ms - KEEP_ACCOUNTS_MS,),
    )
    connection.execute("delete from accounts where kind = 'rate' and ? / window_ms > slot + 1", (now_ms,))
