"""The router of a process: which arm a session is in, how work of each arm ended, and whether a rule goes on.

Arms come from a hash of session and rule, so that processes agree without asking each other. Outcomes are counted once
for each piece of work, a session or else a trace; where it has several, the last one counts, as in the reports. Counts
are shared by way of the store, in one small text a rule, which is written when the next call is held up anyway: saying
an outcome never waits for a network. Only outcomes of work that this process routed are known here.
"""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from spanledger import faults
from spanledger.record import Place

from .decisions import Decision
from .policy import EVERYTHING
from .recent import MOST, Recent
from .route import Arm, Route
from .routing import Routing
from .store import Store
from .success import Success

PREFIX: Final = "route/"
READ_EVERY_S: Final = 5.0
"""How old what is known of other processes' outcomes may be."""
_TRIES: Final = 8


class _Change(NamedTuple):
    """What an outcome adds to a rule's counts."""

    key: str
    arm: Arm
    outcomes: int
    successes: int


class _Work:
    """A piece of work, by the rules that had to do with it."""

    __slots__ = ("arms", "told")

    def __init__(self) -> None:
        self.arms: dict[str, Arm] = {}
        self.told: dict[str, bool] = {}


class Router:
    """Arms and outcomes; safe for threads."""

    def __init__(self, rules: Sequence[Route]) -> None:
        self.rules = tuple(rules)
        self._work: Recent[_Work] = Recent()
        self._session_of: Recent[str] = Recent()
        """Trace to session, as an outcome may name either."""
        self._changes: deque[_Change] = deque(maxlen=MOST)
        self._kept: dict[str, str] = {}
        """What the store has, as far as this process knows."""
        self._known: dict[str, Success] = {}
        self._read_s = float("-inf")
        self._lock = threading.Lock()

    def go_on(self, before: Router) -> None:
        """Take over what the rules of the policy before knew: those that did not change go on counting."""
        self._work, self._session_of, self._changes = before._work, before._session_of, before._changes
        self._kept, self._known = before._kept, before._known

    def about(self, values: Mapping[str, str], place: Place) -> Routing | None:
        """Return the rules that a call's tags, model and provider match; None where there are none."""
        found = [(rule, scope) for rule in self.rules if (scope := rule.match.scope(values)) is not None]
        return Routing(self, found, f"{place.trace_id:032x}") if found else None

    def success(self, rule: Route) -> Success:
        """Return what is known of a rule's arms."""
        return self._known.get(rule.key, Success())

    def assign(self, rule: Route, unit: str, trace: str, arm: Arm) -> bool:
        """Note which arm of a rule a session, or trace, is in; True where that was known."""
        if unit != trace:
            self._session_of.put(trace, unit)
        work = self._work.get(unit)
        if work is None:
            work = _Work()
            self._work.put(unit, work)
        known = rule.key in work.arms
        work.arms[rule.key] = arm
        return known

    def is_assigned(self, rule: Route, unit: str) -> bool:
        """Tell whether a session, or trace, has been in an arm of a rule in this process."""
        work = self._work.get(unit)
        return work is not None and rule.key in work.arms

    def outcome(self, success: bool, session: str | None, trace: str) -> None:
        """Take how a session ended, or where none is named, the work in a trace."""
        unit = session or self._session_of.get(trace) or trace
        work = self._work.get(unit)
        for key, arm in list(work.arms.items()) if work is not None else ():
            before = work.told.get(key) if work is not None else None
            if work is not None and before is not success:
                work.told[key] = success
                self._changes.append(_Change(key, arm, int(before is None), success - bool(before)))

    def share(self, store: Store, *, at_once: bool = False) -> list[Decision]:
        """Tell the store what ended here, and learn what ended elsewhere; say which rules stopped because of it.

        `at_once`: there may be no next time.
        """
        if not self._changes and (at_once or time.monotonic() - self._read_s < READ_EVERY_S):
            return []
        if not self._lock.acquire(blocking=False):
            return []  # another thread does it, or the one below this signal handler
        try:
            self._read_s = time.monotonic()
            self._read(store)
            self._begin(store)
            return self._write(store)
        except Exception as error:
            faults.report("outcomes of routed calls are not shared", error)
            return []
        finally:
            self._lock.release()

    def _read(self, store: Store) -> None:
        self._kept = store.states(PREFIX)
        self._known = {key: Success.from_json(text) for key, text in self._kept.items()}

    def _begin(self, store: Store) -> None:
        """Note since when a rule counts, for the lake, which may know outcomes of its work before this process does."""
        for rule in self.rules:
            if not rule.shadow and rule.key not in self._kept:
                text = Success(since_ms=time.time_ns() // 1_000_000).to_json()
                if store.put_state(rule.key, text, None):
                    self._kept[rule.key] = text

    def _write(self, store: Store) -> list[Decision]:
        rules = {rule.key: rule for rule in self.rules}
        changes: dict[str, list[_Change]] = {}
        for _ in range(len(self._changes)):
            change = self._changes.popleft()
            if change.key in rules:  # not of a policy that is no longer in force
                changes.setdefault(change.key, []).append(change)
        try:
            found = [self._add(store, rules[key], changes.pop(key)) for key in list(changes)]
        finally:
            for left in changes.values():
                self._changes.extend(left)
        return [decision for decision in found if decision is not None]

    def _add(self, store: Store, rule: Route, changes: Sequence[_Change]) -> Decision | None:
        try:
            return self._try_to_add(store, rule, changes)
        except Exception:
            self._changes.extend(changes)
            raise

    def _try_to_add(self, store: Store, rule: Route, changes: Sequence[_Change]) -> Decision | None:
        outcomes: Counter[Arm] = Counter()
        successes: Counter[Arm] = Counter()
        for change in changes:
            outcomes[change.arm] += change.outcomes
            successes[change.arm] += change.successes
        for _ in range(_TRIES):
            kept = self._kept.get(rule.key)
            before = after = Success.from_json(kept)
            for arm in outcomes.keys() | successes.keys():
                after = after.plus(arm, outcomes[arm], successes[arm])
            if not rule.shadow:
                after = after.looked_at(rule.alpha, rule.least)
            if store.put_state(rule.key, after.to_json(), kept):
                self._kept[rule.key], self._known[rule.key] = after.to_json(), after
                return _stops(rule, after) if after.stopped and not before.stopped else None
            self._read(store)
        self._changes.extend(changes)
        return None


def _stops(rule: Route, success: Success) -> Decision:
    faults.LOGGER.warning("the route %r routes no longer: %s", rule.name, success.stopped)
    return Decision(rule.name, "route", EVERYTHING, "warn", f"routes no longer: {success.stopped}")


class RouteState(NamedTuple):
    """What a store has of a rule's arms."""

    rule: str
    key: str
    """With a hash of all that decides who is routed: counting begins anew where that changes."""
    success: Success


def route_states(store: Store) -> list[RouteState]:
    """List what is known of all rules' arms, by name; a rule that was changed stands there more than once."""
    return [
        RouteState(key.removeprefix(PREFIX).rpartition("/")[0], key, Success.from_json(text))
        for key, text in store.states(PREFIX).items()
    ]


def forget_route(store: Store, rule: str) -> bool:
    """Forget what is known of a rule's arms, so that one that stopped routes again; False where nothing was known."""
    found = [(key, text) for key, text in store.states(PREFIX).items() if key.rpartition("/")[0] == PREFIX + rule]
    forgotten = [store.put_state(key, None, text) for key, text in found]
    return any(forgotten)
