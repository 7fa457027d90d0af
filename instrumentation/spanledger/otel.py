"""Where an application that has OpenTelemetry of its own meets us: three things, each for a place of theirs.

`SpanledgerInstrumentor` is found by `opentelemetry-instrument`; `CompletionHook` prices the spans of the official
instrumentors; `LedgerSpanProcessor` copies the application's spans above a call. They have the shapes that
OpenTelemetry asks for without its base classes, which would bring packages that nothing else here needs.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Collection

import _spanledger_boot as switch

from .appspans import LedgerSpanProcessor
from .completion import CompletionHook
from .settings import FALSE_WORDS

__all__ = ["CompletionHook", "LedgerSpanProcessor", "SpanledgerInstrumentor"]


class SpanledgerInstrumentor:
    """Switches the ledger on and off in this process."""

    def instrumentation_dependencies(self) -> Collection[str]:
        """Name no packages: each SDK is wrapped if and when it is imported."""
        return ()

    def instrument(self, **_options: object) -> None:
        """Switch on, unless SPANLEDGER_ENABLED is set to say no."""
        if os.environ.get("SPANLEDGER_ENABLED", "on").strip().lower() not in FALSE_WORDS:
            switch.switch_on()

    def uninstrument(self, **_options: object) -> None:
        """Switch off: calls go straight through, nothing more is recorded, and what was is sent."""
        switch.switch_off()
        ledger = sys.modules.get("spanledger.ledger")
        if ledger is not None:
            ledger.close()
