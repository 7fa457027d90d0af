"""`import spanledger.auto`: switches on where the environment variable cannot, as the first line of a program.

For interpreters that skip site-packages' start files (`python -S`), for zipapps and frozen programs. It is the same
switch, so `SPANLEDGER_ENABLED=0` still leaves it off.
"""

from __future__ import annotations

from .otel import SpanledgerInstrumentor

SpanledgerInstrumentor().instrument()
