"""Errors of alerts.

spanledger.errors.SpanledgerError
├── spanledger.entries.EntryError
│   └── RulesError          rules that can't be used (rules_file.py)
├── DeliveryError           a notification didn't arrive
└── StoreError              what is known of alerts can't be read or kept
"""

from __future__ import annotations

from pathlib import Path

from spanledger.errors import SpanledgerError


class StoreError(SpanledgerError):
    """What is known of alerts can't be read or kept."""

    def __init__(self, path: Path, error: Exception) -> None:
        self.path = path
        super().__init__(f"{path} can't be used ({error}); make room there, or name another home with --home")


class DeliveryError(SpanledgerError):
    """A notification didn't arrive; the message has no secret in it."""

    def __init__(self, why: str, *, for_good: bool = False) -> None:
        self.for_good = for_good
        """Whether the same would be refused again."""
        super().__init__(why)
