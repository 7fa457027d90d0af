"""Fingerprints: equal where prompts are, different where a byte is, and of bounded cost whatever is in a prompt."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import pytest
from anthropic.types import TextBlock
from hypothesis import given, settings, strategies as st

from spanledger import names
from spanledger.canonical import DATA_LIMIT, TEXT_LIMIT
from spanledger.deployment_key import DeploymentKey
from spanledger.fingerprints import FIRST_LINKS, LAST_LINKS, Fingerprints
from spanledger.prompts import WHOLE, Layout
from spanledger.record import Attributes

CHAT = Layout("messages", tools="tools")
APART = Layout("messages", "system", "tools")
RESPONSES = Layout("input", "instructions", "tools", elsewhere=("previous_response_id", "conversation"))
GEMINI = Layout("contents", "systemInstruction", "tools")
CONVERSE = Layout("messages", "system", "toolConfig")
PRINTS = Fingerprints(DeploymentKey(bytes(range(32))))
SKETCHES = Fingerprints(DeploymentKey(bytes(range(32))), sketch=True)
OTHER_KEY = Fingerprints(DeploymentKey(bytes(32)), sketch=True)

TEXT = st.text(max_size=200) | st.sampled_from(["", "é", "half a pair \ud800", "\0", "m4:usert1:x"])
JSON: Any = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=5,
)
CALLS = st.lists(
    st.fixed_dictionaries({"id": TEXT, "function": st.fixed_dictionaries({"name": TEXT, "arguments": TEXT})}),
    max_size=2,
)
BLOCKS = st.lists(
    st.builds(lambda text: {"type": "text", "text": text}, TEXT)
    | st.builds(lambda url: {"type": "image_url", "image_url": {"url": url}}, TEXT)
    | st.builds(lambda told: {"type": "tool_result", "tool_use_id": "t", "content": told}, TEXT),
    max_size=3,
)
MESSAGES: Any = st.lists(
    st.builds(lambda content: {"role": "user", "content": content}, TEXT | BLOCKS)
    | st.builds(lambda content: {"role": "assistant", "content": content}, TEXT | BLOCKS)
    | st.builds(lambda calls: {"role": "assistant", "content": None, "tool_calls": calls}, CALLS)
    | st.builds(lambda told: {"role": "tool", "tool_call_id": "c", "content": told}, TEXT)
    | st.builds(lambda content: {"role": "developer", "content": content}, TEXT),
    min_size=1,
    max_size=8,
)
TOOLS: Any = st.lists(st.fixed_dictionaries({"type": st.just("function"), "function": JSON}), max_size=3)
BODIES: Any = st.fixed_dictionaries(
    {"messages": MESSAGES},
    optional={"tools": TOOLS, "system": TEXT, "temperature": st.floats(0, 2), "max_tokens": st.integers(1, 9999)},
)


def made(body: dict[str, Any], layout: Layout = APART, prints: Fingerprints = PRINTS) -> Attributes:
    return prints.of_prompt(layout, body)


def prompt_hash(body: dict[str, Any], layout: Layout = APART) -> object:
    return made(body, layout)[names.PROMPT_HASH]


def links(found: Attributes) -> list[bytes]:
    chain = found[names.PREFIX_CHAIN]
    assert isinstance(chain, bytes)
    return [chain[place : place + 8] for place in range(0, len(chain), 8)]


def user(text: object) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": text}]}


@given(body=BODIES)
@settings(deadline=None)
def test_an_equal_prompt_has_equal_fingerprints_and_is_left_as_it_was(body: dict[str, Any]) -> None:
    before, again = copy.deepcopy(body), copy.deepcopy(body)

    found = made(body)

    assert found == made(again)
    assert str(body) == str(before)


@given(body=BODIES, more=MESSAGES)
@settings(deadline=None)
def test_a_longer_conversation_shares_the_chain_of_the_shorter(body: dict[str, Any], more: list[Any]) -> None:
    # A message of the system at the very start is part of the system prompt, before the chain of messages begins.
    body = {**body, "messages": [{"role": "user", "content": "Hello"}, *body["messages"]]}
    longer = {**body, "messages": [*body["messages"], *more]}

    short, long = links(made(body)), links(made(longer))

    assert long[: len(short)] == short
    assert len(long) == len(longer["messages"]) + 1


@given(body=BODIES, data=st.data())
@settings(deadline=None)
def test_a_message_that_differs_ends_the_shared_chain_and_changes_the_prompt(body: dict[str, Any], data: Any) -> None:
    body = {**body, "messages": [{"role": "user", "content": "Hello"}, *body["messages"]]}
    place = data.draw(st.integers(1, len(body["messages"])))
    changed = copy.deepcopy(body)
    changed["messages"].insert(place, {"role": "user", "content": "one more"})

    old, new = links(made(body)), links(made(changed))

    assert prompt_hash(body) != prompt_hash(changed)
    assert old[: place + 1] == new[: place + 1]
    assert set(old[place + 1 :]).isdisjoint(new[place + 1 :])


@given(text=st.text(min_size=1, max_size=3000), data=st.data())
@settings(deadline=None)
def test_any_character_that_changes_changes_the_prompt(text: str, data: Any) -> None:
    place = data.draw(st.integers(0, len(text) - 1))
    other = data.draw(st.characters().filter(lambda new: new != text[place]))
    changed = text[:place] + other + text[place + 1 :]

    for wrap in (user, lambda one: user([{"type": "tool_result", "content": one}])):
        assert prompt_hash(wrap(text)) != prompt_hash(wrap(changed))


@given(body=BODIES)
@settings(deadline=None)
def test_sizes_add_up_to_what_the_messages_add_up_to(body: dict[str, Any]) -> None:
    sizes = (names.SYSTEM_SIZE, names.HISTORY_SIZE, names.TOOL_RESULTS_SIZE, names.USER_SIZE)

    whole = sum(made(body).get(name, 0) for name in sizes)  # type: ignore[misc]

    alone = [{**body, "messages": [message]} for message in body["messages"]]
    without = made({"messages": [{"role": "user", "content": ""}], "system": body.get("system")})
    system = without.get(names.SYSTEM_SIZE, 0)
    parts = [sum(made(one).get(name, 0) for name in sizes) - system for one in alone]  # type: ignore[misc, operator]
    assert whole == sum(parts) + system  # type: ignore[operator]


def test_the_key_changes_every_hash() -> None:
    body = {**user("Where is the best hotel in Paris?"), "system": "Be brief.", "tools": [{"name": "search"}]}

    one, other = made(body, prints=SKETCHES), made(body, prints=OTHER_KEY)

    hashes = (names.PROMPT_HASH, names.SYSTEM_HASH, names.TOOLS_HASH, names.PREFIX_CHAIN, names.SIMHASH)
    assert {name: one[name] for name in one if name not in hashes} == {
        name: other[name] for name in other if name not in hashes
    }
    assert all(one[name] != other[name] for name in hashes)
    assert set(links(one)).isdisjoint(links(other))


def test_hashes_stay_the_same_from_release_to_release() -> None:
    body = {
        **user("Where is the best hotel in Paris?"),
        "system": "Be brief.",
        "tools": [{"name": "search", "input_schema": {"type": "object", "properties": {"near": {"maxLength": 9}}}}],
        "temperature": 0.5,
    }

    assert made(body, prints=SKETCHES) == {
        names.PROMPT_HASH: "a855cb6f67e82433",
        names.SYSTEM_HASH: "3a233898880ac245",
        names.TOOLS_HASH: "194741ba49cc407e",
        names.PREFIX_CHAIN: bytes.fromhex("7a7c9711e613aabacdf6085ecd054d55"),
        names.SIMHASH: -2863901388356791920,
        names.SYSTEM_SIZE: 9,
        names.TOOLS_SIZE: 90,
        names.TOOL_COUNT: 1,
        names.USER_SIZE: 33,
        names.MESSAGE_COUNT: 1,
        names.TURN: 1,
    }


ALIKE = [
    (user("Hi"), user([{"type": "text", "text": "Hi"}])),
    (user("Hi"), user([TextBlock(type="text", text="Hi", citations=None)])),
    (user("Hi"), user([{"type": "text", "text": "Hi", "cache_control": {"type": "ephemeral"}}])),
    (user("Hi"), user([{"text": "Hi"}, {"cachePoint": {"type": "default"}}])),
    (user("Hi"), {"messages": ({"content": "Hi", "role": "user", "name": None},)}),
    (
        {"messages": [{"role": "assistant", "content": "Yes", "refusal": None, "annotations": []}]},
        {"messages": [{"role": "assistant", "content": "Yes"}]},
    ),
    ({**user("Hi"), "system": "Be brief."}, {**user("Hi"), "system": [{"type": "text", "text": "Be brief."}]}),
    (
        {**user("Hi"), "system": "Be brief."},
        {"messages": [{"role": "developer", "content": "Be brief."}, *user("Hi")["messages"]]},
    ),
    (
        {**user("Hi"), "tools": [{"name": "search"}]},
        {**user("Hi"), "tools": ({"name": "search", "cache_control": {"type": "ephemeral"}},)},
    ),
    (
        {**user("Hi"), "model": "a", "stream": True, "metadata": {"user_id": "u-1"}},
        {**user("Hi"), "model": "b", "stream": False, "tools": []},
    ),
    ({**user("Hi"), "top_p": 1, "seed": 7}, {"seed": 7, "top_p": 1, **user("Hi")}),
]


@pytest.mark.parametrize(("one", "other"), ALIKE)
def test_what_providers_treat_alike_has_one_hash(one: dict[str, Any], other: dict[str, Any]) -> None:
    found, again = made(one), made(other)
    assert (found[names.PROMPT_HASH], found[names.PREFIX_CHAIN]) == (
        again[names.PROMPT_HASH],
        again[names.PREFIX_CHAIN],
    )


def test_one_prompt_has_one_chain_whatever_sdk_it_goes_through() -> None:
    question, answer = "Where to stay?", "At the Ritz."
    talk = [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
    parts = [{"role": "user", "parts": [{"text": question}]}, {"role": "model", "parts": [{"text": answer}]}]
    blocks = [{"role": one["role"], "content": [{"text": one["content"]}]} for one in talk]
    found = [
        made({"messages": [{"role": "system", "content": "Be brief."}, *talk]}, CHAT),
        made({"input": talk, "instructions": "Be brief."}, RESPONSES),
        made({"messages": talk, "system": "Be brief."}, APART),
        made({"contents": parts, "systemInstruction": {"role": "user", "parts": [{"text": "Be brief."}]}}, GEMINI),
        made({"messages": blocks, "system": [{"text": "Be brief."}]}, CONVERSE),
    ]

    assert len({(one[names.PROMPT_HASH], one[names.PREFIX_CHAIN], one[names.SYSTEM_HASH]) for one in found}) == 1


DIFFERENT = [
    (user("Hi"), {**user("Hi"), "temperature": 0}),
    (user("ab"), user([{"type": "text", "text": "a"}, {"type": "text", "text": "b"}])),
    (user("Hi"), {"messages": [{"role": "assistant", "content": "Hi"}]}),
    ({**user("Hi"), "system": "Hi"}, {**user("Hi"), "system": "Ho"}),
    ({**user("Hi"), "tools": [{"name": "a"}]}, {**user("Hi"), "tools": [{"name": "b"}]}),
    (user([{"image": {"source": {"bytes": b"one"}}}]), user([{"image": {"source": {"bytes": b"two"}}}])),
    (
        {"messages": [{"role": "tool", "tool_call_id": "1", "content": "x"}]},
        {"messages": [{"role": "tool", "tool_call_id": "2", "content": "x"}]},
    ),
]


@pytest.mark.parametrize(("one", "other"), DIFFERENT)
def test_what_may_be_answered_differently_has_another_hash(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert prompt_hash(one) != prompt_hash(other)


def test_a_conversation_that_the_provider_keeps_is_part_of_the_hash_and_has_no_turn() -> None:
    one, other = (made({"input": "Yes", "previous_response_id": id_}, RESPONSES) for id_ in ("resp_1", "resp_2"))

    assert set(links(one)).isdisjoint(links(other))
    assert one[names.PROMPT_HASH] != other[names.PROMPT_HASH]
    assert (one[names.MESSAGE_COUNT], names.TURN in one) == (1, False)


def test_parts_are_counted_as_new_or_as_sent_again() -> None:
    call = {"id": "c", "type": "function", "function": {"name": "search", "arguments": "{}"}}
    tools = [{"type": "function", "function": {"name": "search"}}]
    found = made(
        {
            "messages": [
                {"role": "system", "content": "Be brief."},  # 9
                {"role": "user", "content": "A hotel?"},  # 8
                {"role": "assistant", "content": "Where?"},  # 6
                {"role": "user", "content": "Zürich"},  # 7
                {"role": "assistant", "content": "One moment.", "tool_calls": [call]},
                {"role": "tool", "tool_call_id": "c", "content": "Baur au Lac"},  # 11
                {"role": "user", "content": "Thanks!"},  # 7
            ],
            "tools": tools,
        },
        CHAT,
    )
    numbers = {name: value for name, value in found.items() if isinstance(value, int)}
    history = numbers.pop(names.HISTORY_SIZE)

    assert history > 8 + 6 + 7 + 11 + len(str(call)) / 2
    assert numbers == {
        names.SYSTEM_SIZE: 9,
        names.TOOL_RESULTS_SIZE: 11,
        names.USER_SIZE: 7,
        names.TOOLS_SIZE: 50,
        names.TOOL_COUNT: 1,
        names.MESSAGE_COUNT: 7,
        names.TURN: 3,
    }


def test_results_inside_a_message_of_the_user_are_results() -> None:
    asked = {"role": "assistant", "content": [{"type": "tool_use", "id": "t", "name": "search", "input": {}}]}
    told = {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t", "content": "Baur au Lac"}]}

    found = made({"messages": [*user("A hotel?")["messages"], asked, told]})

    assert (found[names.TURN], names.USER_SIZE in found) == (1, False)
    assert 11 < found[names.TOOL_RESULTS_SIZE] < 120  # type: ignore[operator]


def test_the_beginning_of_an_answer_does_not_make_the_question_history() -> None:
    found = made({"messages": [*user("A hotel?")["messages"], {"role": "assistant", "content": "{"}]})

    assert (found[names.USER_SIZE], found[names.HISTORY_SIZE]) == (8, 1)


@pytest.mark.parametrize(
    ("layout", "body", "count"),
    [
        (CHAT, {"messages": user("Hi")["messages"], "tools": [{"type": "function"}] * 3}, 3),
        (GEMINI, {"contents": [{"parts": [{"text": "Hi"}]}], "tools": [{"functionDeclarations": [{}, {}]}, {}]}, 3),
        (CONVERSE, {**user("Hi"), "toolConfig": {"tools": [{"toolSpec": {}}, {"cachePoint": {}}]}}, 1),
    ],
)
def test_tools_are_counted_as_each_provider_lists_them(layout: Layout, body: dict[str, Any], count: int) -> None:
    assert made(body, layout)[names.TOOL_COUNT] == count


def test_of_a_long_conversation_the_first_and_the_last_links_are_kept() -> None:
    talk = [{"role": ("user", "assistant")[place % 2], "content": str(place)} for place in range(501)]

    long, longer = links(made({"messages": talk[:499]})), links(made({"messages": talk}))

    assert len(long) == len(longer) == FIRST_LINKS + LAST_LINKS
    assert long[:FIRST_LINKS] == longer[:FIRST_LINKS]
    assert long[FIRST_LINKS + 2 :] == longer[FIRST_LINKS:-2]
    assert made({"messages": talk})[names.TURN] == 251


@pytest.mark.parametrize(
    "wrap",
    [
        lambda data: {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{data}"}},
        lambda data: {"image": {"format": "png", "source": {"bytes": data.encode()}}},
    ],
)
def test_a_picture_is_read_in_samples_and_counts_in_full(wrap: Any) -> None:
    picture = "iVBORw0KGgo" * 300_000
    found = made(user([wrap(picture)]))

    assert found[names.USER_SIZE] > len(picture)  # type: ignore[operator]
    for other in ("j" + picture[1:], picture[:-1] + "p", picture + "A", picture[: len(picture) // 2] + picture[::-1]):
        assert made(user([wrap(other)]))[names.PROMPT_HASH] != found[names.PROMPT_HASH]


def test_text_is_read_whole_up_to_its_limit_and_beyond_it_in_samples() -> None:
    word = "wörd "
    short, long = word * (TEXT_LIMIT // 6), word * (TEXT_LIMIT // 2)
    place = len(short) // 2 + 1

    assert prompt_hash(user(short)) != prompt_hash(user(short[:place] + "W" + short[place + 1 :]))
    assert prompt_hash(user(long)) != prompt_hash(user(long[:-1]))
    size = made(user(long))[names.USER_SIZE]
    assert isinstance(size, int)
    assert abs(size - len(long.encode())) < len(long) / 100
    document = {"type": "tool_result", "content": word * DATA_LIMIT}
    changed = {"type": "tool_result", "content": document["content"].replace(word, "Wörd ", 1)}
    assert prompt_hash(user([document])) != prompt_hash(user([changed]))


class Consumed:
    def __iter__(self) -> Iterator[object]:
        raise AssertionError("this can be read only once, and it is not ours")


@pytest.mark.parametrize(
    "messages",
    [
        None,
        [],
        "Hi",
        7,
        Consumed(),
        ["Hi", "Ho"],
        [1, 2, 3],
        [[1, 2], [3]],
        [{}],
        [{"role": "user"}],
        [{"role": 7, "content": 8}],
        [{"role": "user", "content": [None, 1, b"x", float("nan"), "text", object(), {1: 2, "a": {3: 4}}]}],
        [{"role": "user", "content": Consumed()}],
        [{"role": "user", "content": {"type": "text", "text": ["no text"]}}],
        [{"type": "function_call_output", "call_id": "c", "output": [{"type": "input_image", "image_url": "x"}]}],
        [{"type": "item_reference", "id": "rs_1"}, "Hi", None],
    ],
)
def test_an_odd_list_of_messages_has_a_hash_too(messages: object) -> None:
    body = {"messages": messages, "seed": 1}
    assert prompt_hash(body) == prompt_hash(dict(body)) != prompt_hash({**body, "seed": 2})


def test_embeddings_are_hashed_whole_whatever_is_embedded() -> None:
    inputs: list[object] = ["Paris", ["Paris"], ["Paris", "Rome"], [1, 2], [[1, 2], [3]]]

    found = [made({"input": one, "model": "e"}, WHOLE) for one in inputs]

    assert len({str(one) for one in found}) == len(inputs)
    assert {tuple(one) for one in found} == {(names.PROMPT_HASH,)}


def test_texts_that_share_most_words_have_similar_sketches() -> None:
    def sketch(text: str) -> int:
        found = SKETCHES.of_prompt(APART, user(text))[names.SIMHASH]
        assert isinstance(found, int)
        assert -(2**63) <= found < 2**63
        return found

    text = (
        "The hotel in the middle of the old town has forty rooms, a garden, and a view of the river and the hills. " * 2
    )
    similar = text.replace("forty", "fifty")
    other = "Please write a function that sorts a list of numbers in place, without any library, and explain each step."

    near, far = (sketch(text) ^ sketch(one) for one in (similar, other))
    assert (near & (2**64 - 1)).bit_count() < 16 < (far & (2**64 - 1)).bit_count()
    assert sketch(text) == sketch(text.upper())
    assert names.SIMHASH not in SKETCHES.of_prompt(APART, user("..."))
    assert names.SIMHASH not in PRINTS.of_prompt(APART, user(text))
