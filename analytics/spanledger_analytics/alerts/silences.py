"""Silences: alerts that nobody is told of until a moment, by labels that they have."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from spanledger_analytics.errors import QuestionError

_MATCHER: Final = re.compile(r"\s*([A-Za-z_]\w*)\s*(!?=)\s*(.*?)\s*")


@dataclass(frozen=True, slots=True)
class Matcher:
    """One condition on a label."""

    label: str
    value: str
    """'' stands for alerts without the label."""
    wanted: bool = True

    def __str__(self) -> str:
        return f"{self.label}{'=' if self.wanted else '!='}{self.value}"

    def fits(self, labels: Mapping[str, str]) -> bool:
        """Say whether labels fulfil it."""
        return (labels.get(self.label, "") == self.value) == self.wanted


@dataclass(frozen=True, slots=True)
class Silence:
    """Alerts whose labels fulfil all matchers aren't told."""

    number: int
    matchers: tuple[Matcher, ...]
    until: datetime
    comment: str
    made_at: datetime

    def holds(self, labels: Mapping[str, str], now: datetime) -> bool:
        """Say whether an alert with these labels is not told now."""
        return now < self.until and all(matcher.fits(labels) for matcher in self.matchers)


def parse_matchers(texts: Iterable[str]) -> tuple[Matcher, ...]:
    """Read `alertname=...`, `team!=search`.

    Raises:
        QuestionError: one can't be read, or there is none.
    """
    found = []
    for text in texts:
        parts = _MATCHER.fullmatch(text)
        if parts is None:
            raise QuestionError(f"can't read {text!r}; write label=value or label!=value, as in alertname=spend")
        found.append(Matcher(parts[1], parts[3], parts[2] == "="))
    if not found:
        raise QuestionError("say which alerts: label=value, as in alertname=spend")
    return tuple(found)
