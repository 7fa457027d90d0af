"""The admission of one call: what it draws on, whether it may be sent, and what it spent in the end.

A step never raises and never waits: it returns what its caller has to do, so that both colours share it. Nothing of the
store is touched by a finaliser, which may interrupt the very thread that holds the store's lock; what an abandoned
stream spent is settled by the ledger's thread, which also counts the tokens that nobody reported.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final, TypeAlias

from spanledger import faults, names
from spanledger.cost import cost_pico
from spanledger.errors import Refusal
from spanledger.record import Attributes, Metered
from spanledger.sdk import Request
from spanledger.usage import Usage

from .breaker import Breaker
from .breakers import Watch
from .decisions import Decision, as_json, hardest
from .estimate import is_estimated, nano_usd, up
from .plans import Plan, of_budget, of_limit
from .policy import Budget, Degrade, Facts, Limit, Policy, fixed_price
from .shares import of_one_call, reached
from .standing_in import avoided, dropped, why_not_instead
from .store import NO_CAP, Balance, Line, Reserved, Store
from .wants import CONVERSES, NOT_TEXT, Wants, read_wants
from .words import Refused, limit_passed, no_money, share_reached, store_away, throttled, too_fast, without_price

if TYPE_CHECKING:
    from .gate import Gate
    from .routing import Routing

Rewrite: TypeAlias = Callable[[str, Sequence[str]], str | None]
"""Have the request ask for another model, without some parameters; why it can't be done, or None."""
Step: TypeAlias = "Refusal | float | None"
"""Go on, wait for so many seconds and ask again, or don't send."""
_LEASE_WAIT_S: Final = 0.05
_THROTTLE_WAIT_MS: Final = 10_000
"""How long a throttled call waits for its turn at most."""


class Admission:
    """One call at the gate; settled exactly once."""

    __slots__ = (
        "_asked",
        "_attempts",
        "_body",
        "_changed",
        "_counted",
        "_deadline_ms",
        "_facts",
        "_feature",
        "_gate",
        "_is_estimated",
        "_lines",
        "_most",
        "_over",
        "_paid_later",
        "_rules",
        "_sent",
        "_size",
        "_store",
        "_wants",
        "_watch",
        "decisions",
        "held",
        "id",
        "into",
        "model",
        "operation",
        "out",
        "provider",
        "refusal",
        "requested",
        "rewrite",
        "routing",
        "usd",
    )

    def __init__(
        self,
        gate: Gate,
        store: Store,
        call: str,
        rules: list[tuple[Budget | Limit, str]],
        facts: Facts,
        request: Request,
        most: int | None,
        watch: Watch | None = None,
    ) -> None:
        self._gate = gate
        self._store = store
        self.id = call
        self._rules = rules
        self._watch = watch
        self._attempts = 0
        self._facts = facts
        self.operation = request.endpoint.operation
        self._paid_later = request.endpoint.paid_later
        """Nothing is spent yet: what is asked for is counted where it is read."""
        self._is_estimated = is_estimated(self.operation) and not self._paid_later
        self._body = request.body
        self._most = most
        self.provider = facts.values[names.PROVIDER]
        self.requested = self.model = request.model
        """The model that the application named, and the one that is sent."""
        self._asked: dict[bool, tuple[int, int, int | None]] = {}
        """Tokens in and out and nano-dollars, strict or not."""
        self._feature = facts.values.get(names.FEATURE, "")
        self._size = 0
        self.decisions: list[Decision] = []
        self.held = False
        """Something is held, and to be settled."""
        self._sent = False
        self._over = False
        """The call has ended, though a step of it may still be asking the store in a thread."""
        self.refusal: Refusal | None = None
        self._deadline_ms: int | None = None
        self.rewrite: Rewrite | str = "requests of this SDK can't be changed"
        """Text says why the request can't be changed."""
        self._changed: Degrade | None = None
        self._lines: list[Line] = []
        """What was held last."""
        self._counted: frozenset[str] = frozenset()
        """Rates of calls that have the call in already, by a hold that was let go for another model."""
        self._wants: Wants | None = None
        self.routing: Routing | None = None
        """Where the router may send it; None where none of its rules is about the call."""
        self.into = self.out = 0
        self.usd = 0
        """What was held, or would be charged where nobody tells: nano-dollars."""

    @property
    def blocks(self) -> bool:
        """Whether a step may wait for the network."""
        return bool(getattr(self._store, "blocks", False))

    def price(self, metered: Metered, at_ns: int) -> int | None:
        """Return what the call cost, pico-dollars; None where nobody knows."""
        try:
            return cost_pico(metered, at_ns)
        except Exception as error:
            faults.report("what a call spent is not known", error)
            return None

    def forget_request(self) -> None:
        """Let go of what may be large: the call has ended."""
        self._body, self.rewrite = {}, "the call is over"

    def step(self) -> Step:
        """Hold what the call will cost; say what its caller has to do before it is sent, if anything."""
        now_ms = self._gate.now_ns() // 1_000_000
        try:
            try:
                return self._step(now_ms)
            finally:
                if self._over:
                    self._let_go(now_ms)
        except Exception as error:
            faults.report("call not held against the policy", error)
            return None

    def leaves(self) -> None:
        """Note that the request is about to be sent, or is about to be once more."""
        self._attempts += 1
        if self.operation in CONVERSES and (self.routing is not None or self.policy.degrades):
            self._gate.models.put(self.unit, self.model)
        if self.held and not self._sent:
            self._sent = True
            try:
                self._store.sent(self.id)
            except Exception as error:
                faults.report("call not held against the policy", error)

    def _step(self, now_ms: int) -> Step:
        if self._watch is not None and (refusal := self._obey(self._watch, now_ms)) is not None:
            return refusal
        if self.routing is not None:
            self.routing.decide(self, now_ms)
        plans = self._plans(now_ms)
        if self._degrades(now_ms):
            return self._step(now_ms)
        if isinstance(plans, Refused):
            return self._refuse(plans)
        if not plans and self._watch is None:
            return None
        if (closed := store_away(self._store, self._rules)) is not None:
            return self._refuse(closed)
        reserved = self._reserve([plan.line for plan in plans], now_ms)
        if (closed := store_away(self._store, self._rules)) is not None:  # the first that asks finds it so
            self._let_go(now_ms)
            return self._refuse(closed)
        if reserved.refused >= 0:
            return self._no_room(plans, reserved, now_ms)
        if self._watch is not None:
            seen = self._watch.after(plans, reserved.balances, now_ms)
            if isinstance(seen, Refused):
                self._let_go(now_ms)
                return self._refuse(seen)
            self.decisions.extend(seen)
        self._look(plans, reserved.balances)
        return self._step(now_ms) if self._degrades(now_ms) else None

    def _reserve(self, lines: list[Line], now_ms: int) -> Reserved:
        """Draw on the accounts, if there are any: not every rule has one."""
        if not lines:
            return Reserved(())
        reserved = self._store.reserve(self.id, lines, now_ms)
        if reserved.refused < 0:
            self._gate.holds(self)
            self._lines, self.held = lines, True
        return reserved

    def _obey(self, watch: Watch, now_ms: int) -> Refusal | None:
        """Do what the states of breakers mean for a call that holds nothing yet."""
        seen = watch.before(self._store, self.id, now_ms)
        if isinstance(seen, Refused):
            return self._refuse(seen)
        self.decisions.extend(seen)
        self._degrades(now_ms)
        return None

    def _plans(self, now_ms: int) -> list[Plan] | Refused:
        plans: list[Plan] = []
        for rule, scope in self._rules:
            if isinstance(rule, Limit):
                plans.extend(of_limit(rule, scope, self._tokens))
                continue
            amount = self._amount(rule)
            if amount is None:
                if rule.unknown_price == "deny" and not rule.shadow:
                    return without_price(rule, scope, self.provider, self.model)
                amount = rule.unknown_price if isinstance(rule.unknown_price, int) else 0
            if rule.per == "request":
                refused, decided = of_one_call(rule, scope, amount, self.decisions, degraded=self._changed is not None)
                self.decisions.extend(decided)
                if refused is not None:
                    return refused
                continue
            plans.extend(of_budget(rule, scope, self._facts.session, amount, now_ms, self._gate.is_throttled))
        if self._watch is not None:
            plans.extend(self._watch.plans(self._likely_usd, now_ms))
        return [plan for plan in plans if plan.line.key not in self._counted] if self._counted else plans

    def _likely_usd(self) -> int:
        return (self._estimate(strict=False)[2] or 0) if self._is_estimated else 0

    def _tokens(self) -> int:
        if self._paid_later:
            return 0
        into, out, _ = self._estimate(strict=False)
        return into + out

    def _amount(self, rule: Budget) -> int | None:
        """Return what a budget holds for the call; None where its price is not known."""
        if not self._is_estimated:
            return 0
        if rule.estimate == "postpaid":
            asks = rule.unknown_price == "deny" and rule.unit == "usd"
            return 0 if not asks or self._has_price() else None
        into, out, usd = self._estimate(strict=rule.estimate == "strict")
        return into + out if rule.unit == "tokens" else usd

    def _has_price(self) -> bool:
        """Tell whether the model has a price, without estimating what the call will cost."""
        return nano_usd(self.provider, self.model, self.operation, 1, 1, self._gate.now_ns()) is not None

    def _estimate(self, *, strict: bool) -> tuple[int, int, int | None]:
        known = self._asked.get(strict)
        if known is None:
            into, out, self._size = self._gate.estimates.tokens(
                self._feature, self.model, self._body, self._most, strict=strict
            )
            usd = nano_usd(self.provider, self.model, self.operation, into, out, self._gate.now_ns())
            known = self._asked[strict] = into, out, usd
            if usd is not None and usd > self.usd:
                self.usd = usd
            self.into, self.out = max(self.into, into), max(self.out, out)
        return known

    def _look(self, plans: list[Plan], balances: Sequence[Balance]) -> None:
        """Decide what the accounts call for, now that the call is in."""
        for plan, balance in zip(plans, balances, strict=True):
            rule = plan.rule
            if isinstance(rule, Budget) and not plan.throttles:
                self.decisions.extend(reached(self._gate, rule, plan, balance, degraded=self._changed is not None))
            elif rule.shadow and isinstance(rule, Limit):
                self.decisions.extend(limit_passed(rule, plan, balance))

    def _no_room(self, plans: list[Plan], reserved: Reserved, now_ms: int) -> Step:
        """Wait where the rule allows it, else refuse."""
        plan = plans[reserved.refused]
        rule, line = plan.rule, plan.line
        if isinstance(rule, Breaker):
            refused = self._watch and self._watch.no_room(plan, plans, reserved.balances, now_ms)
            return self._refuse(refused) if refused else self._step(now_ms)
        patience_ms = _THROTTLE_WAIT_MS if isinstance(rule, Budget) else rule.max_wait_ms
        waits_ms = reserved.retry_ms if line.kind == "rate" else int(_LEASE_WAIT_S * 1000)
        if line.kind != "budget" and waits_ms >= 0 and patience_ms:
            if self._deadline_ms is None:
                self._deadline_ms = now_ms + patience_ms
                self.decisions.append(throttled(plan))
            if now_ms + waits_ms <= self._deadline_ms:
                return max(waits_ms, 1) / 1000
        balance = reserved.balances[reserved.refused] if reserved.balances else Balance(0, 0)
        if line.kind == "budget" and isinstance(rule, Budget):
            degrades = next((one for one in rule.at if one.action == "degrade"), None)
            if degrades is not None and self._changed is None:
                self.decisions.append(share_reached(rule, plan, balance, degrades))
                if self._degrades(now_ms):
                    return self._step(now_ms)
            return self._refuse(no_money(rule, plan, balance, now_ms))
        return self._refuse(too_fast(plan, balance, reserved.retry_ms))

    def _degrades(self, now_ms: int) -> bool:
        """Have a model stand in where a decision asks for that; False where none does, or it can't be."""
        if not self.decisions or self._changed is not None:
            return False
        if not any(one.action == "degrade" and not one.shadow for one in self.decisions):
            return False
        why = self._stand_in(now_ms)
        if why is not None:
            self._skip_degrade(why)
        return why is None

    def _stand_in(self, now_ms: int) -> str | None:
        """Have the request ask for the model that stands in, and hold nothing for the other; why that can't be."""
        found = next((one for one in self._gate.policy.degrades if one.model == self.model), None)
        if found is None:
            return "no [[degrade]] names a model that stands in"
        why = self.why_not(found.to, found.drop, found.supports, changes=not self.is_at(found.to))
        why = why or self.change_model(found.to, found.drop, now_ms)
        if why is None:
            self._changed = found
        return why

    @property
    def unit(self) -> str:
        """The session, or else the trace, that the call is in."""
        return self._facts.session

    @property
    def wants(self) -> Wants:
        """What the request asks for."""
        if self._wants is None:
            self._wants = read_wants(self._body)
        return self._wants

    @wants.setter
    def wants(self, known: Wants) -> None:
        self._wants = known

    @property
    def tokens(self) -> tuple[int, int]:
        """About how many tokens go in and come out; no text has more of them than bytes."""
        into, out, _ = self._estimate(strict=False)
        return (into if self.wants.features.keys() & NOT_TEXT else min(into, self._size)), out

    @property
    def policy(self) -> Policy:
        """The policy in force."""
        return self._gate.policy

    @property
    def store(self) -> Store:
        """Where accounts are."""
        return self._store

    def is_at(self, model: str) -> bool:
        """Tell whether the call before it in its session was made at a model."""
        return self._gate.models.get(self.unit) == model

    def budget(self, name: str) -> tuple[Budget | None, str | None]:
        """Return a budget that is about the call, and for whom it counts."""
        found = ((rule, scope) for rule, scope in self._rules if isinstance(rule, Budget) and rule.name == name)
        return next(found, (None, None))

    def why_not(self, to: str, drop: Sequence[str], supports: Sequence[str], *, changes: bool) -> str | None:
        """Say why another model can't, or shouldn't, stand in; `changes`: the session would change its model."""
        why = self._gate.turned_down.why_not(self.requested, to, self._gate.now_ns() // 1_000_000)
        return why or why_not_instead(self, self._body, to, drop, supports, changes=changes)

    def change_model(self, to: str, drop: Sequence[str], now_ms: int) -> str | None:
        """Have the request ask for another model, and hold nothing for the one before; why that can't be, or None."""
        if isinstance(self.rewrite, str):
            return self.rewrite
        why = self.rewrite(to, dropped(self, to, drop))
        if why is None:
            self.model = to
            self._asked.clear()
            self.usd = 0
            self._let_go(now_ms)
        return why

    def _let_go(self, now_ms: int) -> None:
        """Hold nothing any more."""
        if self.held:
            self._store.release(self.id, now_ms)
            self._gate.live.pop(self.id, None)
            self._counted |= {line.key for line in self._lines if line.kind == "rate" and line.unit == "calls"}
        self.held = False

    def _skip_degrade(self, why: str) -> None:
        self.decisions = [
            one._replace(action="warn", sentence=f"{one.sentence}; degrade skipped: {why}")
            if one.action == "degrade" and not one.shadow
            else one
            for one in self.decisions
        ]

    def _refuse(self, refused: Refused) -> Refusal:
        self.decisions.append(refused.decision)
        self.refusal = refused.refusal
        return refused.refusal

    def take_back(self) -> None:
        """Go on with the model that was asked for: the provider refused the one that stood in."""
        why = "the provider refused the request for it"
        self._gate.turned_down.add(self.requested, self.model, self._gate.now_ns() // 1_000_000)
        self._changed, self.model = None, self.requested
        self._attempts -= 1  # ours: to breakers it is no retry of the application's
        asked, self._asked = self._asked, {}
        for strict in asked:  # it is charged so where nobody tells what it cost
            self._estimate(strict=strict)
        if self.held and not self.blocks:
            self._hold_anew(self._gate.now_ns() // 1_000_000)
        self._skip_degrade(why)
        if self.routing is not None:
            self.routing.taken_back(self, why)

    def _hold_anew(self, now_ms: int) -> None:
        """Hold what the model costs that is asked for after all, room or not: it is asked for in any case."""
        self._let_go(now_ms)
        plans = self._plans(now_ms)
        lines = self._lines if isinstance(plans, Refused) else [plan.line for plan in plans]
        self._sent = False
        self._reserve([line._replace(cap=NO_CAP) for line in lines if line.key not in self._counted], now_ms)

    def end(self, usage: Usage | None, pico: int | None, *, billed: bool) -> None:
        """Settle, on the thread that made the call: with its cost or, where nothing came of it, none.

        `usage` None means that nothing was reported; `billed` that the provider may charge all the same. A call that is
        given up while a step of it asks the store has what comes of that let go by the step.
        """
        self._over = True  # before `held` is looked at, as a step sets `held` before it looks at this
        if usage is not None and self.model != self.requested:
            self._gate.turned_down.taken(self.requested, self.model)
        try:
            if self.refusal is not None or not (self._rules or self._watch):
                return
            if self._watch is not None and self._attempts:
                self._watch.end(self._attempts)
            if not self.held:
                if usage is None:
                    return  # given up before it was let through
                self._count(self._gate.now_ns() // 1_000_000)
            self._settle(usage, pico, billed=billed and self._sent and not self._paid_later)
        except Exception as error:
            faults.report("what a call spent is not settled", error)

    def lost(self) -> None:
        """Renew the hold no more: nobody will settle it, so it runs out and is charged by its estimate."""
        self._gate.live.pop(self.id, None)

    def _count(self, now_ms: int) -> None:
        """Draw on the accounts without asking: the call was begun by its server."""
        plans = self._plans(now_ms)
        if not isinstance(plans, Refused):
            self._reserve([plan.line._replace(cap=NO_CAP) for plan in plans], now_ms)

    def _settle(self, usage: Usage | None, pico: int | None, *, billed: bool) -> None:
        now_ms = self._gate.now_ns() // 1_000_000
        self.held = False
        self._gate.live.pop(self.id, None)
        if usage is None and not billed:
            self._store.release(self.id, now_ms)
            return
        if usage is None:
            self._store.tell_settled(self.id, self.usd, self.into + self.out, now_ms, flagged=True)
            return
        tokens = usage.input_tokens + usage.output_tokens
        estimated = usage.state != "reported"
        if usage.state == "reported":
            self._gate.estimates.learn(self._feature, self.model, self._size, usage)
        usd = up(pico) if pico is not None else self._unpriced(usage)
        self._store.tell_settled(self.id, usd, tokens, now_ms, flagged=estimated or pico is None)

    def _unpriced(self, usage: Usage) -> int:
        """Return what an answer is charged that nobody can price, nano-dollars."""
        if usage.state == "inconsistent" and self._is_estimated:
            self._estimate(strict=False)  # nothing was held where all its budgets are postpaid
            if self.usd:
                return self.usd
        return fixed_price(rule for rule, _ in self._rules)

    def attributes(self, usage: Usage | None, pico: int | None, at_ns: int) -> Attributes:
        """Say on the call's span what was done to it."""
        found = self.routing.attributes(self, usage, pico, at_ns) if self.routing is not None else {}
        done = hardest(self.decisions)
        found[names.GUARD_ACTION] = done.action if done is not None else "allow"
        if done is not None:
            found[names.GUARD_POLICY] = done.rule
        if self.decisions:
            found[names.GUARD_DECISIONS] = as_json(self.decisions)
        if self.model != self.requested:
            found[names.ROUTED_FROM] = self.requested
            if usage is not None and pico is not None:
                found.update(avoided(self.provider, self.requested, usage, pico, at_ns))
        return found
