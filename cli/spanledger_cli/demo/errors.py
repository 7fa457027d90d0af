"""Errors of the demonstration.

spanledger.errors.SpanledgerError
├── HistoryError        the collector did not take the history
├── ProcessError        a part ended, or did not come up
└── LateError           spans that were sent can't be asked for yet
"""

from __future__ import annotations

from pathlib import Path

from spanledger.errors import SpanledgerError


class HistoryError(SpanledgerError):
    """The collector did not take the history."""

    def __init__(self, address: str, answer: str) -> None:
        self.address = address
        self.answer = answer
        super().__init__(f"the collector at {address} did not take the demo's history: {answer}")


class ProcessError(SpanledgerError):
    """A part of the demo ended, or did not come up."""

    def __init__(self, name: str, what: str, log: Path) -> None:
        self.name = name
        self.log = log
        tail = "".join(f"\n  {line}" for line in log.read_text("utf-8", "replace").splitlines()[-5:])
        super().__init__(f"the {name} {what}; its last words, from {log}:{tail or ' (none)'}")


class LateError(SpanledgerError):
    """Spans that were sent can't be asked for yet."""

    def __init__(self, missing: int, waited_s: float, log: Path) -> None:
        self.missing = missing
        super().__init__(f"after {waited_s:.0f} s {missing} spans can't be asked for yet; the collector's log is {log}")
