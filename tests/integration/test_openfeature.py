"""Feature flags that follow breakers, by the real OpenFeature SDK and calls of the real openai SDK."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest
from openfeature import api
from openfeature.client import OpenFeatureClient
from openfeature.evaluation_context import EvaluationContext
from openfeature.exception import ErrorCode
from openfeature.flag_evaluation import Reason
from openfeature.provider.in_memory_provider import InMemoryFlag, InMemoryProvider

import spanledger
from guarded import write_policy
from spanledger.errors import BreakerOpen
from spanledger.guard import gate
from spanledger.openfeature import SpendHook, SpendProvider
from spanledger.usage import Usage
from spanledger_cli.demo.plans import Plan
from spanledger_cli.demo.provider import LocalProvider
from tracing import MESSAGES, switched_on

CHAT: dict[str, Any] = {"model": "gpt-4o", "messages": MESSAGES}
A_DOLLAR = Usage(input_uncached_tokens=200_000, output_text_tokens=50_000)
POLICY = """
[[breaker]]
name = "a team's minute"
match = { team_id = "*" }
usd_per_minute = "0.5"
flags = ["premium-model", "model"]

[[breaker]]
name = "a user's minute, tried out"
match = { user_id = "*" }
usd_per_minute = "0.01"
flags = ["premium-model"]
shadow = true
"""
RED, BLUE = EvaluationContext(attributes={"team_id": "red"}), EvaluationContext(attributes={"team_id": "blue"})


@pytest.fixture
def red_has_run_away(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """A policy, and a team whose breaker is open."""
    write_policy(monkeypatch, tmp_path, POLICY)
    monkeypatch.setattr(gate, "_PRICES_WITHIN_S", 60.0)
    with (
        LocalProvider() as provider,
        openai.OpenAI(base_url=f"{provider.url}/v1", api_key="none") as client,
        switched_on(monkeypatch, tmp_path / "home"),
        spanledger.tags(team_id="red", user_id="ann"),
    ):
        provider.plan(Plan(usage=A_DOLLAR))
        client.chat.completions.create(**CHAT)
        with pytest.raises(BreakerOpen):
            client.chat.completions.create(**CHAT)
        with spanledger.tags(team_id="green"):
            yield


@pytest.fixture(autouse=True)
def _clean() -> Iterator[None]:
    yield
    api.clear_providers()
    api.clear_hooks()


def spend() -> OpenFeatureClient:
    api.set_provider(SpendProvider(), "spend")
    return api.get_client("spend")


@pytest.mark.usefixtures("red_has_run_away")
def test_a_flag_is_off_for_the_team_whose_breaker_is_open_and_on_for_others() -> None:
    client = spend()

    off = client.get_boolean_details("premium-model", True, RED)
    assert (off.value, off.variant, off.reason, off.flag_metadata) == (
        False,
        "spend",
        Reason.TARGETING_MATCH,
        {"breaker": "a team's minute"},
    )
    on = client.get_boolean_details("premium-model", False, BLUE)
    assert (on.value, on.variant, on.reason) == (True, "on", Reason.STATIC)


@pytest.mark.usefixtures("red_has_run_away")
def test_who_asks_is_told_by_the_tags_in_force_unless_the_context_says_otherwise() -> None:
    client = spend()

    with spanledger.tags(team_id="red"):
        assert client.get_boolean_value("premium-model", True) is False
        assert client.get_boolean_value("premium-model", False, BLUE) is True
    assert client.get_boolean_value("premium-model", False) is True


@pytest.mark.usefixtures("red_has_run_away")
def test_a_breaker_in_shadow_turns_nothing_off() -> None:
    ann = EvaluationContext(targeting_key="ann", attributes={"team_id": "blue"})

    assert spend().get_boolean_value("premium-model", False, ann) is True


@pytest.mark.usefixtures("red_has_run_away")
def test_a_flag_that_no_breaker_names_and_one_of_another_type_are_at_their_default() -> None:
    client = spend()

    unknown = client.get_boolean_details("dark-mode", True, RED)
    assert (unknown.value, unknown.error_code) == (True, ErrorCode.FLAG_NOT_FOUND)
    text = client.get_string_details("model", "big", RED)
    assert (text.value, text.error_code) == ("big", ErrorCode.TYPE_MISMATCH)


def test_without_a_policy_a_flag_is_at_its_default() -> None:
    found = spend().get_boolean_details("premium-model", True, RED)

    assert (found.value, found.error_code) == (True, ErrorCode.FLAG_NOT_FOUND)


@pytest.mark.usefixtures("red_has_run_away")
def test_the_hook_forces_what_another_provider_says_while_the_breaker_is_open() -> None:
    api.set_provider(
        InMemoryProvider(
            {
                "premium-model": InMemoryFlag("on", {"on": True, "off": False}),
                "model": InMemoryFlag("big", {"big": "gpt-5", "small": "gpt-5-nano"}),
                "dark-mode": InMemoryFlag("on", {"on": True}),
            }
        ),
        "own",
    )
    client = api.get_client("own")
    client.add_hooks([SpendHook({"model": "gpt-5-nano"})])

    def told(context: EvaluationContext) -> list[object]:
        return [
            client.get_boolean_value("premium-model", False, context),
            client.get_string_value("model", "gpt-5", context),
            client.get_boolean_value("dark-mode", False, context),
        ]

    assert told(RED) == [False, "gpt-5-nano", True]
    assert told(BLUE) == [True, "gpt-5", True]
    details = client.get_string_details("model", "gpt-5", RED)
    assert (details.variant, details.reason) == ("spend", Reason.TARGETING_MATCH)
    assert details.flag_metadata["breaker"] == "a team's minute"
