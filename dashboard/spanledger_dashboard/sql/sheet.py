"""What the SQL page shows, and its form in the address: a query, how its answer is looked at, and the chart of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Final, Literal, get_args

import streamlit as st

from spanledger_dashboard.state import BadLinkError

Look = Literal["table", "chart"]
LOOKS: Final[tuple[Look, ...]] = get_args(Look)
_LOOKS: Final[Mapping[str, Look]] = MappingProxyType({look: look for look in LOOKS})
CHART: Final = ("kind", "x", "y", "colour")
"""Parameters of a chart; what they can be, only the answer tells (`charts.built.choice_of`)."""


@dataclass(frozen=True, slots=True)
class Sheet:
    """One question, and how its answer is looked at."""

    query: str = ""
    explained: bool = False
    """Whether what is asked is how it would be run."""
    look: Look = "table"
    chart: Mapping[str, str] = field(default_factory=dict)
    """Those of CHART that the reader chose."""

    def parameters(self) -> dict[str, str]:
        """Return the sheet as query parameters, defaults left out."""
        named = {"q": self.query, "explain": "1" if self.explained else "", "look": self.look}
        return {name: value for name, value in (named | dict(self.chart)).items() if value not in ("", "table")}

    def asking(self, query: str, *, explained: bool = False) -> Sheet:
        """Ask something else, looked at in the same way."""
        return replace(self, query=query, explained=explained)

    def looked_at(self, look: Look, **chart: str | None) -> Sheet:
        """Look at the answer otherwise."""
        told = {name: value for name, value in ({**self.chart, **chart}).items() if value is not None}
        return replace(self, look=look, chart=told)


def parse(parameters: Mapping[str, str]) -> Sheet:
    """Read a sheet from query parameters.

    Raises:
        BadLinkError: a value that can't be read.
    """
    wanted = parameters.get("look", LOOKS[0])
    look = _LOOKS.get(wanted)
    if look is None:
        raise BadLinkError(f"This link asks for the look {wanted!r}; there are {', '.join(LOOKS)}.")
    chart = {name: parameters[name] for name in CHART if name in parameters}
    return Sheet(parameters.get("q", ""), parameters.get("explain") == "1", look, chart)


def go(sheet: Sheet) -> None:
    """Show another sheet: write the URL once, and nothing else."""
    st.query_params.from_dict(sheet.parameters())
