"""What the local provider is told to answer, and what it writes on the bill.

A plan comes from the test that runs the provider (`LocalProvider.plan`), or from the caller in the request
header `x-demo-plan`, so that an agent in another process can state the exact usage of its next call.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from dataclasses import dataclass, fields
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

from spanledger.usage import INPUT_PARTS, OUTPUT_PARTS, Usage

PLAN_HEADER: Final = "x-demo-plan"


def plan_header(**values: object) -> dict[str, str]:
    """Make the header that tells the local provider what to answer (fields of `Plan`)."""
    return {PLAN_HEADER: json.dumps(values)}


@dataclass(frozen=True, slots=True)
class Plan:
    """One answer; whatever is not stated is worked out from the request."""

    usage: Usage | None = None
    """The exact truth to report."""
    text_tokens: int | None = None
    """Length of the visible text."""
    tool_tokens: int | None = None
    """Length of the tool call (name and arguments together)."""
    reasoning_tokens: int = 0
    opening: str = ""
    """What the visible text begins with."""
    arguments: Mapping[str, object] | None = None
    """Arguments of the tool call."""
    status: int = 200
    """Anything from 400 answers with that error; not billed."""
    failing_attempts: int = 0
    """How many attempts of the call `status` is for; 0: every one. Used with the header, which SDKs repeat."""
    retry_after_s: float = 0.001
    cut_after_events: int | None = None
    """Close the connection after that many stream events."""
    says_fault: bool = False
    """End the stream there by an event that says so, where the protocol has one, not by closing the connection."""
    delay_s: float = 0.0
    """Wait before the first byte."""
    service_tier: str | None = None

    @classmethod
    def from_json(cls, text: str) -> Plan:
        """Read the header's value; `usage` is an object of token parts.

        Raises:
            ValueError: not JSON, or a field that no plan has.
        """
        values: Any = json.loads(text)
        known = {field.name for field in fields(cls)}
        if not isinstance(values, dict) or not known.issuperset(values):
            raise ValueError(f"a plan is an object with some of {', '.join(sorted(known))}")
        if values.get("usage") is not None:
            values["usage"] = Usage(**values["usage"])
        return cls(**values)

    def fails(self, attempt: int) -> bool:
        """Say whether attempt number `attempt` (from 0) gets the error status."""
        return self.status >= 400 and (self.failing_attempts == 0 or attempt < self.failing_attempts)


@dataclass(frozen=True, slots=True)
class BilledCall:
    """One line of the bill: the truth that a ledger is held against."""

    request_id: str
    response_id: str
    """Empty for embeddings, which have none."""
    endpoint: str
    """Path, `/v1/messages`."""
    model: str
    """As answered."""
    usage: Usage
    stream: bool
    cut: bool
    """The answer broke off; billed all the same."""

    def to_json(self) -> str:
        """Return one line of the bill file; token parts that are 0 are left out."""
        parts = {name: getattr(self.usage, name) for name in (*INPUT_PARTS, *OUTPUT_PARTS)}
        return json.dumps(
            {
                "request_id": self.request_id,
                "response_id": self.response_id,
                "endpoint": self.endpoint,
                "model": self.model,
                "stream": self.stream,
                "cut": self.cut,
                "input_tokens": self.usage.input_tokens,
                "output_tokens": self.usage.output_tokens,
                "usage": {name: count for name, count in parts.items() if count},
                "units": {name: str(amount) for name, amount in self.usage.units.items()},
            }
        )

    @classmethod
    def from_json(cls, line: str) -> BilledCall:
        """Read a line back."""
        values = json.loads(line)
        units = {name: Decimal(amount) for name, amount in values["units"].items()}
        return cls(
            values["request_id"],
            values["response_id"],
            values["endpoint"],
            values["model"],
            Usage(**values["usage"], units=units),
            values["stream"],
            values["cut"],
        )


class Bill:
    """Every billed call, in memory and, line by line, in a file if one is named."""

    def __init__(self, path: Path | None = None) -> None:
        self.calls: list[BilledCall] = []
        self._path = path
        self._lock = threading.Lock()
        if path:
            path.write_text("")

    def add(self, call: BilledCall) -> None:
        """Put one call on the bill, before its answer is sent."""
        with self._lock:
            self.calls.append(call)
            if self._path:
                with self._path.open("a") as file:
                    file.write(call.to_json() + "\n")
