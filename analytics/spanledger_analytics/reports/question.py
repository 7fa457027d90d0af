"""What a report is asked: which days, one row for each of what, and which calls count.

Names of dimensions are those that people use (`team`, not `team_id`); columns of the ledger are taken for them as well.
Values never become SQL: they are bound.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

from spanledger_analytics.errors import QuestionError

from .calendar import UNITS, Period, Unit

WHO: Final[Mapping[str, str]] = MappingProxyType(
    {
        "provider": "provider",
        "model": "model",
        "team": "team_id",
        "customer": "customer_id",
        "user": "user_id",
        "feature": "feature",
        "session": "session_id",
        "request_type": "request_type",
        "environment": "environment",
        "service": "service_name",
        "agent": "agent_name",
    }
)
"""Dimension to the column of the ledger; `model` is that of the price book, else who answered or was asked for."""
TAG: Final = "tag."
"""Before the key of any other tag."""
_COLUMNS: Final = {column: name for name, column in WHO.items()}
_CONDITION: Final = re.compile(r"\s*([\w.\-]+)\s*(!?=)\s*(.*?)\s*")
_AND: Final = re.compile(r"""\s+and\s+(?=[\w.\-]+\s*!?=)""", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Where:
    """Which calls count: for each dimension the values wanted, or not wanted; '' stands for calls that don't say."""

    only: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    but: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def dimensions(self) -> set[str]:
        """Return the dimensions that are looked at."""
        return {*self.only, *self.but}

    def narrowed(self, dimension: str, value: str | None) -> Where:
        """Return a condition that only calls with this value fulfil, too; None is calls that don't say."""
        return Where({**self.only, dimension: (value or "",)}, self.but)


@dataclass(frozen=True, slots=True)
class Question:
    """What a report is asked."""

    period: Period
    by: tuple[str, ...] = ()
    """Dimensions and units of time, in the order of the columns."""
    where: Where = Where()

    @property
    def unit(self) -> Unit | None:
        """The unit of time among `by`, the finest where there are several."""
        return next((unit for unit in UNITS if unit in self.by), None)


def dimension_of(name: str) -> str:
    """Return the dimension that is meant by a name or a column.

    Raises:
        QuestionError: there is none.
    """
    known = name.strip()
    known = _COLUMNS.get(known, known)
    if known in WHO or (known.startswith(TAG) and known != TAG):
        return known
    raise QuestionError(f"nothing is called {name.strip()!r}; there are {', '.join(WHO)}, and {TAG}KEY for any tag")


def parse_by(text: str) -> tuple[str, ...]:
    """Read `day,model`: units of time and dimensions.

    Raises:
        QuestionError: one of them isn't there, or stands twice.
    """
    names = [name.strip() for name in text.split(",") if name.strip()]
    units: tuple[str, ...] = UNITS
    try:
        found = tuple(name if name in units else dimension_of(name) for name in names)
    except QuestionError as error:
        raise QuestionError(f"{error}, besides {', '.join(units)}") from None
    if len(set(found)) < len(found):
        raise QuestionError(f"--by {text} names one of them twice")
    return found


def parse_where(conditions: Iterable[str]) -> Where:
    """Read `team=search`, `model!=gpt-4o`, `user=` (calls without one), `team=a,b` (either); all have to be fulfilled.

    Raises:
        QuestionError: one can't be read.
    """
    only: dict[str, tuple[str, ...]] = {}
    but: dict[str, tuple[str, ...]] = {}
    for text in (part for condition in conditions for part in _AND.split(condition)):
        found = _CONDITION.fullmatch(text)
        if found is None:
            raise QuestionError(f"can't read {text!r}; write dimension=value, as in team=search or model!=gpt-4o")
        name, values = dimension_of(found[1]), _values(found[3])
        if found[2] == "=":
            only[name] = tuple(value for value in values if value in only[name]) if name in only else values
        else:
            but[name] = (*but.get(name, ()), *values)
    return Where(only, but)


def instead(where: Where, text: str) -> Where:
    """Return a condition in which another, as text, says what the dimensions that it names have to be."""
    other = parse_where([text])
    named = other.dimensions()
    only, but = (
        {name: values for name, values in kept.items() if name not in named} for kept in (where.only, where.but)
    )
    return Where({**only, **other.only}, {**but, **other.but})


def _values(text: str) -> tuple[str, ...]:
    """Read one value, in quotes or not, or several with commas between them."""
    quoted: Sequence[str] = re.findall(r"""'([^']*)'|"([^"]*)\"""", text) and re.findall(r"""['"]([^'"]*)['"]""", text)
    return tuple(quoted) if quoted else tuple(part.strip() for part in text.split(","))
