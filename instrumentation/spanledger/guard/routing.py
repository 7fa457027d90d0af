"""What the router has to do with one call: the first rule that fits decides, and the span says by which facts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from spanledger import faults, names
from spanledger.pricing import price
from spanledger.record import Attributes
from spanledger.usage import Usage

from .decisions import Decision
from .plans import of_budget
from .route import Arm, Route
from .store import NO_CAP
from .wants import CONVERSES

if TYPE_CHECKING:
    from .admission import Admission
    from .router import Router


class Routing:
    """The rules that are about one call, and what the first of them that fits did."""

    __slots__ = ("_decided", "_decision", "_router", "_rules", "_trace", "arm", "rule", "to")

    def __init__(self, router: Router, rules: Sequence[tuple[Route, str]], trace: str) -> None:
        self._router = router
        self._rules = rules
        self._trace = trace
        self._decided = False
        self._decision: Decision | None = None
        self.rule: Route | None = None
        """The rule that put the call into an arm."""
        self.arm: Arm = "shadow"
        self.to = ""

    def decide(self, call: Admission, now_ms: int) -> None:
        """Have the call go where the first rule that fits says; only once, however often the call has to wait."""
        if self._decided:
            return
        self._decided = True
        try:
            call.decisions.extend(self._router.share(call.store))
            if call.operation in CONVERSES:
                self._find(call, now_ms)
        except Exception as error:
            faults.report("call not routed", error)

    def _find(self, call: Admission, now_ms: int) -> None:
        for rule, scope in self._rules:
            to = rule.target(call.provider, call.model)
            facts = rule.facts(call.wants, call.tokens[0]) if to is not None else None
            budgets = _budgets(rule, call, now_ms) if facts is not None else None
            if to is not None and facts is not None and budgets is not None:
                self._apply(call, rule, scope, to, [*facts, *budgets], now_ms)
                return

    def _apply(self, call: Admission, rule: Route, scope: str, to: str, facts: list[str], now_ms: int) -> None:
        chosen = f"{call.model} -> {to}: {', '.join(facts) or scope}"
        fresh = not self._router.is_assigned(rule, call.unit)
        why = call.why_not(to, rule.drop, rule.supports, changes=fresh and call.is_at(call.model))
        if why is not None:
            self._say(call, Decision(rule.name, "route", scope, "allow", f"{chosen}; not routed: {why}", shadow=True))
            return
        arm, stopped = rule.arm(call.unit), self._router.success(rule).stopped
        if not stopped:
            self._router.assign(rule, call.unit, self._trace, arm)
        if arm == "routed":
            why = f"the rule has stopped: {stopped}" if stopped else call.change_model(to, rule.drop, now_ms)
        self.rule, self.to, self.arm = rule, to, arm if why is None else "shadow"
        because = f"not routed: {why}" if why is not None else _WORDS[arm].format(rule=rule)
        shadow = self.arm != "routed"
        self._say(call, Decision(rule.name, "route", scope, "allow", f"{chosen}; {because}", shadow=shadow))

    def taken_back(self, call: Admission, why: str) -> None:
        """Note that the call was made at the model that was asked for after all."""
        if self._decision is not None and self.arm == "routed":
            self.arm = "shadow"
            sentence = f"{self._decision.sentence}; not routed: {why}"
            self._replace(call, self._decision._replace(shadow=True, sentence=sentence))

    def attributes(self, call: Admission, usage: Usage | None, pico: int | None, at_ns: int) -> Attributes:
        """Say on the call's span which rule put it into which arm, and what not routing it cost."""
        if self.rule is None:
            return {}
        if self.arm != "routed" and usage is not None and pico is not None:
            then = price(call.provider, self.to, _uncached(usage), at_ns, itemised=False).cost_pico
            if then is not None:
                self.say_saving(call, pico - then)
        return {names.ROUTE_RULE: self.rule.name, names.ROUTE_ARM: self.arm, names.ROUTE_MODEL: self.to}

    def say_saving(self, call: Admission, pico: int) -> None:
        """Note what routing would have saved, of a call that was left where it is."""
        if self._decision is not None and self.arm != "routed":
            self._replace(call, self._decision._replace(would_save_pico=pico))

    def _say(self, call: Admission, decision: Decision) -> None:
        self._decision = decision
        call.decisions.append(decision)

    def _replace(self, call: Admission, decision: Decision) -> None:
        call.decisions = [decision if one is self._decision else one for one in call.decisions]
        self._decision = decision


_WORDS: Final[dict[Arm, str]] = {
    "routed": "routed, as {rule.percent} % of sessions are",
    "holdout": "held back for comparison, as {rule.holdout} % of sessions are",
    "shadow": "not routed, as {rule.mode} has it",
}


def _budgets(rule: Route, call: Admission, now_ms: int) -> list[str] | None:
    """Return how much of the budgets that a rule names is gone, in words; None where one has not come that far.

    The account is looked up by holding nothing in it.
    """
    found = []
    for name, share in rule.budget:
        budget, scope = call.budget(name)
        if budget is None or scope is None:
            return None
        plan = next(iter(of_budget(budget, scope, call.unit, 0, now_ms, lambda _: False)))
        look = f"{call.id}-route"
        balance = call.store.reserve(look, [plan.line._replace(cap=NO_CAP)], now_ms).balances[0]
        call.store.release(look, now_ms)
        if balance.spent + balance.held < budget.cap * share:
            return None
        found.append(f"{int(share * 100)} % of '{name}' spent or held")
    return found


def _uncached(usage: Usage) -> Usage:
    """Return usage as another model would have it, which has nothing of the prompt cached."""
    cached = usage.cache_read_tokens + usage.cache_write_5m_tokens + usage.cache_write_1h_tokens
    return usage._replace(
        input_uncached_tokens=usage.input_uncached_tokens + cached + usage.cache_write_12h_tokens,
        cache_read_tokens=0,
        cache_write_5m_tokens=0,
        cache_write_1h_tokens=0,
        cache_write_12h_tokens=0,
    )
