"""spanledger switched on inside the test process, against a local provider and an OTLP sink."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import spanledger
from otlp_sink import OtlpSink
from spanledger import delivery, faults, names, tokenizer
from spanledger.otel import SpanledgerInstrumentor

MESSAGES: Any = [{"role": "user", "content": "Where is the best hotel in Paris?"}]
"""As the SDKs' types want it, at the cost of Any."""


class Traced:
    """What the tests see of a traced process."""

    def __init__(self, sink: OtlpSink) -> None:
        self.sink = sink

    def spans(self) -> list[dict[str, Any]]:
        """Everything recorded so far, by start of its arrival."""
        assert spanledger.flush(60), f"spans did not arrive: {faults.counts()}"
        return self.sink.spans()

    def span(self) -> dict[str, Any]:
        """The one span recorded."""
        (only,) = self.spans()
        return only

    def attributes(self) -> dict[str, Any]:
        """The attributes of the one span, without fingerprints and those that differ from run to run."""
        attributes: dict[str, Any] = self.span()["attributes"]
        return {name: value for name, value in attributes.items() if name not in CHANGING}


FINGERPRINTS = frozenset(
    {
        *(
            names.PROMPT_HASH,
            names.SYSTEM_HASH,
            names.TOOLS_HASH,
            names.PREFIX_CHAIN,
            names.API_KEY_HASH,
            names.SIMHASH,
        ),
        *(names.SYSTEM_SIZE, names.TOOLS_SIZE, names.HISTORY_SIZE, names.TOOL_RESULTS_SIZE, names.USER_SIZE),
        *(names.MESSAGE_COUNT, names.TOOL_COUNT, names.TURN, names.API_KEY_HASH),
    }
)
"""Of the prompt, whatever came of it; tests/integration/test_fingerprints.py looks at them."""
CHANGING = FINGERPRINTS | {"server.port", "gen_ai.response.time_to_first_chunk"}


@contextmanager
def switched_on(monkeypatch: pytest.MonkeyPatch, home: Path, *, faultless: bool = True) -> Iterator[Traced]:
    """Trace this process for a while; fails if we were at fault anywhere, unless that is what is tested."""
    with OtlpSink() as sink:
        monkeypatch.setenv("SPANLEDGER_ENDPOINT", sink.url)
        monkeypatch.setenv("SPANLEDGER_HOME", str(home))
        monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "20")
        monkeypatch.delenv("SPANLEDGER_ENABLED", raising=False)
        # Estimates are the same whether or not the extra is installed.
        monkeypatch.setattr(tokenizer, "MODULE", "not_installed")
        # A machine that stops for a second or two is no collector that hangs.
        monkeypatch.setattr(delivery, "HURRY_TIMEOUT_S", 60.0)
        before = faults.counts()
        instrumentor = SpanledgerInstrumentor()
        instrumentor.instrument()
        try:
            yield Traced(sink)
            assert not faultless or faults.counts() == before
        finally:
            instrumentor.uninstrument()
