"""The gate in front of calls that were made already: its clock is theirs, and its accounts are in memory.

What matches, is held, waits, is refused and settled is done by the code that real calls pass. Breakers begin closed,
and see no retries. Routes and caches are left out: what they do hangs on more than a call's tags, size and cost.
"""

from __future__ import annotations

import heapq
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final, NamedTuple, cast

from spanledger import names
from spanledger.errors import Refusal
from spanledger.pricing import price
from spanledger.sdk import Endpoint, Request
from spanledger.settings import Settings
from spanledger.usage import Usage

from .admission import Admission
from .breakers import Breakers
from .decisions import Decision
from .gate import Gate
from .policy import Facts, Policy
from .store import LEASE_S, Store

_RENEW_NS: Final = LEASE_S * 10**9 // 3
_SWEEP_NS: Final = 3_600 * 10**9


class PastCall(NamedTuple):
    """A call as the ledger has it."""

    id: str
    """Of its span."""
    start_ns: int
    """Nanoseconds since 1970."""
    duration_ns: int
    operation: str
    provider: str
    model: str
    """That the application asked for."""
    values: Mapping[str, str]
    """Tags and environment, by wire name."""
    session: str
    """The session, or else the trace."""
    size: int
    """Bytes of its input, or what is taken for it."""
    most: int | None
    """Output tokens that it allowed."""
    usage: Usage | None
    """None where nobody counted."""
    cost_pico: int | None
    """Pico-dollars, as booked; None where it has no price."""


class Outcome(NamedTuple):
    """What would have become of it."""

    call: PastCall
    decisions: tuple[Decision, ...]
    refused: bool
    cost_pico: int | None
    """What it would have cost: nothing where it is refused, or the price of the model that stands in."""
    waited_ns: int


class _Attempt(NamedTuple):
    call: PastCall
    admission: Admission
    waited_ns: int = 0


class Rehearsal(Gate):
    """Plays past calls against a policy, in the order of their starts."""

    def __init__(self, policy: Policy, settings: Settings) -> None:
        self._now_ns = 0
        self._renewed_ns = self._swept_ns = 0
        self._due: list[tuple[int, int, Callable[[], Iterator[Outcome]]]] = []
        """What happens later: when, in which order, and what."""
        self._order = 0
        ready = threading.Event()
        ready.set()
        super().__init__(Path(policy.path), settings, ready)
        self.breakers = Breakers(self.now_ns, tells=False)
        self._use(replace(policy, store="memory", more={"breaker": policy.more.get("breaker", ())}))

    def _look(self) -> None:
        """Stay with the policy that was given."""

    def now_ns(self) -> int:
        """Return the time at which the play is."""
        return self._now_ns

    def holds(self, admission: Admission) -> None:
        """Take a call in; no thread renews its hold."""
        self.live[admission.id] = admission

    @property
    def accounts(self) -> Store:
        """Where accounts are; before the play, what windows had spent may be said there."""
        return cast(Store, self.store)

    def play(self, calls: Iterable[PastCall]) -> Iterator[Outcome]:
        """Yield what would have become of calls, as they end; they come by start."""
        for call in calls:
            yield from self._until(call.start_ns)
            self._now_ns = max(self._now_ns, call.start_ns)
            yield from self._begin(call)
        yield from self._until(None)

    def _until(self, at_ns: int | None) -> Iterator[Outcome]:
        """Let happen what is due up to a moment, all of it where that is None."""
        while self._due and (at_ns is None or self._due[0][0] <= at_ns):
            due_ns, _, happens = heapq.heappop(self._due)
            self._pass_to(due_ns)
            yield from happens()
        if at_ns is not None:
            self._pass_to(at_ns)

    def _pass_to(self, at_ns: int) -> None:
        self._now_ns = max(self._now_ns, at_ns)
        if self._now_ns - self._renewed_ns > _RENEW_NS:
            self._renewed_ns = self._now_ns
            self.accounts.renew(list(self.live), self._now_ns // 1_000_000)
        if self._now_ns - self._swept_ns > _SWEEP_NS:
            self._swept_ns = self._now_ns
            self.accounts.sweep(self._now_ns // 1_000_000)

    def _begin(self, call: PastCall) -> Iterator[Outcome]:
        values = {**call.values, names.PROVIDER: call.provider}
        if call.model:
            values[names.REQUEST_MODEL] = call.model
        rules = self.policy.about(values)
        facts = Facts(values, call.session)
        watch = self.breakers.watch(facts)
        if not rules and watch is None:
            yield Outcome(call, (), False, call.cost_pico, 0)
            return
        request = Request(_endpoint(call.operation), call.model, {"input": "x" * call.size}, {}, False)
        admission = Admission(self, self.accounts, call.id, rules, facts, request, call.most, watch)
        admission.rewrite = _rewritten
        yield from self._try(_Attempt(call, admission))

    def _try(self, attempt: _Attempt) -> Iterator[Outcome]:
        call, admission, waited_ns = attempt
        step = admission.step()
        if isinstance(step, Refusal):
            yield Outcome(call, tuple(admission.decisions), True, 0, waited_ns)
        elif step is not None:
            wait_ns = int(step * 1000) * 1_000_000
            self._later(wait_ns, lambda: self._try(attempt._replace(waited_ns=waited_ns + wait_ns)))
        else:
            admission.leaves()
            admission.forget_body()
            self._later(call.duration_ns, lambda: self._end(attempt))

    def _later(self, in_ns: int, happens: Callable[[], Iterator[Outcome]]) -> None:
        self._order += 1
        heapq.heappush(self._due, (self._now_ns + in_ns, self._order, happens))

    def _end(self, attempt: _Attempt) -> Iterator[Outcome]:
        call, admission, waited_ns = attempt
        cost_pico = call.cost_pico
        if admission.model != call.model and call.usage is not None:
            stands_in = price(call.provider, admission.model, call.usage, call.start_ns, itemised=False).cost_pico
            cost_pico = cost_pico if stands_in is None else stands_in
        usage = call.usage or (Usage(state="estimated") if cost_pico is not None else None)
        admission.end(usage, cost_pico, billed=cost_pico is not None)
        yield Outcome(call, tuple(admission.decisions), False, cost_pico, waited_ns)


def _endpoint(operation: str) -> Endpoint:
    return Endpoint(operation, _nothing, _nothing, _no_usage)


def _nothing(*_: object) -> None:
    """Where there is no answer to read."""


def _no_usage(*_: object) -> Usage:
    return Usage(state="missing")


def _rewritten(*_: object) -> None:
    """Where any request can ask for another model."""
