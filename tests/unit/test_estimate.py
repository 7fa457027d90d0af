"""Estimates never lower what was reported, and learn only from what they saw whole."""

from __future__ import annotations

import pytest
from hypothesis import given, settings, strategies as st

from spanledger import tokenizer
from spanledger.estimate import Estimates
from spanledger.evidence import MOST_MODELS, Evidence, Lessons
from spanledger.texts import Texts, answer_texts, asked_texts
from spanledger.usage import Usage

NOTHING = Usage(state="missing")
COUNTS = st.integers(0, 10_000)


@pytest.fixture(autouse=True)
def _no_tokenizer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokenizer, "MODULE", "not_installed")


def evidence(asked: str = "", *heard: str | bytes) -> Evidence:
    return Evidence(Texts((asked,) if asked else ()), heard)


def complete(known: Usage, seen: Evidence, estimates: Estimates | None = None) -> tuple[Usage, str] | None:
    return (estimates or Estimates()).complete("p", "m", "m", known, seen)


def test_nothing_said_and_nothing_heard_stays_missing() -> None:
    assert complete(NOTHING, evidence()) is None


@settings(deadline=None)
@given(
    st.builds(Usage, input_uncached_tokens=COUNTS, cache_read_tokens=COUNTS, reasoning_tokens=COUNTS),
    st.text(min_size=1),
    st.lists(st.text()),
)
def test_what_was_reported_is_never_lowered_and_never_counted_twice(known: Usage, asked: str, heard: list[str]) -> None:
    found = complete(known, evidence(asked, *heard))
    assert found is not None
    usage, method = found
    size = -(-len("".join(heard).encode()) // 4)
    assert usage.state == "estimated"
    assert usage.input_tokens == (known.input_tokens or -(-len(asked.encode()) // 4))
    assert usage.output_tokens == max(known.output_tokens, size)
    assert (usage.cache_read_tokens, usage.reasoning_tokens) == (known.cache_read_tokens, known.reasoning_tokens)
    assert (method == "reported_partial") == (
        (usage.input_tokens, usage.output_tokens) == (known.input_tokens, known.output_tokens)
    )


def test_tokens_asked_for_as_numbers_are_counted_exactly() -> None:
    asked = asked_texts({"model": "m", "input": [[1, 2, 3], [4, 5]]})
    found = complete(NOTHING, Evidence(asked, ()))
    assert found is not None
    assert found[0].input_tokens == 5


def test_messages_of_an_event_stream_are_read_late() -> None:
    converse = b'{"contentBlockIndex":0,"delta":{"text":"Hotel Lutetia"},"p":"abcdefghijk"}'
    invoke = b'{"bytes":"eyJnZW5lcmF0aW9uIjoiUGFyaXMuIn0=","p":"abc"}'
    found = complete(NOTHING, evidence("Where?", converse, invoke))
    assert found is not None
    assert found[0].output_tokens == -(-len("Hotel LutetiaParis.") // 4)


def test_the_ratio_of_a_model_is_that_of_its_own_calls() -> None:
    estimates = Estimates()
    estimates.learn("p", "m", Usage(input_uncached_tokens=50, output_text_tokens=10), evidence("x" * 100, "y" * 50))
    found = complete(NOTHING, evidence("x" * 10, "y" * 10), estimates)
    other = estimates.complete("p", "another", "another", NOTHING, evidence("x" * 10, "y" * 10))
    assert found is not None
    assert other is not None
    assert (found[0].input_tokens, found[0].output_tokens) == (5, 2)
    assert (other[0].input_tokens, other[0].output_tokens) == (3, 3)


@pytest.mark.parametrize(
    ("usage", "seen"),
    [
        (Usage(input_uncached_tokens=900), evidence("x" * 100)),  # most of it was no text that we saw
        (Usage(input_uncached_tokens=1), evidence("x" * 100)),
        (Usage(input_uncached_tokens=50), Evidence(Texts(("x" * 100,), whole=False), ())),
        (Usage(output_text_tokens=10, reasoning_tokens=40), evidence("", "y" * 100)),
    ],
)
def test_what_was_not_seen_whole_teaches_nothing(usage: Usage, seen: Evidence) -> None:
    estimates = Estimates()
    estimates.learn("p", "m", usage, seen)
    assert complete(NOTHING, evidence("x" * 10, "y" * 10), estimates) == complete(NOTHING, evidence("x" * 10, "y" * 10))


def test_few_calls_are_lessons_and_few_models_are_remembered() -> None:
    lessons = Lessons()
    assert sum(lessons.wants("p", "m") for _ in range(328)) == 8 + 10
    assert sum(lessons.wants("p", f"m{number}") for number in range(2 * MOST_MODELS)) == MOST_MODELS - 1


# What is text


def test_a_picture_is_no_text_and_says_so() -> None:
    parts = [
        {"type": "text", "text": "What is this?"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}},
    ]
    asked = asked_texts({"messages": [{"role": "user", "content": parts}]})
    assert (asked.texts, asked.messages, asked.whole) == (("What is this?",), 1, False)


def test_what_holds_itself_is_read_to_an_end() -> None:
    """The SDK refuses it, and the application waits for us until it is told so."""
    content: list[object] = ["Hello"]
    content.append(content)
    block: dict[str, object] = {"text": "Hello"}
    block["input"] = block
    assert [asked_texts({"messages": endless}).whole for endless in (content, [block])] == [False, False]


@pytest.mark.parametrize("key", ["previous_response_id", "conversation", "cachedContent"])
def test_a_prompt_that_the_provider_keeps_in_part_is_not_whole(key: str) -> None:
    assert asked_texts({"input": "And then?", key: "resp_1"}).whole is False


def test_tools_are_read_with_their_names() -> None:
    schema = {"type": "object", "properties": {"city": {"type": "string"}}}
    tool = {"type": "function", "function": {"name": "find", "description": "Find it.", "parameters": schema}}
    found = asked_texts({"tools": [tool], "model": "m", "temperature": 1})
    assert sorted(found.texts) == ["Find it.", "city", "find", "object", "properties", "string", "type", "type"]


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"content": [{"type": "text", "text": "a"}, {"type": "tool_use", "input": {"k": 1}}]}, ["1", "a", "k"]),
        ({"output": {"message": {"role": "assistant", "content": [{"text": "a"}]}}, "stopReason": "end_turn"}, ["a"]),
        ({"results": [{"outputText": "a", "tokenCount": 3, "completionReason": "FINISH"}]}, ["a"]),
        ({"id": "x", "choices": [{"message": {"content": "a"}, "finish_reason": "stop", "logprobs": None}]}, ["a"]),
        ({"error": "no"}, []),
        ("plain text", []),
        (None, []),
    ],
)
def test_what_a_model_wrote(body: object, said: list[str]) -> None:
    assert sorted(answer_texts(body)) == said


@settings(deadline=None)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_any_request_can_be_read(value: object) -> None:
    assert asked_texts({"messages": value, "tools": value}).size >= 0
