"""The gate: it holds each call against the policy before it is sent, and settles what it spent after it.

One a process. A policy that changed is read again; one that can't be read leaves the last good one in force. Whatever
goes wrong in here is a fault of ours, and the call goes on as if there were no rules, unless a budget is fail-closed.
"""

from __future__ import annotations

import os
import re
import threading
import time
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Final

from spanledger import faults, names
from spanledger.cost import priced_by_book
from spanledger.entries import is_being_written
from spanledger.errors import SpanledgerError
from spanledger.record import Place
from spanledger.sdk import Request
from spanledger.settings import Settings
from spanledger.spans import current_place

from .admission import Admission
from .breaker import State
from .breakers import Breakers
from .estimate import Estimates
from .paid_later import COUNTED_MS, PaidLater, budgets_of, remember_tags, remembered_tags
from .policy import Facts, Policy
from .policy_file import PolicyError, read_policy
from .recent import Recent
from .store import LEASE_S, Store
from .stores import open_store
from .turned_down import TurnedDown
from .windows import Trace

if TYPE_CHECKING:
    from spanledger.record import Attributes, Metered

    from .cache.response_cache import ResponseCache
    from .router import Router

LOOK_EVERY_S: Final = 1.0
"""How often the policy file is looked at, at most."""
_PRICES_WITHIN_S: Final = 5.0
_MOST_TOLD: Final = 10_000


class Gate:
    """Policy, accounts, and the calls that hold something."""

    def __init__(self, path: Path, settings: Settings, ready: threading.Event) -> None:
        self._path = path
        self._ready = ready
        self._settings = settings
        self._stamp: tuple[int, int] | None = None
        self._looked_s = float("-inf")
        self._lock = threading.RLock()  # a signal handler may make a call while its thread reads the policy
        self.policy = Policy()
        self.store: Store | None = None
        self.cache: ResponseCache | None = None
        """What was answered before; None where no rule keeps answers."""
        self.estimates = Estimates()
        self.breakers = Breakers(self.now_ns)
        self.router: Router | None = None
        """Which calls go to another model; None where no rule says so."""
        self.models: Recent[str] = Recent()
        """The model that a session's, or trace's, last call was made at."""
        self.turned_down = TurnedDown()
        self.live: dict[str, Admission] = {}
        """Calls that hold something, by span id."""
        self._told: dict[tuple[str, object], None] = {}
        self._throttled: Recent[bool] = Recent()
        self._renewer: threading.Thread | None = None
        self._closed = threading.Event()
        self._environment = settings.environment
        self._look()

    def admission(
        self, request: Request, provider: str, tags: Mapping[str, str], place: Place, asked: Attributes
    ) -> Admission | None:
        """Return what a call has to pass; None where no rule is about it."""
        self._keep_up()
        policy, store, endpoint = self.policy, self.store, request.endpoint
        if store is None or (endpoint.free and not endpoint.paid_later):
            return None
        if not self._ready.is_set():
            self._ready.wait(_PRICES_WITHIN_S)
        values = self.values(tags, provider, request.model)
        rules = policy.about(values)
        facts = Facts(values, values.get(names.SESSION_ID) or Trace(f"{place.trace_id:032x}"))
        watch = self.breakers.watch(facts)
        routing = self.router.about(values, place) if self.router is not None and not endpoint.free else None
        if not rules and watch is None and routing is None:
            return None
        most = asked.get(names.MAX_TOKENS)
        admission = Admission(
            self, store, f"{place.span_id:016x}", rules, facts, request, most if type(most) is int else None, watch
        )
        admission.routing = routing
        return admission

    def paid_later(self, attributes: Attributes, metered: Metered, place: Place, start_ns: int) -> PaidLater | None:
        """Return what an answer counts for that was asked for by a call that is over; None where no budget is about it.

        `attributes` are those of its span. Where nobody knows which model was asked for, it counts for the one that
        answered, by its name in the price book.
        """
        try:
            return self._paid_later(attributes, metered, place, start_ns // 1_000_000)
        except Exception as error:  # the charge is recorded all the same
            faults.report("what was paid later is in no budget", error)
            return None

    def _paid_later(self, attributes: Attributes, metered: Metered, place: Place, at_ms: int) -> PaidLater | None:
        self._keep_up()
        now_ms = self.now_ns() // 1_000_000
        if self.store is None or at_ms <= now_ms - COUNTED_MS:
            return None
        tags = {name: value for name, value in attributes.items() if isinstance(value, str)}
        model = metered.request_model or priced_by_book(metered, at_ms * 1_000_000).matched_model or metered.model
        budgets = budgets_of(self.policy.about(self.values(tags, metered.provider, model)))
        if not budgets:
            return None
        session = tags.get(names.SESSION_ID) or Trace(f"{place.trace_id:032x}")
        return PaidLater(self.store, f"{place.span_id:016x}", budgets, session, at_ms, now_ms, metered)

    def remember_batch(self, batch: str, tags: Mapping[str, str]) -> None:
        """Keep for other processes who asked for a batch, where there is a policy that budgets are in."""
        try:
            if self.store is not None and self.policy.budgets and tags:
                remember_tags(self.store, batch, tags, self.now_ns() // 1_000_000)
        except Exception as error:
            faults.report("who asked for a batch is not kept", error)

    def tags_of_batch(self, batch: str) -> Mapping[str, str]:
        """Return who asked for a batch, in whatever process; nothing where that isn't known."""
        try:
            return remembered_tags(self.store, batch) if self.store is not None and self.policy.budgets else {}
        except Exception as error:
            faults.report("who asked for a batch is not known", error)
            return {}

    def values(self, tags: Mapping[str, str], provider: str, model: str) -> Mapping[str, str]:
        """Return what rules look at, by wire name."""
        values = {**tags, names.PROVIDER: provider}
        if model:
            # Half of a character can't be kept by any store.
            values[names.REQUEST_MODEL] = model if model.isascii() else model.encode("utf-8", "replace").decode()
        if self._environment:
            values["deployment.environment.name"] = self._environment
        return values

    def flag_off(self, flag: str, tags: Mapping[str, str]) -> State | None:
        """Return the breaker's state that a feature flag is off because of, for those that tags tell; None: it is on.

        Raises UnknownFlagError where no breaker names the flag.
        """
        self._keep_up()
        place = current_place()
        session = tags.get(names.SESSION_ID) or (f"{place.trace_id:032x}" if place is not None else "")
        return self.breakers.off(flag, self.values(tags, tags.get(names.PROVIDER, ""), ""), session)

    def now_ns(self) -> int:
        """Return the time, nanoseconds since 1970."""
        return time.time_ns()

    def first_time(self, key: str, what: object) -> bool:
        """Tell whether something is to be said of an account for the first time in this process."""
        told = self._told
        if (key, what) in told:
            return False
        if len(told) >= _MOST_TOLD:
            told.clear()
        told[key, what] = None
        return True

    def throttle(self, key: str, on: bool) -> None:
        """Note whether an account has come to the point where its calls are slowed down."""
        if on:
            self._throttled.put(key, True)
        else:
            self._throttled.drop(key)

    def is_throttled(self, key: str) -> bool:
        """Tell whether an account's calls are slowed down."""
        return self._throttled.get(key) is not None

    def holds(self, admission: Admission) -> None:
        """Take a call in whose hold is to be renewed until it ends."""
        self.live[admission.id] = admission
        if self._renewer is None:
            self._start_renewing()

    def close(self) -> None:
        """Let go of the store; calls under way are charged by their estimate when their holds expire."""
        self._closed.set()
        self.share()
        if self.store is not None:
            self.store.close()
        if self.cache is not None:
            self.cache.answers.close()

    def share(self) -> None:
        """Tell the store what this process alone knows."""
        if self.router is not None and self.store is not None:
            self.router.share(self.store, at_once=True)

    def _keep_up(self) -> None:
        """Look at the policy, now and then."""
        if time.monotonic() - self._looked_s > LOOK_EVERY_S:
            self._look()

    def _look(self) -> None:
        """Read the policy if it is new; keep what there was if it can't be used."""
        with self._lock:
            self._looked_s = time.monotonic()
            try:
                found = self._path.stat()
                stamp = found.st_mtime_ns, found.st_size
                if stamp == self._stamp or (self.store is not None and is_being_written(found.st_mtime_ns)):
                    return
                self._stamp = stamp
                self._use(read_policy(self._path, self._settings))
            except PolicyError as error:
                faults.report(self._not_used(), f"{error}", expected=True)
            except Exception as error:
                faults.report(self._not_used(), error, expected=isinstance(error, OSError))

    def _not_used(self) -> str:
        holds = "calls go on without any rule" if self.store is None else "the last good one holds"
        return f"policy not used, {holds}"

    def _use(self, policy: Policy) -> None:
        if self.store is None or policy.store != self.policy.store:
            before, self.store = self.store, open_store(policy.store, self._settings.home)
            if before is not None:
                before.close()
        if policy.more.get("cache") or self.cache is not None:
            self._use_cache(policy)
        if policy.more.get("route") or self.router is not None:
            before_rules, self.router = self.router, import_module(".router", __package__).Router(policy.more["route"])
            if before_rules is not None and self.router is not None:
                self.router.go_on(before_rules)
        self.policy = policy
        self.breakers.use(self.store, policy.more.get("breaker", ()))

    def _use_cache(self, policy: Policy) -> None:
        before = self.cache.answers if self.cache is not None else None
        same = before if policy.store == self.policy.store else None
        try:
            self.cache = import_module(".cache.opening", __package__).open_cache(policy, self._settings, same)
        except Exception as error:  # what else the policy says holds all the same
            faults.report("no answer is kept", error, expected=isinstance(error, (ImportError, SpanledgerError)))
            self.cache = None
        if before is not None and (self.cache is None or self.cache.answers is not before):
            before.close()

    def _start_renewing(self) -> None:
        with self._lock:
            if self._renewer is None:
                self._renewer = threading.Thread(target=self._renew, name="spanledger-guard", daemon=True)
                self._renewer.start()

    def _renew(self) -> None:
        while not self._closed.wait(LEASE_S / 3):
            try:
                store = self.store
                if store is not None:
                    now_ms = time.time_ns() // 1_000_000
                    store.renew(list(self.live), now_ms)
                    store.sweep(now_ms)
            except Exception as error:
                faults.report("holds are not renewed", error)


def worker_count() -> int:
    """Return how many workers the environment says that this application has; 1 where it says nothing."""
    told = (os.environ.get("WEB_CONCURRENCY", ""), os.environ.get("GUNICORN_CMD_ARGS", ""))
    found = re.fullmatch(r"\d+", told[0]) or re.search(r"(?:^|\s)(?:-w|--workers)[ =]?(\d+)", told[1])
    return int(found[found.lastindex or 0]) if found else 1
