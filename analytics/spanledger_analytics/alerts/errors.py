"""Errors of alerts.

spanledger.errors.SpanledgerError
├── spanledger.entries.EntryError
│   └── RulesError          rules that can't be used (rules_file.py)
└── DeliveryError           a notification didn't arrive
"""

from __future__ import annotations

from spanledger.errors import SpanledgerError


class DeliveryError(SpanledgerError):
    """A notification didn't arrive; the message has no secret in it."""

    def __init__(self, why: str, *, for_good: bool = False) -> None:
        self.for_good = for_good
        """Whether the same would be refused again."""
        super().__init__(why)
