"""How a pick on the attribution page narrows it: by a filter, or by a user or customer of the page's own.

A pick leads on: from a team to its features, from a feature to its users. It draws the whole page anew, so it goes
through the navigation; a card alone can only draw itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Final

from spanledger_analytics.reports.question import Question, Where
from spanledger_analytics.spend import DIMENSIONS
from spanledger_dashboard.components.links import open_page
from spanledger_dashboard.state import Own, Window

PATH: Final = "attribution"
BY: Final = ("team", "feature", "user", "customer")
NARROWED: Final = ("customer", "user")
OWN: Final[Own] = MappingProxyType({"by": BY} | dict.fromkeys(NARROWED, ()))
_NEXT: Final[Mapping[str, str]] = MappingProxyType(
    {"team": "feature", "feature": "user", "customer": "feature", "user": "feature"}
)
"""What the page is told by after a value of another was picked."""


def question(asked: Window, by: Sequence[str] = ()) -> Question:
    """Return what reports are asked: the window, and of the user or customer that was picked only."""
    return asked.question(by, Where({name: (asked.own[name],) for name in NARROWED if asked.own[name]}))


def narrowed(asked: Window, values: Mapping[str, str]) -> Window:
    """Return the page about these values only; an empty one is calls that don't say it."""
    for dimension, value in values.items():
        asked = asked.filtered(dimension, value) if dimension in DIMENSIONS else asked.told(**{dimension: value})
    return asked


def pick(asked: Window, by: str, value: str) -> None:
    """Narrow the page to a value of what it is told by, from a callback; users without a name can't be picked."""
    if value or by in DIMENSIONS:
        open_page(PATH, narrowed(asked, {by: value}).told(by=_NEXT[by]).parameters())
