"""What is known of alerts between two evaluations, in SQLite in the home: states, groups, silences, what is to be sent.

One evaluation is one transaction, with the notifications that come of it. So a crash leaves an evaluation that never
was, or one whose notifications are sent by the next start; what was being sent when it died is sent again, with the
same key.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

from .errors import StoreError
from .grouping import Group
from .silences import Matcher, Silence
from .states import Alert

HISTORY_DAYS: Final = 90
MOST_WAITING: Final = 1000
"""Notifications that wait for one receiver; of more the oldest are dropped, and counted."""
_BUSY_S: Final = 10
_TABLES: Final = """
create table if not exists alerts (
    fingerprint text primary key, rule text, labels text, state text, since text, value text, trip text, unit text,
    summary text, tripped integer, under integer, quiet integer, fired_at text, resolved_at text, notified_at text,
    over_told_at text
);
create table if not exists told (fingerprint text, receiver text, primary key (fingerprint, receiver));
create table if not exists groups (rule text primary key, waiting_since text, last_told text, told integer);
create table if not exists history (
    at text, fingerprint text, rule text, labels text, event text, value text, trip text, unit text, summary text
);
create index if not exists history_at on history (at);
create table if not exists outbox (
    key text primary key, receiver text, payload text, made_at text, attempts integer default 0, next_try text,
    done_at text, failed text
);
create index if not exists outbox_waiting on outbox (receiver, made_at) where done_at is null;
create table if not exists silences (
    number integer primary key, matchers text, until text, comment text, made_at text
);
create table if not exists facts (name text primary key, value text);
"""
_ALERT: Final = (
    *("rule", "labels", "state", "since", "value", "trip", "unit", "summary", "tripped", "under", "quiet"),
    *("fired_at", "resolved_at", "notified_at", "over_told_at"),
)
_TIMES: Final = ("since", "fired_at", "resolved_at", "notified_at", "over_told_at")


@dataclass(frozen=True, slots=True)
class Waiting:
    """A notification that is to be sent."""

    key: str
    receiver: str
    payload: Mapping[str, Any]
    made_at: datetime
    attempts: int
    next_try: datetime


def store_path(home: Path) -> Path:
    """Return where it stands."""
    return home / "alerts.sqlite"


class Store:
    """One connection to it; each thread has its own. Methods raise sqlite3.Error where the disk is full or broken."""

    def __init__(self, home: Path) -> None:
        """Open it, and make it where there is none.

        Raises:
            StoreError: it can't be made or read.
        """
        path = store_path(home)
        try:
            home.mkdir(parents=True, exist_ok=True)
            self._db = sqlite3.connect(path, isolation_level=None, timeout=_BUSY_S)
            path.chmod(0o600)  # labels name users and teams
            self._db.row_factory = sqlite3.Row
            self._db.execute("pragma journal_mode = wal")
            self._db.execute("pragma synchronous = full")
            self._db.executescript(_TABLES)
        except (OSError, sqlite3.Error) as error:
            raise StoreError(path, error) from error

    def close(self) -> None:
        """Let go of the file."""
        self._db.close()

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        """Do all of a block or nothing."""
        self._db.execute("begin immediate")
        try:
            yield
        except BaseException:
            self._db.execute("rollback")
            raise
        self._db.execute("commit")

    def alerts(self) -> dict[str, Alert]:
        """Return all alerts by fingerprint."""
        return {row["fingerprint"]: _alert(row) for row in self._db.execute("select * from alerts order by since")}

    def put_alerts(self, before: Mapping[str, Alert], after: Mapping[str, Alert]) -> None:
        """Keep what has changed."""
        gone = [(key,) for key in before if key not in after]
        self._db.executemany("delete from alerts where fingerprint = ?", gone)
        self._db.executemany("delete from told where fingerprint = ?", gone)
        changed = [(key, alert) for key, alert in after.items() if before.get(key) != alert]
        places = ", ".join("?" * (len(_ALERT) + 1))
        self._db.executemany(
            f"insert or replace into alerts (fingerprint, {', '.join(_ALERT)}) values ({places})",  # noqa: S608
            [(key, *_cells(alert)) for key, alert in changed],
        )

    def groups(self) -> dict[str, Group]:
        """Return all groups by rule."""
        return {
            row["rule"]: Group(row["rule"], _time(row["waiting_since"]), _time(row["last_told"]), row["told"])
            for row in self._db.execute("select * from groups")
        }

    def put_group(self, group: Group) -> None:
        """Keep a group."""
        cells = (group.rule, _text(group.waiting_since), _text(group.last_told), group.told)
        self._db.execute("insert or replace into groups values (?, ?, ?, ?)", cells)

    def note(self, alert: Alert, event: str, at: datetime) -> None:
        """Add to the history that an alert fired or is over, and forget what is too old."""
        cells = (alert.fingerprint, alert.rule, json.dumps(dict(alert.labels)), event)
        self._db.execute(
            "insert into history values (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (_text(at), *cells, str(alert.value), str(alert.trip), alert.unit, alert.summary),
        )
        old = _text(at - timedelta(days=HISTORY_DAYS))
        self._db.execute("delete from history where at < ?", (old,))
        self._db.execute("delete from outbox where done_at < ?", (old,))

    def history(self, since: datetime | None = None) -> list[dict[str, Any]]:
        """Return what happened, the latest first: at, rule, labels, event, value, trip, unit, summary."""
        found = self._db.execute(
            "select * from history where at >= ? order by at desc, rowid desc", (_text(since) or "",)
        )
        return [
            {
                **dict(row),
                "at": _time(row["at"]),
                "labels": json.loads(row["labels"]),
                "value": Decimal(row["value"]),
                "trip": Decimal(row["trip"]),
            }
            for row in found
        ]

    def put_out(self, key: str, receiver: str, payload: Mapping[str, Any], now: datetime) -> None:
        """Have a notification sent; one that is there already stays as it is."""
        cells = (key, receiver, json.dumps(payload), _text(now), _text(now))
        self._db.execute(
            "insert or ignore into outbox (key, receiver, payload, made_at, next_try) values (?, ?, ?, ?, ?)", cells
        )
        self._db.execute(
            "update outbox set done_at = ?, failed = 'dropped: too many wait' where key in (select key from outbox"
            " where receiver = ? and done_at is null order by made_at desc, rowid desc limit -1 offset ?)",
            (_text(now), receiver, MOST_WAITING),
        )

    def put_told(self, fingerprints: Iterable[str], receiver: str) -> None:
        """Keep that a receiver knows of some alerts, for as long as these are kept."""
        self._db.executemany(
            "insert or ignore into told values (?, ?)", [(fingerprint, receiver) for fingerprint in fingerprints]
        )

    def told(self, fingerprint: str) -> set[str]:
        """Return the names of the receivers that know of an alert."""
        found = self._db.execute("select receiver from told where fingerprint = ?", (fingerprint,))
        return {row["receiver"] for row in found}

    def next_out(self, receiver: str) -> Waiting | None:
        """Return the oldest notification that waits for a receiver."""
        row = self._db.execute(
            "select * from outbox where receiver = ? and done_at is null order by made_at, rowid limit 1", (receiver,)
        ).fetchone()
        if row is None:
            return None
        made_at, next_try = _time(row["made_at"]), _time(row["next_try"])
        assert made_at is not None and next_try is not None  # noqa: S101, PT018 - never NULL
        return Waiting(row["key"], receiver, json.loads(row["payload"]), made_at, row["attempts"], next_try)

    def begin_attempt(self, key: str) -> None:
        """Count an attempt before it is made."""
        self._db.execute("update outbox set attempts = attempts + 1 where key = ?", (key,))

    def sent(self, key: str, now: datetime, failed: str | None = None) -> None:
        """Note that a notification has arrived, or why it never will."""
        self._db.execute("update outbox set done_at = ?, failed = ? where key = ?", (_text(now), failed, key))

    def put_off(self, key: str, next_try: datetime, failed: str) -> None:
        """Note why it didn't arrive, and when to try again."""
        self._db.execute("update outbox set next_try = ?, failed = ? where key = ?", (_text(next_try), failed, key))

    def outbox(self) -> list[dict[str, Any]]:
        """Return what waits, was sent, or failed: key, receiver, made_at, attempts, next_try, done_at, failed."""
        names = "key, receiver, made_at, attempts, next_try, done_at, failed"
        return [dict(row) for row in self._db.execute(f"select {names} from outbox order by made_at, rowid")]  # noqa: S608

    def silences(self) -> list[Silence]:
        """Return all silences, those that are over included."""
        return [
            Silence(
                row["number"],
                tuple(Matcher(*matcher) for matcher in json.loads(row["matchers"])),
                _time(row["until"]) or datetime.now(UTC),
                row["comment"],
                _time(row["made_at"]) or datetime.now(UTC),
            )
            for row in self._db.execute("select * from silences order by number")
        ]

    def silence(self, matchers: Iterable[Matcher], until: datetime, comment: str, now: datetime) -> int:
        """Make a silence, and return its number."""
        said = json.dumps([(matcher.label, matcher.value, matcher.wanted) for matcher in matchers])
        made = self._db.execute(
            "insert into silences (matchers, until, comment, made_at) values (?, ?, ?, ?)",
            (said, _text(until), comment, _text(now)),
        )
        return made.lastrowid or 0

    def end_silence(self, number: int, now: datetime) -> bool:
        """End a silence; says whether there was one that held."""
        ended = self._db.execute(
            "update silences set until = ? where number = ? and until > ?", (_text(now), number, _text(now))
        )
        return ended.rowcount > 0

    def facts(self) -> dict[str, str]:
        """Return what the evaluator says of itself."""
        return {row["name"]: row["value"] for row in self._db.execute("select * from facts")}

    def put_facts(self, **facts: str) -> None:
        """Keep what the evaluator says of itself."""
        self._db.executemany("insert or replace into facts values (?, ?)", list(facts.items()))


def _alert(row: sqlite3.Row) -> Alert:
    cells: dict[str, Any] = {name: row[name] for name in _ALERT}
    cells |= {name: _time(row[name]) for name in _TIMES}
    cells["labels"] = json.loads(row["labels"])
    cells["value"], cells["trip"], cells["quiet"] = Decimal(row["value"]), Decimal(row["trip"]), bool(row["quiet"])
    return Alert(**cells)


def _cells(alert: Alert) -> list[object]:
    cells: dict[str, Any] = {name: getattr(alert, name) for name in _ALERT}
    cells |= {name: _text(getattr(alert, name)) for name in _TIMES}
    cells |= {"labels": json.dumps(dict(alert.labels)), "value": str(alert.value), "trip": str(alert.trip)}
    return list(cells.values())


def _text(moment: datetime | None) -> str | None:
    """Return a moment so that text is in the order of time."""
    return None if moment is None else moment.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def _time(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)
