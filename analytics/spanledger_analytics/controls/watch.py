"""Looking after accounts that processes share, again and again, beside a collector: never in the application.

Until there is a policy whose store is shared it only looks for one, and loads neither DuckDB nor Delta. Each minute the
calls of the last hour are compared with the lake, each quarter of an hour all that are unconfirmed: what the lake
hasn't seen for an hour comes late or never.
"""

from __future__ import annotations

import contextlib
import json
import logging
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from spanledger.errors import SpanledgerError
from spanledger.guard import policy_path
from spanledger.guard.policy import Policy
from spanledger.guard.policy_file import read_policy
from spanledger.guard.store import Store, StoreAwayError
from spanledger.guard.stores import open_shared
from spanledger.settings import Settings

if TYPE_CHECKING:
    from spanledger_analytics.connection import Ledger

    from .reconcile import Reconciled

LOG: Final = logging.getLogger("spanledger.budgets")
STATE: Final = "reconcile"
"""Under which the store keeps what the last round did."""
PATIENCE_S: Final = 5.0
_EVERY_S: Final = 60.0
_ALL_EVERY: Final = 15
"""Rounds."""
_RECENT_MS: Final = 3_600_000


class BudgetWatch:
    """Sets the accounts of one home's policy right by one lake."""

    def __init__(self, settings: Settings, clock: Callable[[], float] = time.monotonic) -> None:
        self._settings = settings
        self._clock = clock
        self._next = clock()
        self._round = 0
        self._stamp: tuple[int, int] | None = None
        self._policy = Policy()
        self._store: Store | None = None
        self._ledger: Ledger | None = None
        self._troubles: list[str] = []
        """What was said when it was last compared, and isn't said again."""

    def step(self) -> None:
        """Compare, where it is time and there is a policy with a shared store."""
        if self._clock() < self._next:
            return
        self._next = self._clock() + _EVERY_S
        self.compare()

    def compare(self) -> Reconciled | None:
        """Compare now; None where there is nothing to compare, or it can't be."""
        troubles, done = [], None
        try:
            self._look()
        except (ImportError, OSError, SpanledgerError, ValueError) as error:
            troubles.append(f"{error}")
        try:
            if self._store is not None:
                done = self._compare(self._store)
        except (OSError, SpanledgerError, StoreAwayError) as error:
            troubles.append(f"budgets are not compared with the lake ({error})")
        for trouble in troubles:
            if trouble not in self._troubles:
                LOG.warning("%s; it is tried again", trouble)
        self._troubles = troubles
        return done

    def close(self) -> None:
        """Let go of the store."""
        if self._store is not None:
            self._store.close()
            self._store = None

    def _look(self) -> None:
        """Read the policy if it is new."""
        path = policy_path(self._settings)
        found = None
        if path is not None:
            with contextlib.suppress(FileNotFoundError):
                found = path.stat()
        stamp = None if found is None else (found.st_mtime_ns, found.st_size)
        if stamp == self._stamp:
            return
        policy = Policy() if path is None or stamp is None else read_policy(path, self._settings)
        if policy.store != self._policy.store:
            self.close()
        if policy.store != "memory" and self._store is None:
            self._store = open_shared(policy.store, self._settings.home, PATIENCE_S)
        self._policy, self._stamp = policy, stamp

    def _compare(self, store: Store) -> Reconciled | None:
        import duckdb

        from spanledger_analytics.connection import Ledger
        from spanledger_analytics.scope import EVERYTHING

        from .judge import judge
        from .reconcile import reconcile
        from .spent import millis

        if self._ledger is None:
            self._ledger = Ledger(self._settings.lake, EVERYTHING)
        now = datetime.now(UTC)
        since_ms = 0 if self._round % _ALL_EVERY == 0 else millis(now) - _RECENT_MS
        try:
            done = reconcile(store, self._ledger, now, since_ms)
            if not since_ms:
                judge(store, self._ledger, self._policy.more.get("route", ()), now)
        except duckdb.Error as error:
            raise SpanledgerError(str(error)) from error
        self._round += 1
        note(store, done, now)
        if done.changed:
            LOG.info("%d calls of budgets set right by the lake, by %s nano-dollars", done.changed, done.difference)
        return done


def note(store: Store, done: Reconciled, now: datetime) -> None:
    """Keep in the store when it was compared with the lake, and what waits."""
    said = json.dumps({"at": now.isoformat(timespec="seconds").replace("+00:00", "Z"), **done._asdict()})
    store.put_state(STATE, said, store.states(STATE).get(STATE))
