"""Matching: whether a model's name is one that a rule of the price book means.

The library that the base book comes from lets many rules take whatever begins with or contains a text, so that
`claude-sonnet-4-5-foo` would cost what `claude-sonnet-4-5` does. Here what is left over of a name has to be of a
known kind (a date, `-latest`, a region in front, ...): a model that nobody priced is unknown, not priced as another.
"""

from __future__ import annotations

import re
from typing import Final, TypeAlias

Rule: TypeAlias = "str | list[Rule] | dict[str, str | list[Rule]]"
"""Text is equality, a list is any of, an object is one of starts_with, ends_with, contains, regex, all."""

_YEAR: Final = r"20\d\d"
_MONTH: Final = r"(?:0[1-9]|1[0-2])"
_DAY: Final = r"(?:0[1-9]|[12]\d|3[01])"
_KNOWN_END: Final = re.compile(
    rf"(?:[-@.]?{_YEAR}-?{_MONTH}-?{_DAY}"  # -2024-08-06, @20241022
    rf"|[-@](?:{_MONTH}-?{_DAY}|{_MONTH}-{_YEAR}|2[3-9]{_MONTH}"  # -0613, -05-06, -09-2025, -2501
    r"|0\d\d|latest|default|preview|exp|experimental|instruct|it|v\d(?:\.\d)?(?::\d)?)"  # -002, @default, -v1:0
    r"|:\d+k?)*"  # :0, :200k
)
"""What may follow the name of a model without making it another one."""
_KNOWN_START: Final = re.compile(r"(?:.*/)?(?:[a-z][a-z0-9-]*\.)*")
"""What may stand in front: the path of an ARN or a publisher, a region and a vendor (`us.anthropic.`)."""
_OPEN_END: Final = re.compile(r"[-@.:]\d*$")
_FINE_TUNE: Final = re.compile(r"(?:^|[:.-])ft(?:$|[:.-])")


def matches(rule: Rule, text: str) -> bool:
    """Tell whether a rule means this name and nothing of it is left unexplained."""
    if isinstance(rule, str):
        return text == rule
    if isinstance(rule, list):
        return any(matches(inner, text) for inner in rule)
    ((kind, value),) = rule.items()
    if isinstance(value, list):
        # A rule for the end besides one for the start leaves nothing open.
        whole = any(_has(inner, "ends_with") for inner in value) and any(_has(inner, "starts_with") for inner in value)
        explained = whole or any(matches(inner, text) for inner in value if not _has(inner, "regex"))
        return explained and matches_loosely(rule, text)
    if kind == "regex":
        return re.search(value, text) is not None
    if kind == "ends_with":
        return text.endswith(value) and _KNOWN_START.fullmatch(text.removesuffix(value)) is not None
    before, found, after = text.partition(value)
    if not found or (kind == "starts_with" and before):
        return False
    return _KNOWN_START.fullmatch(before) is not None and _is_known_end(value, after)


def matches_loosely(rule: Rule, text: str) -> bool:
    """Tell whether a rule takes this text, whatever else is in it, as for the names of providers."""
    if isinstance(rule, str):
        return text == rule
    if isinstance(rule, list):
        return any(matches_loosely(inner, text) for inner in rule)
    ((kind, value),) = rule.items()
    if isinstance(value, list):
        return all(matches_loosely(inner, text) for inner in value)
    match kind:
        case "starts_with":
            return text.startswith(value)
        case "ends_with":
            return text.endswith(value)
        case "contains":
            return value in text
        case _:
            return re.search(value, text) is not None


def _has(rule: Rule, kind: str) -> bool:
    return isinstance(rule, dict) and kind in rule


def _is_known_end(stated: str, rest: str) -> bool:
    """Tell whether what follows the stated text is of a known kind; after a fine-tune's own name anything is."""
    if not rest or _FINE_TUNE.search(stated):
        return True
    if rest[0].isdigit() or stated[-1] in "-@:":
        # The text ends within a date or version: `claude-sonnet-4-2025`, `gpt-5-nano-`.
        begun = _OPEN_END.search(stated)
        rest = begun[0] + rest if begun else rest
    return _KNOWN_END.fullmatch(rest) is not None
