"""Rules of the router: as they are written, which arm a session is in, and what processes know of each other's work."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pytest

from guarding import made
from spanledger import faults
from spanledger.guard.memory import MemoryStore
from spanledger.guard.policy import make_match
from spanledger.guard.policy_file import PolicyError, read_policy
from spanledger.guard.route import Route
from spanledger.guard.router import Router, forget_route, route_states
from spanledger.guard.store import StoreAwayError
from spanledger.guard.success import Success
from spanledger.guard.wants import Wants
from spanledger.settings import load
from spanledger_analytics.controls.explain import Explained, explain

WHOLE = """
[[route]]
name = "short questions"
match = { feature = "faq", tier = "free" }
mode = "percentage"
percent = 20
holdout = 10
max_input_tokens = 4000
max_turn = 2
max_output_tokens = 500
tools = false
tool_results = false
code = false
schema = true
images = false
budget = { "support team, a month" = "50%" }
to = { "gpt-5" = "gpt-5-mini", "claude-opus-*" = "claude-haiku-4-5", groq = "llama" }
drop = ["temperature"]
supports = ["seed"]
alpha = "0.01"
least = 100
"""
LEAST = '[[route]]\nname = "a"\n'
TO = 'to = { "gpt-5" = "gpt-5-mini" }\n'
ASKED = Wants({}, 1, 100, tools=False, tool_results=False, code=False, is_chat=True, marks_cache=False)


def _rule(folder: Path, text: str) -> Route:
    path = folder / "policy.toml"
    path.write_text(text)
    (rule,) = read_policy(path, load()).more["route"]
    assert isinstance(rule, Route)
    return rule


def test_a_rule_says_what_was_written(tmp_path: Path) -> None:
    rule = _rule(tmp_path, WHOLE)

    assert replace(rule, match=make_match({}), to=()) == Route(
        name="short questions",
        match=make_match({}),
        to=(),
        mode="percentage",
        percent=20,
        holdout=10,
        max_input_tokens=4000,
        max_turn=2,
        max_output_tokens=500,
        tools=False,
        tool_results=False,
        code=False,
        schema=True,
        images=False,
        budget=(("support team, a month", Fraction(1, 2)),),
        drop=("temperature",),
        supports=("seed",),
        alpha=Fraction(1, 100),
        least=100,
    )
    assert rule.match.scope({"feature.id": "faq", "spanledger.tag.tier": "free"}) == "feature=faq,tier=free"
    asked = [("openai", "gpt-5"), ("openai", "gpt-5-mini"), ("anthropic", "claude-opus-5"), ("groq", "llama-9")]
    assert [rule.target(*one) for one in asked] == ["gpt-5-mini", None, "claude-haiku-4-5", "llama"]


def test_a_rule_is_in_shadow_unless_it_says_otherwise(tmp_path: Path) -> None:
    rule = _rule(tmp_path, LEAST + TO)

    assert (rule.shadow, rule.alpha, rule.least) == (True, Fraction(1, 20), 50)
    assert rule.does == "gpt-5 -> gpt-5-mini"
    assert {rule.arm(f"s{number}") for number in range(100)} == {"shadow"}
    assert rule.facts(ASKED, 10**6) == []


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (LEAST, "line 1: [[route]] to: needed, as"),
        (LEAST + "to = {}\n", "line 3: [[route]] to: needed, as"),
        (LEAST + 'to = { "gpt-5" = "gpt-5" }\n', "line 3: [[route]] to: gpt-5 is the same model"),
        (LEAST + TO + 'mode = "percentage"\n', "percent: needed where mode is percentage"),
        (LEAST + TO + 'mode = "all"\n', "line 4: [[route]] mode: expected one of shadow, percentage, not 'all'"),
        (LEAST + TO + "percent = 101\n", "line 4: [[route]] percent: expected at most 100"),
        (LEAST + TO + "percent = 95\nholdout = 10\n", "line 5: [[route]] holdout: is more than percent leaves"),
        (LEAST + TO + "max_turn = 0\n", "line 4: [[route]] max_turn: expected a whole number of at least 1"),
        (LEAST + TO + 'tools = "no"\n', "line 4: [[route]] tools: expected true or false"),
        (LEAST + TO + 'budget = { "all" = 50 }\n', 'line 4: [[route]] budget: all: expected a share, as "50%"'),
        (LEAST + TO + 'alpha = "0.9"\n', "line 4: [[route]] alpha: expected a probability of at most 0.5"),
        (LEAST + TO + "least = 3\n", "line 4: [[route]] least: expected a whole number of at least 10"),
        (LEAST + TO + "shadow = true\n", "shadow"),
    ],
)
def test_what_cant_be_is_told_with_line_and_key(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(PolicyError) as told:
        _rule(tmp_path, text)

    assert said in str(told.value)


@pytest.mark.parametrize(
    ("wants", "into", "facts"),
    [
        (
            ASKED._replace(features={"json_schema": "response_format"}),
            1204,
            [
                "1,204 input tokens (at most 4,000)",
                "turn 1 (at most 2)",
                "at most 100 output tokens asked for (at most 500)",
                *("no tools", "no tool results", "no code", "a schema", "no images"),
            ],
        ),
        (ASKED, 1204, None),
        (ASKED._replace(features={"json_object": "response_format"}, turn=3), 1204, None),
        (ASKED._replace(features={"json_object": "response_format"}, turn=None), 1204, None),
        (ASKED._replace(features={"json_object": "response_format"}, most=None), 1204, None),
        (ASKED._replace(features={"json_object": "response_format"}, code=True), 1204, None),
        (ASKED._replace(features={"json_object": "response_format"}), 4001, None),
    ],
)
def test_a_call_fits_by_all_facts_that_a_rule_names(
    tmp_path: Path, wants: Wants, into: int, facts: list[str] | None
) -> None:
    assert _rule(tmp_path, WHOLE).facts(wants, into) == facts


def test_arms_are_as_large_as_written_and_a_larger_percentage_keeps_who_was_routed(tmp_path: Path) -> None:
    rule = _rule(tmp_path, WHOLE)
    sessions = [f"session {number}" for number in range(20_000)]
    arms = [rule.arm(session) for session in sessions]

    assert arms.count("routed") == pytest.approx(4000, abs=200)
    assert arms.count("holdout") == pytest.approx(2000, abs=150)
    more = replace(rule, percent=50)
    kept = [more.arm(session) for session, arm in zip(sessions, arms, strict=True) if arm != "shadow"]
    assert kept == [arm for arm in arms if arm != "shadow"]
    another = replace(rule, name="another")
    both = sum(another.arm(one) == arm == "routed" for one, arm in zip(sessions, arms, strict=True))
    assert both == pytest.approx(800, abs=100), "who is routed by one rule is no more likely to be by another"


def test_policy_check_explains_rules_of_the_router(tmp_path: Path) -> None:
    path = tmp_path / "policy.toml"
    path.write_text(LEAST + TO + WHOLE)
    call = {"feature.id": "faq", "spanledger.tag.tier": "free"}

    assert explain(read_policy(path, load()), call) == [
        Explained("route", "a", "everything", "", "gpt-5 -> gpt-5-mini", shadow=True),
        Explained(
            "route",
            "short questions",
            "feature=faq,tier=free",
            "",
            "gpt-5 -> gpt-5-mini, claude-opus-* -> claude-haiku-4-5, groq -> llama for 20 % of sessions",
            shadow=False,
        ),
    ]


def test_counting_begins_anew_where_a_rule_routes_others(tmp_path: Path) -> None:
    rule = _rule(tmp_path, WHOLE)

    assert rule.key == _rule(tmp_path, WHOLE.replace('alpha = "0.01"', 'alpha = "0.02"')).key
    assert rule.key != _rule(tmp_path, WHOLE.replace("percent = 20", "percent = 30")).key
    assert rule.key.startswith("route/short questions/")


@pytest.mark.parametrize("kind", ["memory", "sqlite"])
def test_processes_that_share_a_store_count_every_outcome_once(tmp_path: Path, kind: str) -> None:
    rule = _rule(tmp_path, WHOLE)
    routers = [Router([rule]) for _ in range(4)]

    def work(number: int) -> None:
        router = routers[number]
        for place in range(50):
            unit = f"{number}-{place}"
            router.assign(rule, unit, unit, "routed" if place % 2 else "holdout")
            router.outcome(place % 5 > 0, unit, "")
            router.outcome(place % 5 > 0, unit, "")
            router.share(store)

    with made(kind, tmp_path, timeout_s=30) as store:
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(work, range(4)))
        for router in routers:
            router.share(store, at_once=True)
        (state,) = route_states(store)
        assert (state.rule, state.key) == ("short questions", rule.key)
        assert (state.success.routed, state.success.control) == ((100, 80), (100, 80))
        assert forget_route(store, "short questions")
        assert not forget_route(store, "short questions")
        assert route_states(store) == []


def test_an_outcome_names_a_session_or_a_trace_and_the_last_one_counts(tmp_path: Path) -> None:
    rule = _rule(tmp_path, WHOLE)
    router = Router([rule])
    router.assign(rule, "s1", "t1", "routed")
    router.assign(rule, "t2", "t2", "shadow")
    router.outcome(True, "s1", "t9")
    router.outcome(True, None, "t2")
    router.outcome(True, None, "t3")
    router.outcome(True, "nobody", "t1")
    with made("memory", tmp_path) as store:
        router.share(store)
        assert route_states(store)[0].success == Success((1, 1), (1, 1))
        router.outcome(False, None, "t1")
        router.share(store)
        assert route_states(store)[0].success == Success((1, 0), (1, 1))
        assert router.success(rule) == Success((1, 0), (1, 1))


def test_a_policy_that_is_read_again_goes_on_counting(tmp_path: Path) -> None:
    rule = _rule(tmp_path, WHOLE)
    before = Router([rule])
    before.assign(rule, "s1", "s1", "routed")
    after = Router([rule])
    after.go_on(before)
    after.outcome(True, "s1", "")
    with made("memory", tmp_path) as store:
        after.share(store)
        assert route_states(store)[0].success == Success((1, 1))


def test_outcomes_wait_for_a_store_that_is_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Away(MemoryStore):
        def put_state(self, key: str, value: str | None, expected: str | None) -> bool:
            raise StoreAwayError("no answer")

    rule = _rule(tmp_path, WHOLE)
    router = Router([rule])
    router.assign(rule, "s1", "s1", "routed")
    router.outcome(True, "s1", "")
    monkeypatch.setattr(faults, "_counts", Counter())
    assert router.share(Away()) == []
    assert faults.counts() == {"outcomes of routed calls are not shared: StoreAwayError": 1}
    with made("memory", tmp_path) as store:
        router.share(store)
        assert route_states(store)[0].success == Success((1, 1))
