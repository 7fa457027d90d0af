"""What somebody may see of a lake: everything, or the rows of some teams, users, customers, ...

It is a value without a default where a ledger is opened, so nobody is shown everything because an argument was
forgotten, and it is hashable, so that it can be part of every key of a cache. `connection.Ledger` keeps it in its SQL;
the box of ad-hoc SQL reads a copy of what is inside (`extract`).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from .errors import ScopeError

TEAM: Final = "team_id"
SCOPES: Final = (
    *(TEAM, "customer_id", "user_id", "feature", "session_id", "environment", "service_name", "release"),
    *("provider_account", "provider_project", "request_type"),
)
"""Columns that a scope can be told by."""


@dataclass(frozen=True, slots=True)
class Scope:
    """What is inside: rows that have one of the values in each of the columns. Without columns it is everything."""

    inside: tuple[tuple[str, tuple[str, ...]], ...] = ()
    """Column and values; without values nothing is inside."""

    @property
    def is_everything(self) -> bool:
        """Whether all rows are inside, those that say nothing of themselves included."""
        return not self.inside

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns that it is told by."""
        return tuple(column for column, _ in self.inside)

    def values(self, column: str) -> tuple[str, ...]:
        """Return the values of one of its columns that are inside."""
        return dict(self.inside)[column]


EVERYTHING: Final = Scope()


def scope_of_teams(teams: Iterable[str]) -> Scope:
    """Return the scope of who sees the rows of some teams; of none, nothing.

    Raises:
        ScopeError: a team without a name, which is no team.
    """
    named = tuple(sorted(set(teams)))
    if "" in named:
        raise ScopeError("a team without a name can't be seen; rows without a team are for those who see everything")
    return Scope(((TEAM, named),))


def parse_scope(words: Iterable[str]) -> Scope:
    """Read `column=value`; of one column several may be given, each of which is inside.

    Raises:
        ScopeError: it is not written so, or no scope can be told by the column.
    """
    inside: dict[str, tuple[str, ...]] = {}
    for word in words:
        column, equals, value = word.partition("=")
        if not equals or not value:
            raise ScopeError(f"{word!r} is no scope; write it as team_id=search")
        if column not in SCOPES:
            raise ScopeError(f"no scope can be told by {column}; there are {', '.join(SCOPES)}")
        inside[column] = (*inside.get(column, ()), value)
    return Scope(tuple(inside.items()))
