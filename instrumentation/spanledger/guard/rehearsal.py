"""The gate in front of calls that were made already: its clock is theirs, and its accounts are in memory.

What matches, is held, waits, is routed, refused and settled is done by the code that real calls pass. Breakers begin
closed, and see no retries; routes see no outcomes, so none of them stops. Caches are left out: what they give hangs on
the prompt, which the ledger doesn't have.
"""

from __future__ import annotations

import heapq
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, NamedTuple, cast

from spanledger import names
from spanledger.errors import Refusal
from spanledger.pricing import price
from spanledger.record import Place
from spanledger.sdk import Endpoint, Request
from spanledger.settings import Settings
from spanledger.usage import Usage

from .admission import Admission
from .breakers import Breakers
from .decisions import Decision
from .gate import Gate
from .paid_later import PaidLater, budgets_of
from .policy import Budget, Facts, Limit, Policy
from .route import Route
from .store import LEASE_S, Store

_NOWHERE: Final = Place(0, 0)
_RENEW_NS: Final = LEASE_S * 10**9 // 3
_SWEEP_NS: Final = 3_600 * 10**9


class Asked(NamedTuple):
    """What is known of a request beside its size; None where nothing was looked at."""

    turn: int | None = None
    history_size: int = 0
    """Bytes of `size` that had been sent before."""
    tools: bool = False
    tool_results: bool = False
    images: bool = False

    def body(self, size: int, most: int | None) -> Mapping[str, Any]:
        """Return a request of which the rules' own readers read just that."""
        before = min(self.history_size, size)
        parts: list[dict[str, Any]] = [{"role": "user", "content": "x" * before}]
        for _ in range((self.turn or 1) - 1):
            parts += [{"role": "assistant", "content": ""}, {"role": "user", "content": ""}]
        parts.append({"role": "user", "content": "x" * (size - before)})
        parts += [{"type": "function_call_output", "output": ""}] if self.tool_results else []
        parts += [{"role": "user", "content": [{"type": "input_image"}]}] if self.images else []
        body: dict[str, Any] = {"input": parts}
        if self.tools:
            body["tools"] = [{"type": "function"}]
        return body if most is None else body | {"max_output_tokens": most}


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
    asked: Asked = Asked()
    paid_later: bool = False
    """A result of a batch: whatever it is charged to, nobody could have refused it any more."""


def is_played(rule: Route) -> bool:
    """Tell whether a rule of the router hangs on nothing that the ledger doesn't have."""
    return rule.code is None and rule.schema is None


class Outcome(NamedTuple):
    """What would have become of it."""

    call: PastCall
    decisions: tuple[Decision, ...]
    refused: bool
    cost_pico: int | None
    """What it would have cost: nothing where it is refused, or the price of the model that stands in."""
    waited_ns: int
    model: str
    """That would have been asked."""


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
        routes = tuple(rule for rule in policy.more.get("route", ()) if is_played(rule))
        played = {"breaker": policy.more.get("breaker", ()), "route": routes}
        self._use(replace(policy, store="memory", more=played))

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
        if call.paid_later:
            self._count(call, rules)
            yield Outcome(call, (), False, call.cost_pico, 0, call.model)
            return
        facts = Facts(values, call.session)
        watch = self.breakers.watch(facts)
        routing = self.router.about(values, _NOWHERE) if self.router is not None else None
        if not rules and watch is None and routing is None:
            yield Outcome(call, (), False, call.cost_pico, 0, call.model)
            return
        body = {"input": "x" * call.size} if routing is None else call.asked.body(call.size, call.most)
        request = Request(_endpoint(call.operation), call.model, body, {}, False)
        admission = Admission(self, self.accounts, call.id, rules, facts, request, call.most, watch)
        admission.rewrite = _rewritten
        admission.routing = routing
        if routing is not None and call.asked.turn is None:
            admission.wants = admission.wants._replace(turn=None)
        yield from self._try(_Attempt(call, admission))

    def _count(self, call: PastCall, rules: Sequence[tuple[Budget | Limit, str]]) -> None:
        budgets = budgets_of(rules)
        at_ms = call.start_ns // 1_000_000
        PaidLater(self.accounts, call.id, budgets, call.session, at_ms, at_ms).end(
            call.usage, call.cost_pico, billed=True
        )

    def _try(self, attempt: _Attempt) -> Iterator[Outcome]:
        call, admission, waited_ns = attempt
        step = admission.step()
        if isinstance(step, Refusal):
            yield Outcome(call, tuple(admission.decisions), True, 0, waited_ns, admission.model)
        elif step is not None:
            wait_ns = int(step * 1000) * 1_000_000
            self._later(wait_ns, lambda: self._try(attempt._replace(waited_ns=waited_ns + wait_ns)))
        else:
            admission.leaves()
            admission.forget_request()
            self._later(call.duration_ns, lambda: self._end(attempt))

    def _later(self, in_ns: int, happens: Callable[[], Iterator[Outcome]]) -> None:
        self._order += 1
        heapq.heappush(self._due, (self._now_ns + in_ns, self._order, happens))

    def _end(self, attempt: _Attempt) -> Iterator[Outcome]:
        call, admission, waited_ns = attempt
        cost_pico = call.cost_pico
        if admission.model != call.model:
            stands_in = _price_at(admission.model, call)
            cost_pico = cost_pico if stands_in is None else stands_in
        elif (routing := admission.routing) is not None and routing.rule is not None:
            chosen = _price_at(routing.to, call)
            if chosen is not None and cost_pico is not None:
                routing.say_saving(admission, cost_pico - chosen)
        usage = call.usage or (Usage(state="estimated") if cost_pico is not None else None)
        admission.end(usage, cost_pico, billed=cost_pico is not None)
        yield Outcome(call, tuple(admission.decisions), False, cost_pico, waited_ns, admission.model)


def _price_at(model: str, call: PastCall) -> int | None:
    """Return what another model would have cost for the same tokens, cached as they were."""
    if call.usage is None:
        return None
    return price(call.provider, model, call.usage, call.start_ns, itemised=False).cost_pico


def _endpoint(operation: str) -> Endpoint:
    return Endpoint(operation, _nothing, _nothing, _no_usage)


def _nothing(*_: object) -> None:
    """Where there is no answer to read."""


def _no_usage(*_: object) -> Usage:
    return Usage(state="missing")


def _rewritten(*_: object) -> None:
    """Where any request can ask for another model."""
