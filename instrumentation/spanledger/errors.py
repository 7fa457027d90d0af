"""Errors that spanledger raises.

SpanledgerError
└── SettingError        a setting that cannot be read; raised at start, never inside a user's call
"""

from __future__ import annotations


class SpanledgerError(Exception):
    """Base of every error of ours; the message says what to do next."""


class SettingError(SpanledgerError):
    """A setting that cannot be read."""

    def __init__(self, where: str, value: str, advice: str) -> None:
        self.where = where
        self.value = value
        self.advice = advice
        shown = f" = {value!r}" if value else ""
        super().__init__(f"{where}{shown}: {advice}")
