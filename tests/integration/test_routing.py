"""Calls of real SDKs that rules of the router send to another model, or say that they would."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from decimal import Decimal
from pathlib import Path
from typing import Any

import anthropic
import openai
import pytest

import spanledger
from guarded import gate, write_policy
from spanledger.guard.gate import Gate
from spanledger.guard.route import Route
from spanledger.guard.router import forget_route, route_states
from spanledger.guard.sqlite import SqliteStore
from spanledger.guard.success import Success
from spanledger.usage import Usage
from spanledger_cli.demo.plans import Plan
from spanledger_cli.demo.provider import LocalProvider
from tracing import MESSAGES, Traced, switched_on

CHAT: dict[str, Any] = {"model": "gpt-4o", "messages": MESSAGES}
THOUSAND = Usage(input_uncached_tokens=1000, output_text_tokens=100)
"""Of gpt-4o 1,000 at $2.50 and 100 at $10 a million: $0.0035; of gpt-4o-mini at $0.15 and $0.60: $0.00021."""
SHADOW = """
[[route]]
name = "short questions"
match = { feature = "faq" }
max_input_tokens = 4000
max_turn = 2
tools = false
to = { "gpt-4o" = "gpt-4o-mini", anthropic = "claude-haiku-4-5" }
"""
PERCENTAGE = SHADOW + 'mode = "percentage"\npercent = 40\nholdout = 20\nleast = 10\n'
ALL = SHADOW + 'mode = "percentage"\npercent = 100\n'


@pytest.fixture
def provider() -> Iterator[LocalProvider]:
    with LocalProvider() as provider:
        yield provider


@pytest.fixture
def client(provider: LocalProvider) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{provider.url}/v1", api_key="none") as client:
        yield client


@pytest.fixture
def ask(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Any]:
    """Switch on with a policy, for calls of the feature that the rules are about."""
    with ExitStack() as stack:

        def start(policy: str, *, faultless: bool = True) -> Traced:
            write_policy(monkeypatch, tmp_path, policy)
            traced = stack.enter_context(switched_on(monkeypatch, tmp_path / "home", faultless=faultless))
            stack.enter_context(spanledger.tags(feature="faq"))
            return traced

        yield start


def _routed(traced: Traced) -> list[dict[str, Any]]:
    """Return what the spans of calls say of the router."""
    return [
        {name.removeprefix("spanledger."): value for name, value in one["attributes"].items() if "route" in name}
        for one in traced.spans()
        if "gen_ai.request.model" in one["attributes"]
    ]


def _decisions(traced: Traced) -> list[list[dict[str, Any]]]:
    return [json.loads(one["attributes"].get("spanledger.guard.decisions", "[]")) for one in traced.spans()]


def test_a_rule_in_shadow_says_by_which_facts_it_would_have_routed_and_what_that_would_have_saved(
    ask: Any, provider: LocalProvider, client: openai.OpenAI
) -> None:
    traced = ask(SHADOW)
    provider.plan(Plan(usage=THOUSAND))
    answer = client.chat.completions.create(**CHAT)

    assert answer.model.startswith("gpt-4o-2")
    assert _routed(traced) == [{"route.rule": "short questions", "route.arm": "shadow", "route.model": "gpt-4o-mini"}]
    assert _decisions(traced) == [
        [
            {
                "rule": "short questions",
                "kind": "route",
                "scope": "feature=faq",
                "action": "allow",
                "shadow": True,
                "sentence": "gpt-4o -> gpt-4o-mini: 10 input tokens (at most 4,000), turn 1 (at most 2), no tools;"
                " not routed, as shadow has it",
                "would_save_usd": "0.00329",
            }
        ]
    ]


def test_sessions_stay_in_their_arm_and_the_holdout_is_never_routed(
    ask: Any, provider: LocalProvider, client: openai.OpenAI
) -> None:
    traced = ask(PERCENTAGE)
    for turn in range(2):
        for number in range(30):
            provider.plan(Plan(usage=THOUSAND))
            with spanledger.tags(session_id=f"s{number}"):
                client.chat.completions.create(**CHAT)
        assert provider.requests == 30 * (turn + 1)
    (rule,) = gate().policy.more["route"]
    assert isinstance(rule, Route)
    arms = [rule.arm(f"s{number}") for number in range(30)] * 2

    told = _routed(traced)
    assert [one["route.arm"] for one in told] == arms
    assert {*arms} == {"routed", "holdout", "shadow"}
    sent = ["gpt-4o-mini" if arm == "routed" else "gpt-4o" for arm in arms]
    assert [one.model.removesuffix("-2024-07-18").removesuffix("-2024-08-06") for one in provider.billed] == sent
    spans = [one["attributes"] for one in traced.spans()]
    assert [one["gen_ai.request.model"] for one in spans] == sent
    assert [one.get("spanledger.routed_from") for one in spans] == [
        "gpt-4o" if arm == "routed" else None for arm in arms
    ]
    assert {one["spanledger.avoided.pico_usd"] for one in spans if "spanledger.routed_from" in one} == {3_290_000_000}
    assert {one["spanledger.cost.pico_usd"] for one in spans if "spanledger.routed_from" in one} == {210_000_000}


def test_a_rule_stops_when_routed_work_fails_and_says_so(
    ask: Any, client: openai.OpenAI, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    traced = ask('store = "sqlite"\n' + PERCENTAGE)
    caplog.set_level(logging.WARNING, "spanledger")
    client.chat.completions.create(**CHAT)
    (rule,) = gate().policy.more["route"]
    sessions = [f"s{number}" for number in range(40)]
    for session in sessions:
        with spanledger.tags(session_id=session):
            client.chat.completions.create(**CHAT)
            spanledger.outcome("solved", success=True)
        if rule.arm(session) == "routed":  # thought better of, later and elsewhere
            spanledger.outcome("solved", success=False, session_id=session)
    with spanledger.tags(session_id=next(one for one in sessions if rule.arm(one) == "routed")):
        client.chat.completions.create(**CHAT)
        client.chat.completions.create(**CHAT)
    told = _routed(traced)
    with closing(SqliteStore(tmp_path / "home" / "guard.sqlite")) as store:
        (state,) = route_states(store)

    why = state.success.stopped
    assert why.startswith("0 of ")
    assert (state.rule, state.key, state.success.routed[1]) == ("short questions", rule.key, 0)
    assert state.success.control[0] == state.success.control[1] >= 10
    assert [one["route.arm"] for one in told[-2:]] == ["shadow", "shadow"]
    said = [one for decisions in _decisions(traced) for one in decisions if one["action"] == "warn"]
    assert [one["sentence"] for one in said] == [f"routes no longer: {why}"]
    assert f"the route 'short questions' routes no longer: {why}" in caplog.messages
    (last,) = _decisions(traced)[-1]
    assert last["sentence"].endswith(f"; not routed: the rule has stopped: {why}")


def test_a_rule_that_stopped_routes_again_once_it_is_forgotten(
    ask: Any, client: openai.OpenAI, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("spanledger.guard.router.READ_EVERY_S", 0.0)
    traced = ask(ALL)
    client.chat.completions.create(**CHAT)
    store, (rule,) = gate().store, gate().policy.more["route"]
    assert store is not None
    kept = store.states(rule.key)[rule.key]
    assert store.put_state(rule.key, Success((10, 0), (10, 9), 1, "it fails").to_json(), kept)
    client.chat.completions.create(**CHAT)
    assert forget_route(store, "short questions")
    client.chat.completions.create(**CHAT)

    assert [one["route.arm"] for one in _routed(traced)] == ["routed", "shadow", "routed"]


def test_claude_is_routed_by_provider_streams_and_event_loops_too(ask: Any, provider: LocalProvider) -> None:
    async def twice() -> None:
        async with anthropic.AsyncAnthropic(base_url=provider.url, api_key="none") as client:
            asked: dict[str, Any] = {"model": "claude-opus-4-5", "max_tokens": 50, "messages": MESSAGES}
            await client.messages.create(**asked)
            async with client.messages.stream(**asked) as stream:
                await stream.get_final_message()

    traced = ask(ALL)
    asyncio.run(twice())

    assert [one.model for one in provider.billed] == ["claude-haiku-4-5"] * 2
    expected = {"route.rule": "short questions", "route.arm": "routed", "route.model": "claude-haiku-4-5"}
    assert _routed(traced) == [{**expected, "routed_from": "claude-opus-4-5"}] * 2


def test_a_provider_that_refuses_the_chosen_model_is_asked_for_the_other(
    ask: Any, provider: LocalProvider, client: openai.OpenAI
) -> None:
    traced = ask(ALL)
    provider.plan(Plan(status=400), Plan(usage=THOUSAND))
    answer = client.chat.completions.create(**CHAT)

    assert answer.model.startswith("gpt-4o-2")
    assert [one["route.arm"] for one in _routed(traced)] == ["shadow"]
    ((said,),) = _decisions(traced)
    assert said["sentence"].endswith("not routed: the provider refused the request for it")
    assert (said["shadow"], said["would_save_usd"]) == (True, "0.00329")


def test_what_the_other_model_is_not_known_to_take_is_not_routed(ask: Any, client: openai.OpenAI) -> None:
    traced = ask(ALL)
    client.chat.completions.create(**CHAT, extra_body={"brand_new": 1})

    assert _routed(traced) == [{}]
    ((said,),) = _decisions(traced)
    assert (said["action"], said["shadow"]) == ("allow", True)
    assert said["sentence"].endswith("; not routed: gpt-4o-mini is not known to take brand_new")


def test_what_a_degrade_says_of_the_same_two_models_counts_for_a_route(ask: Any, provider: LocalProvider) -> None:
    sent: list[Any] = []
    hooks = {"request": [lambda request: sent.append(json.loads(request.content))]}
    traced = ask(ALL + '[[degrade]]\nmodel = "gpt-4o"\nto = "gpt-4o-mini"\ndrop = ["old"]\nsupports = ["new"]\n')
    with openai.OpenAI(
        base_url=f"{provider.url}/v1", api_key="none", http_client=openai.DefaultHttpxClient(event_hooks=hooks)
    ) as client:
        client.chat.completions.create(**CHAT, extra_body={"new": 1, "old": 2})
        provider.plan(Plan(status=400), Plan())
        client.chat.completions.create(**CHAT, extra_body={"new": 1, "old": 2})

    assert [one["route.arm"] for one in _routed(traced)] == ["routed", "shadow"]
    cheaper, asked = {"model": "gpt-4o-mini", "new": 1}, {"model": "gpt-4o", "new": 1, "old": 2}
    assert [{key: one[key] for key in one if key != "messages"} for one in sent] == [cheaper, cheaper, asked]


def test_a_fault_of_the_router_leaves_budgets_in_force(
    ask: Any, client: openai.OpenAI, monkeypatch: pytest.MonkeyPatch, provider: LocalProvider
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("broken")

    now_ns = time.time_ns()
    monkeypatch.setattr(Gate, "now_ns", lambda _: now_ns)  # as both calls are to come in one minute
    monkeypatch.setattr("spanledger.guard.admission.read_wants", broken)
    ask('[[limit]]\nname = "one"\nrequests_per_minute = 1\n' + ALL, faultless=False)
    client.chat.completions.create(**CHAT)
    with pytest.raises(openai.RateLimitError):
        client.chat.completions.create(**CHAT)
    assert provider.requests == 1


def test_the_first_rule_that_fits_decides(ask: Any, client: openai.OpenAI) -> None:
    traced = ask(
        """
        [[route]]
        name = "with tools"
        tools = true
        to = { "gpt-4o" = "gpt-4.1-mini" }
        [[route]]
        name = "of another model"
        to = { "gpt-5*" = "gpt-5-nano" }
        [[route]]
        name = "all else"
        mode = "percentage"
        percent = 100
        to = { "gpt-4o*" = "gpt-4o-mini" }
        [[route]]
        name = "never"
        to = { openai = "gpt-4.1-nano" }
        """
    )
    client.chat.completions.create(**CHAT)
    client.chat.completions.create(
        **CHAT, tools=[{"type": "function", "function": {"name": "find", "parameters": {"type": "object"}}}]
    )

    assert [(one["route.rule"], one["route.arm"], one["route.model"]) for one in _routed(traced)] == [
        ("all else", "routed", "gpt-4o-mini"),
        ("with tools", "shadow", "gpt-4.1-mini"),
    ]


def test_a_rule_waits_until_a_budget_has_come_that_far(
    ask: Any, provider: LocalProvider, client: openai.OpenAI
) -> None:
    traced = ask(
        '[[budget]]\nname = "a day"\nper = "day"\nusd = "0.0060"\nestimate = "postpaid"\n'
        + ALL
        + 'budget = { "a day" = "50%" }\n'
    )
    for _ in range(2):
        provider.plan(Plan(usage=THOUSAND))
        client.chat.completions.create(**CHAT)

    assert [one.get("route.arm") for one in _routed(traced)] == [None, "routed"]
    assert "50 % of 'a day' spent or held" in _decisions(traced)[1][0]["sentence"]
    store = gate().store
    assert store is not None
    assert [(one.spent, one.held) for one in store.accounts()] == [(3_710_000, 0)]


def test_a_long_session_goes_on_with_the_model_that_has_it_cached(ask: Any, client: openai.OpenAI) -> None:
    """A budget that says degrade in the middle of it, too."""
    traced = ask(
        '[[budget]]\nname = "all"\nper = "day"\nusd = 100\nestimate = "postpaid"\nat = { "0.01%" = "degrade" }\n'
        '[[degrade]]\nmodel = "gpt-5"\nto = "gpt-5-mini"\n'
    )
    history: Any = [{"role": "user", "content": "word " * 40_000}, {"role": "assistant", "content": "Yes."}]
    with spanledger.tags(session_id="long"):
        client.chat.completions.create(model="gpt-5", messages=history[:1], max_completion_tokens=20)
        client.chat.completions.create(model="gpt-5", messages=[*history, *MESSAGES], max_completion_tokens=20)

    first, second = _decisions(traced)
    assert first == []
    (said,) = second
    assert (said["action"], said["kind"]) == ("warn", "budget")
    assert "degrade skipped: in the middle of a session: with " in said["sentence"]
    assert "gpt-5 costs $0.00708875, and gpt-5-mini would cost $0.01" in said["sentence"]


def test_outcomes_of_work_are_kept_when_the_process_ends(ask: Any, client: openai.OpenAI, tmp_path: Path) -> None:
    ask('store = "sqlite"\n' + ALL)
    with spanledger.span("work"):
        client.chat.completions.create(**CHAT)
        spanledger.outcome("solved", success=True)
    gate().close()
    with closing(SqliteStore(tmp_path / "home" / "guard.sqlite")) as store:
        assert [one.success for one in route_states(store)] == [Success(routed=(1, 1))]


def test_money_that_would_be_saved_is_exact(ask: Any, provider: LocalProvider, client: openai.OpenAI) -> None:
    """What was cached counts as uncached: the other model has none of it cached."""
    traced = ask(SHADOW)
    provider.plan(Plan(usage=Usage(input_uncached_tokens=1, cache_read_tokens=9_999, output_text_tokens=1)))
    client.chat.completions.create(**CHAT)

    ((said,),) = _decisions(traced)
    # gpt-4o: 1 at $2.50, 9,999 at $1.25, 1 at $10; gpt-4o-mini: 10,000 at $0.15, 1 at $0.60.
    assert Decimal(said["would_save_usd"]) == Decimal("0.01251125") - Decimal("0.0015006")
