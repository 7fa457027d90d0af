"""What the SQLite store forgets: old calls, and accounts that nothing is lost with.

It is looked for by reading, which holds nobody up, and forgotten a thousand rows at a time, as each call of each
process waits for whoever writes. A sweep forgets so much and no more; the next one goes on. Names of accounts stay as
long as a call may know them.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final, NamedTuple

from .store import KEEP_ACCOUNTS_MS, KEEP_CALLS_MS

MOST_CALLS: Final = 1_000_000
"""Calls that are kept after their end."""
PAGE: Final = 1_000
"""Rows that are forgotten in one transaction."""
MOST_PAGES: Final = 10
"""Of each kind, in one sweep."""


class _Kind(NamedTuple):
    """What can be forgotten."""

    found: str
    """Lists a page of rows, by key."""
    forgotten: Sequence[str]
    """Done to each of them, where it is as it was: somebody may have drawn on it since."""


_ENDED: Final = "delete from ended where call = :key"
_GONE: Final = (
    "update names set gone_ms = :now_ms where id = :key and not exists (select 1 from amounts where amounts.id = :key)"
)
_KINDS: Final = (
    _Kind("select call from ended where at_ms <= :calls_ms order by at_ms limit :page", [_ENDED]),
    _Kind("select call from ended order by at_ms desc limit :page offset :most_calls", [_ENDED]),
    _Kind(
        "select id from names join amounts using (id) where gone_ms is null and until_ms > 0"
        " and until_ms <= :accounts_ms and kind = 'budget' and held = 0 order by until_ms limit :page",
        ["delete from amounts where id = :key and held = 0", _GONE],
    ),
    _Kind(
        "select id from names join amounts using (id) where gone_ms is null and until_ms = 0"
        " and (kind = 'lease' and held = 0 or kind = 'rate' and :now_ms / window_ms > slot + 1) limit :page",
        [
            "delete from amounts where id = :key and held = 0 and (window_ms = 0 or :now_ms / window_ms > slot + 1)",
            _GONE,
        ],
    ),
    _Kind(
        "select id from names where gone_ms <= :calls_ms limit :page",
        ["delete from names where id = :key and gone_ms <= :calls_ms"],
    ),
)


def forget(
    read: Callable[[str, dict[str, int]], list[Any]],
    write: Callable[[Callable[[sqlite3.Cursor], None]], None],
    now_ms: int,
) -> None:
    """Forget what is old; `read` runs a statement, `write` work in a transaction."""
    values = {
        "now_ms": now_ms,
        "calls_ms": now_ms - KEEP_CALLS_MS,
        "accounts_ms": now_ms - KEEP_ACCOUNTS_MS,
        "most_calls": MOST_CALLS,
        "page": PAGE,
    }
    for kind in _KINDS:
        for _ in range(MOST_PAGES):
            rows = [values | {"key": key} for (key,) in read(kind.found, values)]
            if rows:
                write(partial(_forgotten, kind, rows))
            if len(rows) < PAGE:
                break


def _forgotten(kind: _Kind, rows: Sequence[dict[str, Any]], cursor: sqlite3.Cursor) -> None:
    for statement in kind.forgotten:
        cursor.executemany(statement, rows)
