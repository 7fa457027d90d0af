"""What tests of models that stand in for others need, whatever the SDK: a provider for several tests, and spans."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from guarded import accounts, gate, write_policy
from spanledger_cli.demo.provider import LocalProvider
from tracing import Traced, switched_on
from waiting import wait_until

Start = Callable[..., Traced]
"""Switch on with a policy; `faultless=False` where we are to be at fault."""


class House:
    """A provider as one test sees it, and a client of it, which is dear to make."""

    def __init__(self, provider: LocalProvider, client: Any) -> None:
        self.url, self.plan, self.client = provider.url, provider.plan, client
        self._provider = provider
        self._requests, self._billed = provider.requests, len(provider.billed)

    @property
    def requests(self) -> int:
        """HTTP requests since the test began."""
        return self._provider.requests - self._requests

    @property
    def billed(self) -> list[str]:
        """Models of the calls on the bill since then."""
        return [one.model for one in self._provider.billed[self._billed :]]

    @property
    def endpoints(self) -> list[str]:
        """Their paths."""
        return [one.endpoint for one in self._provider.billed[self._billed :]]


@contextmanager
def starting(monkeypatch: pytest.MonkeyPatch, folder: Path) -> Iterator[Start]:
    """Switch tracing on, with a policy, in as many tests as want to."""
    with ExitStack() as stack:

        def start(policy: str, *, faultless: bool = True) -> Traced:
            write_policy(monkeypatch, folder, policy)
            return stack.enter_context(switched_on(monkeypatch, folder / "home", faultless=faultless))

        yield start


def degrading(model: str, to: str, *, of: str = 'usd = "0.1"') -> str:
    """Write a policy whose budget degrades from a thousandth on; more of its [[degrade]] can stand behind it."""
    return f"""
[[budget]]
name = "all"
per = "day"
{of}
at = {{ "0.1%" = "degrade" }}

[[degrade]]
model = "{model}"
to = "{to}"
"""


def told(traced: Traced) -> dict[str, Any]:
    """Say which model a call was made of, by its span."""
    attributes = traced.span()["attributes"]
    names = {
        "gen_ai.request.model": "model",
        "spanledger.routed_from": "for",
        "spanledger.guard.action": "action",
        "spanledger.attempts": "attempts",
        "spanledger.cost.pico_usd": "cost",
        "spanledger.avoided.pico_usd": "avoided",
        "error.type": "error",
    }
    return {name: attributes[key] for key, name in names.items() if key in attributes}


def why(traced: Traced) -> str:
    """Say why no model stood in."""
    (decision,) = json.loads(traced.span()["attributes"]["spanledger.guard.decisions"])
    return str(decision["sentence"]).partition("degrade skipped: ")[2]


def spent_and_held() -> list[tuple[int, int]]:
    """Return what accounts have once no call is under way, nano-dollars."""
    wait_until(lambda: not gate().live, what="settling of the call")
    return [(one.spent, one.held) for one in accounts()]
