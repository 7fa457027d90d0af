"""Breakers in front of the real openai SDK: a runaway agent is stopped, a team is degraded, and the ledger says so."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import openai
import pytest

import spanledger
from guarded import gate, write_policy
from noon import begin_at_noon
from spanledger.errors import BreakerOpen
from spanledger.guard.breaker import State
from spanledger.usage import Usage
from spanledger_cli.demo.plans import Plan
from spanledger_cli.demo.provider import LocalProvider
from tracing import MESSAGES, switched_on

CHAT: dict[str, Any] = {"model": "gpt-4o", "messages": MESSAGES}
A_DOLLAR = Usage(input_uncached_tokens=200_000, output_text_tokens=50_000)
"""Of gpt-4o: 200,000 at $2.50 and 50,000 at $10 a million."""
A_RUN = """
[[breaker]]
name = "an agent's run"
match = { feature = "*" }
session_usd = 2
flags = ["premium-model"]
"""


@pytest.fixture
def provider() -> Iterator[LocalProvider]:
    with LocalProvider() as provider:
        yield provider


@pytest.fixture
def client(provider: LocalProvider) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{provider.url}/v1", api_key="none") as client:
        yield client


def _loop(client: openai.OpenAI, times: int) -> None:
    for _ in range(times):
        client.chat.completions.create(**CHAT)


@pytest.mark.parametrize("store", ["memory", "sqlite"])
def test_an_agent_that_runs_away_is_stopped_and_no_other(
    store: str,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    provider: LocalProvider,
    client: openai.OpenAI,
    caplog: pytest.LogCaptureFixture,
) -> None:
    write_policy(monkeypatch, tmp_path, f'store = "{store}"\n{A_RUN}')
    caplog.set_level(logging.WARNING, "spanledger")
    with switched_on(monkeypatch, tmp_path / "home") as traced:
        provider.plan(*[Plan(usage=A_DOLLAR)] * 50)
        with spanledger.tags(feature="research", session_id="run-1"), pytest.raises(openai.RateLimitError) as refused:
            _loop(client, 50)
        provider.forget_plans()
        with spanledger.tags(feature="research", session_id="run-2"):
            client.chat.completions.create(**CHAT)
        with spanledger.tags(user_id="ann"):
            client.chat.completions.create(**CHAT)  # of no feature
        told = {span["name"]: span["attributes"] for span in traced.spans() if "breaker" in span["name"]}
        done = [span["attributes"].get("spanledger.guard.action") for span in traced.spans()]

    error = refused.value
    assert isinstance(error, BreakerOpen)
    assert (error.policy, error.scope, error.limit, error.spent) == (
        "an agent's run",
        "feature=research,session_id=run-1",
        Decimal(2),
        Decimal(2),
    )
    assert (error.status_code, error.code, error.response.headers["x-should-retry"]) == (
        429,
        "insufficient_quota",
        "false",
    )
    assert "one session has spent $2.00, and it is set to $2.00" in str(error)
    assert provider.requests == 4
    assert done == ["allow", "allow", "allow", "block", "allow", None]
    change = told["spanledger.breaker"]
    (decision,) = json.loads(change.pop("spanledger.guard.decisions"))
    assert change == {
        "spanledger.guard.action": "allow",
        "spanledger.guard.policy": "an agent's run",
        "feature.id": "research",
        "session.id": "run-1",
    }
    assert (decision["kind"], decision["action"], decision["spent"]) == ("breaker", "block", "2")
    assert [record.message for record in caplog.records if "breaker" in record.message] == [
        "breaker 'an agent's run' (feature=research,session_id=run-1): open, was closed: one session has spent $2.00,"
        " and it is set to $2.00"
    ]


def test_a_team_near_the_end_of_its_budget_gets_the_model_that_stands_in(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, provider: LocalProvider, client: openai.OpenAI
) -> None:
    begin_at_noon(monkeypatch)
    write_policy(
        monkeypatch,
        tmp_path,
        """
        [[budget]]
        name = "teams"
        match = { team_id = "*" }
        per = "month"
        usd = 4

        [[breaker]]
        name = "before the end"
        budget = "teams"
        budget_share = "25%"
        at = { "100%" = "degrade" }

        [[degrade]]
        model = "gpt-4o"
        to = "gpt-4o-mini"
        """,
    )
    with switched_on(monkeypatch, tmp_path / "home") as traced:
        with spanledger.tags(team_id="red"):
            provider.plan(Plan(usage=A_DOLLAR))
            client.chat.completions.create(**CHAT)
            models = [client.chat.completions.create(**CHAT).model for _ in range(2)]
        with spanledger.tags(team_id="blue"):
            models.append(client.chat.completions.create(**CHAT).model)
        calls = [span["attributes"] for span in traced.spans() if span["name"].startswith("chat")]

    assert [model.partition("-2")[0] for model in models] == ["gpt-4o-mini", "gpt-4o-mini", "gpt-4o"]
    assert [one["spanledger.guard.action"] for one in calls] == ["allow", "degrade", "degrade", "allow"]
    assert [one.get("spanledger.routed_from") for one in calls] == [None, "gpt-4o", "gpt-4o", None]
    (decision,) = json.loads(calls[2]["spanledger.guard.decisions"])
    assert decision["sentence"].endswith(": $1.00 of the budget is spent or held, and it is set to $1.00")


def test_one_that_somebody_opened_by_hand_holds_until_somebody_resets_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, provider: LocalProvider, client: openai.OpenAI
) -> None:
    write_policy(monkeypatch, tmp_path, f'store = "sqlite"\n{A_RUN}')
    with switched_on(monkeypatch, tmp_path / "home"), spanledger.tags(feature="research", session_id="run-1"):
        client.chat.completions.create(**CHAT)
        store, breakers = gate().store, gate().breakers
        assert store is not None
        closed = State("an agent's run", "feature=research,session_id=run-1")
        breakers.put(breakers.rules[0], closed, State(closed.breaker, closed.scope, "open", 1, by_hand=True), {})
        with pytest.raises(BreakerOpen, match="by hand; `spanledger breaker reset` lets it go on"):
            client.chat.completions.create(**CHAT)
        assert store.put_state(closed.key, None, store.states(closed.key)[closed.key])
        breakers._looked_ns = 0  # as though a second had gone by
        client.chat.completions.create(**CHAT)

    assert provider.requests == 2


def test_calls_that_are_made_again_and_again_open_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, provider: LocalProvider
) -> None:
    write_policy(monkeypatch, tmp_path, '[[breaker]]\nname = "storms"\nretry_share = "40%"\nretry_calls = 5\n')
    once_more = [Plan(status=500, retry_after_s=0.001), Plan()]
    with (
        switched_on(monkeypatch, tmp_path / "home"),
        openai.OpenAI(base_url=f"{provider.url}/v1", api_key="none", max_retries=2) as client,
    ):
        provider.plan(*once_more * 5)
        _loop(client, 5)
        with pytest.raises(BreakerOpen, match="attempts were made again for 5 calls, and it is set to 4 calls"):
            client.chat.completions.create(**CHAT)

    assert provider.requests == 10


APPLICATION = """
import os
import openai
import spanledger

client = openai.OpenAI(base_url=os.environ["PROVIDER"], api_key="none")
with client, spanledger.tags(feature="f", session_id="s"):
    for number in range(int(os.environ["CALLS"])):
        try:
            client.chat.completions.create(model="gpt-4o", messages=[{"role": "user", "content": "Paris?"}])
        except spanledger.BreakerOpen as error:
            print(number, error.policy, error.scope, error.spent)
            break
    else:
        print("all")
"""


def test_a_process_that_starts_later_finds_open_what_another_one_ran_into(
    tmp_path: Path, provider: LocalProvider
) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "policy.toml").write_text(
        'store = "sqlite"\n[[breaker]]\nname = "a run"\nmatch = { feature = "*" }\nsession_usd = 2\n'
    )
    environment = {
        **os.environ,
        "SPANLEDGER_ENABLED": "1",
        "SPANLEDGER_HOME": str(tmp_path / "home"),
        "SPANLEDGER_ENDPOINT": "http://127.0.0.1:1",
        "PROVIDER": f"{provider.url}/v1",
    }

    def run(calls: int) -> str:
        command = [sys.executable, "-c", APPLICATION]
        done = subprocess.run(
            command, env=environment | {"CALLS": str(calls)}, capture_output=True, text=True, timeout=240, check=True
        )
        return done.stdout.strip()

    provider.plan(*[Plan(usage=A_DOLLAR)] * 50)

    assert [run(1), run(50), run(1)] == [
        "all",
        "1 a run feature=f,session_id=s 2",
        "0 a run feature=f,session_id=s 2",
    ]
    assert provider.requests == 2
