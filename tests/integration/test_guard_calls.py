"""Calls of real SDKs held against a policy: refused before anything is sent, settled by what they cost."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import openai
import pytest

import spanledger
from guarded import accounts, write_policy
from spanledger.errors import BudgetExceeded, LimitExceeded
from spanledger.usage import Usage
from spanledger_cli.demo.plans import Plan
from spanledger_cli.demo.provider import LocalProvider
from tracing import MESSAGES, Traced, switched_on

CHAT: dict[str, Any] = {"model": "gpt-4o", "messages": MESSAGES}
A_DOLLAR = Usage(input_uncached_tokens=200_000, output_text_tokens=50_000)
"""Of gpt-4o: 200,000 at $2.50 and 50,000 at $10 a million."""
BUDGET = """
[[budget]]
name = "ann's day"
match = { user_id = "ann" }
per = "day"
usd = "2.2"
"""


@pytest.fixture
def provider() -> Iterator[LocalProvider]:
    with LocalProvider() as provider:
        yield provider


@pytest.fixture
def client(provider: LocalProvider) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{provider.url}/v1", api_key="none") as client:
        yield client


@pytest.fixture
def traced(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Traced]:
    write_policy(monkeypatch, tmp_path, BUDGET)
    with switched_on(monkeypatch, tmp_path / "home") as traced:
        yield traced


def test_a_call_above_the_budget_is_refused_before_a_byte_is_sent(
    traced: Traced, provider: LocalProvider, client: openai.OpenAI
) -> None:
    for _ in range(2):
        provider.plan(Plan(usage=A_DOLLAR))
    with spanledger.tags(user_id="ann"):
        for _ in range(2):
            client.chat.completions.create(**CHAT)
        with pytest.raises(openai.RateLimitError) as refused:
            client.chat.completions.create(**CHAT)
    client.chat.completions.create(**CHAT)  # of nobody

    error = refused.value
    assert isinstance(error, BudgetExceeded)
    assert (error.policy, error.scope, error.limit, error.spent) == (
        "ann's day",
        "user_id=ann",
        Decimal("2.2"),
        2,
    )
    assert (error.status_code, error.code) == (429, "insufficient_quota")
    assert error.response.headers["x-should-retry"] == "false"
    assert error.resets_at is not None
    assert "The budget 'ann's day' (user_id=ann) has $2.20 a day: $2.00 spent" in str(error)
    assert provider.requests == 3
    (account,) = accounts()
    assert (account.spent, account.held, account.flagged) == (2_000_000_000, 0, 0)
    told = [span["attributes"] for span in traced.spans()]
    assert [one.get("spanledger.guard.action") for one in told] == ["allow", "allow", "block", None]
    (decision,) = json.loads(told[2]["spanledger.guard.decisions"])
    assert Decimal(decision.pop("estimate")) > 0
    assert decision.pop("resets_at").endswith("Z")
    assert decision == {
        "rule": "ann's day",
        "kind": "budget",
        "scope": "user_id=ann",
        "action": "block",
        "shadow": False,
        "sentence": str(error),
        "unit": "usd",
        "limit": "2.2",
        "spent": "2",
        "held": "0",
    }


def test_a_refused_call_of_an_event_loop_leaves_no_hold(
    traced: Traced, provider: LocalProvider, client: openai.OpenAI
) -> None:
    async def ask(times: int) -> list[object]:
        async with openai.AsyncOpenAI(base_url=f"{provider.url}/v1", api_key="none") as client:
            calls = (client.chat.completions.create(**CHAT) for _ in range(times))
            return await asyncio.gather(*calls, return_exceptions=True)

    for _ in range(8):
        provider.plan(Plan(usage=A_DOLLAR, delay_s=0.2))
    with spanledger.tags(user_id="ann"):
        asyncio.run(ask(2))
        found = asyncio.run(ask(4))

    assert [type(one).__name__ for one in found] == ["BudgetExceeded"] * 4
    assert [(one.spent, one.held) for one in accounts()] == [(2_000_000_000, 0)]
    assert provider.requests == 2


def test_a_stream_that_is_closed_early_is_settled_by_what_was_heard(
    traced: Traced, provider: LocalProvider, client: openai.OpenAI
) -> None:
    provider.plan(Plan(text_tokens=400))
    with spanledger.tags(user_id="ann"):
        with client.chat.completions.create(**CHAT, stream=True) as stream:
            next(iter(stream))
        assert [one.held > 0 for one in accounts()] in ([True], [False])
    spanledger.flush()

    (account,) = accounts()
    assert account.held == 0
    assert account.spent == account.flagged > 0
    (span,) = traced.spans()
    assert account.spent == -(-span["attributes"]["spanledger.cost.pico_usd"] // 1000)


def test_an_error_of_the_provider_costs_nothing(traced: Traced, provider: LocalProvider, client: openai.OpenAI) -> None:
    provider.plan(Plan(status=400))
    with spanledger.tags(user_id="ann"), pytest.raises(openai.BadRequestError):
        client.chat.completions.create(**CHAT)

    assert [(one.spent, one.held) for one in accounts()] == [(0, 0)]


def test_a_limit_says_when_to_come_back(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, provider: LocalProvider, client: openai.OpenAI
) -> None:
    write_policy(
        monkeypatch,
        tmp_path,
        """
        [[limit]]
        name = "no user floods us"
        match = { user_id = "*" }
        requests_per_minute = 2
        """,
    )
    with switched_on(monkeypatch, tmp_path / "home"):
        for user in ("ann", "bob"):
            with spanledger.tags(user_id=user):
                client.chat.completions.create(**CHAT)
                client.chat.completions.create(**CHAT)
        with spanledger.tags(user_id="ann"), pytest.raises(openai.RateLimitError) as refused:
            client.chat.completions.create(**CHAT)

    error = refused.value
    assert isinstance(error, LimitExceeded)
    assert error.retry_after_s is not None
    assert 0 < error.retry_after_s <= 120
    assert error.code == "rate_limit_exceeded"
    assert int(error.response.headers["retry-after"]) >= 1
    assert provider.requests == 4


def test_what_is_in_shadow_only_says_what_it_would_have_done(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, provider: LocalProvider, client: openai.OpenAI
) -> None:
    write_policy(monkeypatch, tmp_path, BUDGET + "shadow = true\n")
    with switched_on(monkeypatch, tmp_path / "home") as traced, spanledger.tags(user_id="ann"):
        for _ in range(3):
            provider.plan(Plan(usage=A_DOLLAR))
            client.chat.completions.create(**CHAT)
        told = [span["attributes"] for span in traced.spans()]

    assert [one["spanledger.guard.action"] for one in told] == ["allow"] * 3
    (would,) = json.loads(told[2]["spanledger.guard.decisions"])
    assert (would["action"], would["shadow"], would["spent"]) == ("block", True, "2")


def test_a_budget_at_90_percent_has_calls_go_to_the_model_that_stands_in(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, provider: LocalProvider, client: openai.OpenAI
) -> None:
    write_policy(
        monkeypatch,
        tmp_path,
        """
        [[budget]]
        name = "ann's day"
        match = { user_id = "ann" }
        per = "day"
        usd = 1
        at = { "90%" = "degrade", "200%" = "block" }

        [[degrade]]
        model = "gpt-4o"
        to = "gpt-4o-mini"
        drop = ["temperature"]
        """,
    )
    with switched_on(monkeypatch, tmp_path / "home") as traced, spanledger.tags(user_id="ann"):
        provider.plan(Plan(usage=A_DOLLAR))
        client.chat.completions.create(**CHAT)
        provider.plan(Plan(usage=A_DOLLAR))
        answer = client.chat.completions.create(**CHAT, temperature=0.5)
        told = [span["attributes"] for span in traced.spans()][1]

    assert answer.model.startswith("gpt-4o-mini")
    assert told["gen_ai.request.model"] == "gpt-4o-mini"
    assert told["spanledger.routed_from"] == "gpt-4o"
    assert told["spanledger.guard.action"] == "degrade"
    assert told["spanledger.cost.pico_usd"] == 60_000_000_000
    assert told["spanledger.avoided.pico_usd"] == 940_000_000_000
