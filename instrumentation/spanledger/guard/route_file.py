"""Reading `[[route]]` of a policy."""

from __future__ import annotations

import re
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from typing import Final, Literal, cast

from .policy import make_match
from .policy_file import Kind, PolicyEntry
from .route import Route, what_decides

_SHARE: Final = re.compile(r"(\d{1,3}(?:\.\d{1,2})?)\s*%")


def _route(entry: PolicyEntry) -> Route:
    mode = cast(Literal["shadow", "percentage"], entry.one_of("mode", ("shadow", "percentage"), "shadow"))
    percent, holdout = _percent(entry, "percent"), _percent(entry, "holdout")
    if mode == "percentage" and not percent:
        raise entry.refuse("percent", "needed where mode is percentage: how many of a hundred sessions are routed")
    if percent + holdout > 100:
        raise entry.refuse("holdout", "is more than percent leaves: the two are at most 100 together")
    return Route(
        name=entry.text("name"),
        match=entry.match(),
        to=_targets(entry),
        mode=mode,
        percent=percent,
        holdout=holdout,
        budget=_budgets(entry),
        drop=entry.texts("drop"),
        supports=entry.texts("supports"),
        alpha=_alpha(entry),
        least=entry.whole("least", 10) or 50,
        given=what_decides(entry.given),
        max_input_tokens=entry.whole("max_input_tokens"),
        max_turn=entry.whole("max_turn"),
        max_output_tokens=entry.whole("max_output_tokens"),
        tools=_switch(entry, "tools"),
        tool_results=_switch(entry, "tool_results"),
        code=_switch(entry, "code"),
        schema=_switch(entry, "schema"),
        images=_switch(entry, "images"),
    )


def _switch(entry: PolicyEntry, key: str) -> bool | None:
    """Read true, false, or nothing, which means either."""
    return entry.switch(key) if key in entry.given else None


def _targets(entry: PolicyEntry) -> tuple[tuple[str, Callable[[str], object], str], ...]:
    given = entry.given.get("to")
    if not isinstance(given, dict) or not given:
        raise entry.refuse("to", 'needed, as { "gpt-5" = "gpt-5-mini" }, or by provider { openai = "gpt-5-mini" }')
    found: list[tuple[str, Callable[[str], object], str]] = []
    for written, to in given.items():
        if not isinstance(to, str) or not to:
            raise entry.refuse("to", f"{written}: expected the name of a model, in quotes")
        if written == to:
            raise entry.refuse("to", f"{written} is the same model")
        found.append((written, _takes(written), to))
    return tuple(found)


def _takes(written: str) -> Callable[[str], object]:
    match = make_match({"model": written}).keys[0]
    return match[3] or written.__eq__


def _budgets(entry: PolicyEntry) -> tuple[tuple[str, Fraction], ...]:
    given = entry.given.get("budget", {})
    if not isinstance(given, dict):
        raise entry.refuse("budget", 'expected a table, as { "support team, a month" = "50%" }')
    found = []
    for name, share in given.items():
        number = _SHARE.fullmatch(share) if isinstance(share, str) else None
        if number is None:
            raise entry.refuse("budget", f'{name}: expected a share, as "50%"')
        found.append((name, Fraction(number[1]) / 100))
    return tuple(found)


def _percent(entry: PolicyEntry, key: str) -> int:
    value = entry.whole(key, 0) or 0
    if value > 100:
        raise entry.refuse(key, "expected at most 100")
    return value


def _alpha(entry: PolicyEntry) -> Fraction:
    given = entry.given.get("alpha", "0.05")
    number = entry.exact("alpha", str(given) if isinstance(given, float) else given, above=0)
    if number > Decimal("0.5"):
        raise entry.refuse("alpha", 'expected a probability of at most 0.5, as "0.05"')
    return Fraction(number)


KIND: Final = Kind(
    frozenset({"name", "match", "to", "mode", "percent", "holdout", "budget", "drop", "supports", "alpha", "least"})
    | {"max_input_tokens", "max_turn", "max_output_tokens", "tools", "tool_results", "code", "schema", "images"},
    _route,
)
