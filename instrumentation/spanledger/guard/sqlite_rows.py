"""What is done to the rows of the SQLite store when calls end, within a transaction of the caller's; holds are apart.

What most calls do takes as few statements and pages as could be found. A call is one row with its lines as JSON,
account to amount, in the small table `live`, and goes on to the large one with many others. Who has reserved a call
settles it without reading it. A statement that returns what it has changed costs more than to read first, so only what
is rare does that.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from typing import Final, Literal, NamedTuple, TypeAlias

from .counting import CHARGED, GONE, RETURNED, SENT, SETTLED, UNSENT, Fate, count
from .sliding import Slid, corrected, slide
from .store import Kind, Unit

OPEN: Final = (
    "insert into names (key, kind, unit, until_ms) values (?, ?, ?, ?)"
    " on conflict do update"
    " set kind = excluded.kind, unit = excluded.unit, until_ms = excluded.until_ms, gone_ms = null"
    " where gone_ms is not null"
)
_CHANGE: Final = (
    "update amounts set held = held + ?, spent = max(0, spent + ?), flagged = max(0, flagged + ?) where id = ?"
)
_RIGHT: Final = (
    "update amounts set spent = max(0, spent + ?1) where id = ?2 and slot = ?3 / window_ms and slot = ?4 / window_ms"
)
MOVE: Final = "update amounts set spent = ?, previous = ?, slot = ?, window_ms = ? where id = ?"


CHARGES: Final = (
    "select call, at_ms, usd, tokens, flagged from ended"
    " where state <> :returned and at_ms < :before_ms and (at_ms, call) > (:at_ms, :call)"
    " union all select call, at_ms, usd, tokens, flagged from live"
    " where state = :settled and at_ms < :before_ms and (at_ms, call) > (:at_ms, :call)"
    " order by at_ms, call limit :limit"
)


class Row(NamedTuple):
    """What an account has."""

    id: int
    spent: int
    held: int
    window_ms: int
    slot: int
    previous: int

    def slid(self, window_ms: int, now_ms: int) -> Slid:
        """Return a rate's windows as they are now; those of another length start anew."""
        known = window_ms == self.window_ms
        return slide(self.spent if known else 0, self.previous if known else 0, self.slot, window_ms, now_ms)

    def used(self, window_ms: int, now_ms: int) -> int:
        """Return what the sliding window of a rate has."""
        if not self.previous and now_ms // window_ms == self.slot and window_ms == self.window_ms:
            return self.spent  # `slid`, for most calls
        return self.slid(window_ms, now_ms).used(window_ms)


class Wanted(NamedTuple):
    """What is kept of a line."""

    id: int
    kind: Kind
    unit: Unit
    amount: int


class Call(NamedTuple):
    """A call, and what it counts for."""

    at_ms: int
    fate: Fate
    wanted: list[Wanted]


Own: TypeAlias = dict[str, tuple[int, list[Wanted]]]
"""Of calls that this process has reserved: when, and what is kept of their lines."""


def text(wanted: Sequence[Wanted]) -> str:
    """Return what is kept of lines as JSON, account to amount."""
    # As json.dumps writes it, in a third of the time.
    amounts = ",".join([f'"{id}":{amount}' for id, _kind, _unit, amount in wanted])
    return f"{{{amounts}}}"


# Ending


def settle(cursor: sqlite3.Cursor, own: Own, call: str, fate: Fate, now_ms: int) -> bool:
    """Settle a call: one that is under way, or one whose hold has expired."""
    known = own.pop(call, None)
    if known and _settle(cursor, call, fate, known, now_ms):
        return True
    under_way = "select at_ms, lines from live where call = ?"
    for at_ms, lines in cursor.execute(under_way, (call,)).fetchall():
        return _settle(cursor, call, fate, (at_ms, _wanted(cursor, lines)), now_ms)
    found = _taken(cursor, "ended", call, (CHARGED, RETURNED))
    if found is None:
        return False
    _count(cursor, found, fate, now_ms)
    _keep(cursor, call, found, fate)
    return True


def _settle(cursor: sqlite3.Cursor, call: str, fate: Fate, known: tuple[int, list[Wanted]], now_ms: int) -> bool:
    """Settle a call that is under way, the way that most go; False if it isn't, or isn't the one that is known."""
    state, usd, tokens, flagged = fate
    at_ms, wanted = known
    statement = (
        "update live set state = ?, usd = ?, tokens = ?, flagged = ? where call = ? and at_ms = ? and state <= 1"
    )
    if not cursor.execute(statement, (state, usd, tokens, flagged, call, at_ms)).rowcount:
        return False
    changes = []
    for id, kind, unit, amount in wanted:
        actual = usd if unit == "usd" else tokens if unit == "tokens" else amount
        if kind == "budget":
            changes.append((-amount, actual, actual if flagged else 0, id))
        elif kind == "lease":
            changes.append((-amount, 0, 0, id))
        elif actual != amount:
            _correct(cursor, id, actual - amount, at_ms, now_ms)
    cursor.executemany(_CHANGE, changes)
    return True


def release(cursor: sqlite3.Cursor, own: Own, call: str, now_ms: int) -> bool:
    """Give back what a call holds, and forget it."""
    own.pop(call, None)
    found = _taken(cursor, "live", call, (UNSENT, SENT))
    if found is None:
        return False
    _count(cursor, found, Fate(GONE), now_ms)
    return True


def confirm(cursor: sqlite3.Cursor, call: str, usd: int, tokens: int) -> bool:
    """Put what the lake says in place of what a call was charged, and forget the call."""
    move_settled(cursor)
    found = _taken(cursor, "ended", call, (SETTLED, CHARGED))
    if found is None:
        return False
    budgets = [wanted for wanted in found.wanted if wanted.kind == "budget"]
    _count(cursor, found._replace(wanted=budgets), Fate(SETTLED, usd, tokens), found.at_ms)
    return True


def expire(cursor: sqlite3.Cursor, now_ms: int) -> int:
    """End the calls whose hold has expired; how many there were."""
    statement = "select call from live where state <= 1 and expires_ms <= ?"
    expired = cursor.execute(statement, (now_ms,)).fetchall()
    for (call,) in expired:
        if found := _taken(cursor, "live", call, (UNSENT, SENT)):
            fate = _charged(found) if found.fate.state == SENT else Fate(RETURNED)
            _count(cursor, found, fate, now_ms)
            _keep(cursor, call, found, fate)
    return len(expired)


def move_settled(cursor: sqlite3.Cursor) -> None:
    """Move the calls that are settled from the small table to the large one."""
    columns = "call, state, at_ms, usd, tokens, flagged, lines"
    cursor.execute(f"insert into ended select {columns} from live where state = 2")  # noqa: S608
    cursor.execute("delete from live where state = 2")


def _charged(call: Call) -> Fate:
    """Return the fate of a call that is charged at the largest of its estimates."""
    most = {"usd": 0, "tokens": 0, "calls": 0}
    for wanted in call.wanted:
        if wanted.kind == "budget":
            most[wanted.unit] = max(most[wanted.unit], wanted.amount)
    return Fate(CHARGED, most["usd"], most["tokens"], True)


def _taken(cursor: sqlite3.Cursor, table: Literal["live", "ended"], call: str, states: tuple[int, int]) -> Call | None:
    statement = (
        f"delete from {table} where call = ? and state in (?, ?)"  # noqa: S608
        " returning state, at_ms, usd, tokens, flagged, lines"
    )
    for state, at_ms, usd, tokens, flagged, lines in cursor.execute(statement, (call, *states)).fetchall():
        return Call(at_ms, Fate(state, usd, tokens, bool(flagged)), _wanted(cursor, lines))
    return None


def _wanted(cursor: sqlite3.Cursor, lines: str) -> list[Wanted]:
    statement = (
        "select names.id, kind, unit, value from json_each(?) as wanted"
        " cross join names on names.id = cast(wanted.key as integer)"
    )
    return [Wanted(*row) for row in cursor.execute(statement, (lines,)).fetchall()]


def _keep(cursor: sqlite3.Cursor, call: str, found: Call, fate: Fate) -> None:
    row = (
        call,
        fate.state,
        found.at_ms,
        fate.usd,
        fate.tokens,
        fate.flagged,
        text(found.wanted),
    )
    cursor.execute("insert into ended values (?, ?, ?, ?, ?, ?, ?)", row)


def _count(cursor: sqlite3.Cursor, call: Call, after: Fate, now_ms: int) -> None:
    """Count a call for what becomes of it, and no more for what it was."""
    changes = []
    for wanted in call.wanted:
        old = count(call.fate, wanted.kind, wanted.unit, wanted.amount)
        new = count(after, wanted.kind, wanted.unit, wanted.amount)
        difference = new.spent - old.spent
        if wanted.kind != "rate":
            changes.append((new.held - old.held, difference, new.flagged - old.flagged, wanted.id))
        elif difference:
            _correct(cursor, wanted.id, difference, call.at_ms, now_ms)
    cursor.executemany(_CHANGE, changes)


def _correct(cursor: sqlite3.Cursor, id: int, difference: int, at_ms: int, now_ms: int) -> None:
    if cursor.execute(_RIGHT, (difference, id, now_ms, at_ms)).rowcount:
        return
    statement = "select id, spent, held, window_ms, slot, previous from amounts where id = ?"
    for row in map(Row._make, cursor.execute(statement, (id,)).fetchall()):
        slid = row.slid(row.window_ms, now_ms)
        current, previous = corrected(slid, difference, at_ms // row.window_ms)
        cursor.execute(MOVE, (current, previous, slid.slot, row.window_ms, id))


# Accounts


def put_spent(cursor: sqlite3.Cursor, amounts: Mapping[str, tuple[int, int, Unit]], change: str) -> None:
    """Have budgets' accounts say what is spent, key to (spent, until_ms, unit); `change`: of those there are."""
    cursor.executemany(OPEN, [(key, "budget", unit, until_ms) for key, (_, until_ms, unit) in amounts.items()])
    statement = "insert into amounts select id, ?, 0, 0, 0, 0, 0 from names where key = ? on conflict do update "
    cursor.executemany(statement + change, [(spent, key) for key, (spent, _, _) in amounts.items()])
