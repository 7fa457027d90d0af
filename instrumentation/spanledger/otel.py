"""The entry point by which `opentelemetry-instrument` and hand-written set-ups switch us on.

It has the shape of an OpenTelemetry instrumentor without being one, because the base class would bring a package
that nothing else here needs.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Collection

import _spanledger_boot as switch

from .settings import FALSE_WORDS


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
