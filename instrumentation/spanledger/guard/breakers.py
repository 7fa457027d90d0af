"""The states of all breakers as this process knows them, and what they mean for one call.

States are in the store, so that processes agree; they are read at most once a second, and only those that are not
plainly closed are there. Who changes one says which one it saw: where another process was first, its change holds.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

from spanledger import faults, ledger

from .breaker import APART_MS, PREFIX, Breaker, State, decode, encode, is_reached, key_of, step
from .breaker_evidence import allowance_key, measure, of_breaker
from .breaker_words import change, change_words, decision, stopped, tags_in, tags_of, used_up
from .decisions import Decision
from .plans import Plan, of_budget
from .policy import Budget
from .store import NO_CAP, Balance, Store, StoreAwayError
from .words import Refused

if TYPE_CHECKING:
    from .policy import Facts

_LOOK_EVERY_NS: Final = 10**9
_MOST_SCOPES: Final = 10_000
"""Scopes of which something is remembered in this process."""
_NOTHING: Final = Balance(0, 0)
_UNREAD: Final = State("", "")
"""Stands for what can't be read, and counts as closed."""


class _Kept(NamedTuple):
    """A state, and the text that the store has for it."""

    text: str
    state: State


class UnknownFlagError(Exception):
    """No breaker names the flag."""


class Breakers:
    """States by key; shared by threads, of which the last one to look is as right as any."""

    def __init__(self, now_ns: Callable[[], int], *, tells: bool = True) -> None:
        self._now_ns = now_ns
        self._tells = tells
        """Whether changes go to the ledger and the log."""
        self.rules: tuple[Breaker, ...] = ()
        self._store: Store | None = None
        self._kept: dict[str, _Kept] = {}
        self._plain: dict[str, State] = {}
        """Those that are closed, made once: most calls want one."""
        self._looked_ns = 0
        self._looked_again_ns: dict[str, int] = {}
        self._attempts: dict[str, deque[int]] = {}

    def use(self, store: Store, rules: Sequence[Breaker]) -> None:
        """Take the rules of a policy, and the store that it names."""
        self.rules = tuple(rules)
        if store is not self._store:
            self._store, self._looked_ns = store, 0
            self._kept = {}

    def watch(self, facts: Facts) -> Watch | None:
        """Return what watches a call; None where no breaker is about it."""
        found = [(rule, scope) for rule in self.rules if (scope := rule.scope(facts.values, facts.session)) is not None]
        return Watch(self, found, facts) if found else None

    def off(self, flag: str, values: Mapping[str, str], session: str) -> State | None:
        """Return the state that a feature flag is off because of, for those that these tags tell; None where it is on.

        Raises UnknownFlagError where no breaker names the flag.
        """
        named = [rule for rule in self.rules if flag in rule.flags]
        if not named:
            raise UnknownFlagError(flag)
        scopes = ((rule, rule.scope(values, session)) for rule in named if not rule.shadow)
        states = (self.state(rule.name, scope) for rule, scope in scopes if scope is not None)
        return next((state for state in states if state.name != "closed"), None)

    def state(self, name: str, scope: str) -> State:
        """Return what a breaker is in for a scope."""
        if not 0 <= self._now_ns() - self._looked_ns < _LOOK_EVERY_NS:
            self._look()
        key = key_of(name, scope)
        return self._known(key, name, scope)

    def _known(self, key: str, name: str, scope: str) -> State:
        kept = self._kept.get(key)
        if kept is not None and kept.state is not _UNREAD:
            return kept.state
        return self._plain.get(key) or self._new_plain(key, name, scope)

    def _new_plain(self, key: str, name: str, scope: str) -> State:
        if len(self._plain) >= _MOST_SCOPES:
            self._plain.clear()
        state = self._plain[key] = State(name, scope)
        return state

    def put(self, rule: Breaker, before: State, after: State, values: Mapping[str, str]) -> State:
        """Keep a state and tell of it, unless another thread or process was first; return what holds."""
        key, text, kept = before.key, encode(after), self._kept.get(before.key)
        now = kept.state if kept is not None else _UNREAD
        if self._store is None or (now != before and not (now.is_plain and before.is_plain)):
            return self._known(key, rule.name, before.scope)
        if not self._store.put_state(key, text, kept.text if kept is not None else None):
            self._look()
            return self._known(key, rule.name, before.scope)
        self._keep(key, text, after)
        self._tell(rule, before, after, values)
        if after.name == "open":
            self._attempts.pop(key, None)
        return after

    def may_look_again(self, state: State) -> bool:
        """Tell whether it is time to see whether an open breaker's spend is calm: once a second, for all threads."""
        now_ns = self._now_ns()
        if 0 <= now_ns - self._looked_again_ns.get(state.key, 0) < _LOOK_EVERY_NS:
            return False
        if len(self._looked_again_ns) >= _MOST_SCOPES:
            self._looked_again_ns.clear()
        self._looked_again_ns[state.key] = now_ns
        return True

    def attempts(self, key: str) -> Sequence[int]:
        """Return how many attempts each of the calls made last took."""
        return self._attempts.get(key, ())

    def note_attempts(self, rule: Breaker, scope: str, attempts: int) -> None:
        """Note how many attempts a call took."""
        key = key_of(rule.name, scope)
        if key not in self._attempts:
            if len(self._attempts) >= _MOST_SCOPES:
                self._attempts.clear()
            self._attempts[key] = deque(maxlen=rule.retry_calls)
        self._attempts[key].append(max(1, attempts))

    def _look(self) -> None:
        """Read all states; what is stale is let go."""
        self._looked_ns = self._now_ns()
        if self._store is None or not self.rules:
            return
        try:
            texts = self._store.states(PREFIX)
        except StoreAwayError as error:
            faults.report("states of breakers not read, those known hold", f"{error}", expected=True)
            return
        known = self._kept
        found = {}
        for key, text in texts.items():
            kept = known.get(key)
            found[key] = kept if kept is not None and kept.text == text else _Kept(text, _read(text))
        self._kept = found
        now_ms = self._looked_ns // 1_000_000
        for key, (text, state) in list(found.items()):
            if state.is_stale(now_ms) and self._store.put_state(key, None, text):
                self._keep(key, None, state)
                if rule := next((rule for rule in self.rules if rule.name == state.breaker), None):
                    self._tell(rule, state, State(state.breaker, state.scope), tags_in(state.scope))

    def _tell(self, rule: Breaker, before: State, after: State, values: Mapping[str, str]) -> None:
        if self._tells and after.name != before.name:
            faults.LOGGER.warning("breaker '%s' (%s): %s", rule.name, after.scope, change_words(before, after))
            ledger.add(change(before, after, tags_of(rule, values), shadow=rule.shadow))

    def _keep(self, key: str, text: str | None, state: State) -> None:
        if text is None:
            self._kept.pop(key, None)
        else:
            self._kept[key] = _Kept(text, state)


class Watch:
    """The breakers of one call."""

    __slots__ = ("_breakers", "_facts", "_rules", "_said", "_states")

    def __init__(self, breakers: Breakers, rules: list[tuple[Breaker, str]], facts: Facts) -> None:
        self._breakers = breakers
        self._rules = rules
        self._facts = facts
        self._states: list[State] = []
        """As the call found them, in the order of its rules; empty before it asked."""
        self._said: set[str] = set()
        """Breakers whose decision is on the span."""

    def plans(self, usd: Callable[[], int], now_ms: int) -> Iterator[Plan]:
        """Yield what the call counts for in the evidence; `usd` tells what it may cost."""
        states = self._states or [self._breakers.state(rule.name, scope) for rule, scope in self._rules]
        for (rule, scope), state in zip(self._rules, states, strict=True):
            for line in of_breaker(rule, state, self._facts.session, usd(), now_ms):
                yield Plan(line, rule, scope)

    def before(self, store: Store, call: str, now_ms: int) -> list[Decision] | Refused:
        """Say what the states mean for a call that is about to be held against its budgets."""
        found: list[Decision] = []
        states = []
        for rule, scope in self._rules:
            state = self._breakers.state(rule.name, scope)
            if state.name == "open" and not rule.shadow:
                state = self._look_again(rule, state, store, call, now_ms)
            if state.name == "open" and not rule.shadow:
                return stopped(rule, state, now_ms)
            states.append(state)
            found.extend(self._told(rule, state))
        self._states = states
        return found

    def after(self, plans: Sequence[Plan], balances: Sequence[Balance], now_ms: int) -> list[Decision] | Refused:
        """Say what the evidence means for a call that is held; what it holds itself is not held against it."""
        used = _others(plans, balances, own=True)
        found: list[Decision] = []
        for (rule, _), before in zip(self._rules, self._states, strict=True):
            state = self._move(rule, before, plans, used, now_ms)
            if state.name == "open" and not rule.shadow:
                return stopped(rule, state, now_ms)
            found.extend(self._told(rule, state))
        return found

    def no_room(self, refused: Plan, plans: Sequence[Plan], balances: Sequence[Balance], now_ms: int) -> Refused | None:
        """Say that what half-open lets through is used up; None where there is nothing more to wait for."""
        used = _others(plans, balances, own=False)
        for rule, scope in self._rules:
            if rule is refused.rule and scope == refused.scope:
                state = self._move(rule, self._breakers.state(rule.name, scope), plans, used, now_ms)
                if state.name == "open":
                    return stopped(rule, state, now_ms)
                if state.name == "half_open":
                    return used_up(rule, state, sum(used[refused.line.key]), now_ms)
        return None

    def end(self, attempts: int) -> None:
        """Note how the call went."""
        for rule, scope in self._rules:
            if rule.retry_share is not None:
                self._breakers.note_attempts(rule, scope, attempts)

    def _told(self, rule: Breaker, state: State) -> Iterator[Decision]:
        if state.name != "closed" and rule.name not in self._said:
            self._said.add(rule.name)
            yield decision(rule, state)

    def _look_again(self, rule: Breaker, state: State, store: Store, call: str, now_ms: int) -> State:
        """See whether an open breaker's spend has calmed down: no call draws on its evidence any more."""
        if 0 < state.until_ms <= now_ms:
            return self._move(rule, state, (), {}, now_ms)
        held_ms, calm_since_ms = now_ms - state.since_ms, now_ms - state.calm_ms
        if state.by_hand or -rule.hold_ms <= held_ms < rule.hold_ms - APART_MS or 0 <= calm_since_ms < APART_MS:
            return state
        if not self._breakers.may_look_again(state):
            return state
        lines = of_breaker(rule, state, self._facts.session, 0, now_ms)
        plans = [Plan(line, rule, state.scope) for line in lines]
        budget = rule.budget
        if budget is not None and (theirs := budget.match.scope(self._facts.values)) is not None:
            plans.extend(of_budget(budget, theirs, self._facts.session, 0, now_ms, lambda _: False))
        if not plans:
            return self._move(rule, state, (), {}, now_ms)
        found = store.reserve(call, [plan.line._replace(amount=0, cap=NO_CAP) for plan in plans], now_ms)
        store.release(call, now_ms)
        return self._move(rule, state, plans, _others(plans, found.balances, own=False), now_ms)

    def _move(
        self, rule: Breaker, state: State, plans: Sequence[Plan], used: Mapping[str, Balance], now_ms: int
    ) -> State:
        budget_used = _budget_used(rule, plans, used)
        measured = measure(rule, state.scope, used, budget_used, self._breakers.attempts(state.key), now_ms)
        if state.is_plain and not is_reached(rule, measured):
            return state
        let_through = used.get(allowance_key(state), _NOTHING).spent
        after = step(rule, state, measured, let_through, now_ms)
        return state if after == state else self._breakers.put(rule, state, after, self._facts.values)


def _others(plans: Sequence[Plan], balances: Sequence[Balance], *, own: bool) -> dict[str, Balance]:
    """Return by account what other calls have in it; `own`: the balances are with this one in."""
    found = {}
    for plan, balance in zip(plans, balances, strict=True):
        line = plan.line
        if own and line.amount:
            spent, held = balance
            rate = line.kind == "rate"
            balance = Balance(spent - line.amount, held) if rate else Balance(spent, held - line.amount)
        found[line.key] = balance
    return found


def _budget_used(rule: Breaker, plans: Sequence[Plan], used: Mapping[str, Balance]) -> int | None:
    if rule.budget is None:
        return None
    for plan in plans:
        if isinstance(plan.rule, Budget) and plan.rule.name == rule.budget.name and not plan.throttles:
            return sum(used[plan.line.key])
    return None


def _read(text: str) -> State:
    try:
        return decode(text)
    except (ValueError, TypeError, KeyError) as error:
        faults.report("state of a breaker not understood, taken as closed", error)
        return _UNREAD
