"""The response cache switched on inside the test process, against a provider whose requests are counted."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from openai import OpenAI

from cached_ways import CHAT
from matrix_cases import Bench
from spanledger.guard.cache import answers
from spanledger_cli.demo.provider import LocalProvider
from tracing import Traced, switched_on

KEEP = '[[cache]]\nname = "hotels"\n'
KEEP_ALL = KEEP + "always = true\n"  # the newest anthropic has no temperature
FILE = "answers.sqlite3"


class Cached:
    """A provider, and this process traced under a policy."""

    def __init__(self, provider: LocalProvider, traced: Traced) -> None:
        self.provider = provider
        self.traced = traced
        self.bench = Bench(provider)

    def openai(self, **options: Any) -> OpenAI:
        return self.bench.openai(max_retries=0, **options)

    def requests(self, call: Callable[[], object]) -> int:
        """Return how many requests something makes."""
        before = self.provider.requests
        call()
        return self.provider.requests - before

    def chat(self, client: OpenAI, **changed: Any) -> int:
        """Return how many requests a call makes."""
        return self.requests(lambda: client.chat.completions.create(**{**CHAT, **changed}))


@contextmanager
def cached_by(
    monkeypatch: pytest.MonkeyPatch, home: Path, provider: LocalProvider, policy: str = KEEP, *, faultless: bool = True
) -> Iterator[Cached]:
    (home / "policy.toml").write_text(policy)
    # The ledger's thread is at the file of answers, too, and on a slow machine for longer than a call waits.
    monkeypatch.setattr(answers, "_BUSY_S", 30.0)
    with switched_on(monkeypatch, home, faultless=faultless) as traced:
        yield Cached(provider, traced)
