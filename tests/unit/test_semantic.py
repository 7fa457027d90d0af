"""Prompts that mean nearly the same: what may not differ, which part of a request is compared, what is remembered."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from spanledger.guard.cache.lexical import disagreement
from spanledger.guard.cache.ngrams import DIMENSIONS, embed
from spanledger.guard.cache.rule import Semantic
from spanledger.guard.cache.semantic import Near, Prompts, split_question

EMBEDDER = "spanledger.guard.cache.ngrams:embed"


@pytest.mark.parametrize(
    ("one", "other", "told"),
    [
        ("Cancel within 14 days?", "Can I cancel within 30 days?", "numbers differ"),
        ("Give me three ideas", "Please give me some 4 ideas", "numbers differ"),
        ("It costs $500 in all", "Does it cost $5,000 in all", "numbers differ"),
        ("Is it included?", "Isn't it included at all?", "negations differ"),
        ("With sugar, please", "Without any sugar, please", "negations differ"),
        ("Open the file now", "Close this very file now", "words that turn the meaning differ"),
        ("When does the Berlin shop open?", "At what time do they open in Munich?", "names differ"),
        ("the API of the shop", "what the shop has as its SDK", "names differ"),
        ("Did Alice pay Bob?", "Did Bob pay Alice?", "the same words in another order"),
        ("Is it safe for adults?", "Is it safe for infants?", "one word differs"),
        ("Is it safe for adults?", "Please, is it safe for the adults?", None),
        ("What ways of payment do you take?", "Which ways to pay do you offer?", None),
        ("I have two cats", "I have 2 cats", None),
    ],
)
def test_the_guard_says_in_what_two_questions_may_not_differ(one: str, other: str, told: str | None) -> None:
    assert (disagreement(one, other), disagreement(other, one), disagreement(one, one)) == (told, told, None)


@pytest.mark.parametrize(
    ("body", "rest", "text"),
    [
        ({"prompt": "hi"}, {"prompt": "\0"}, "hi"),
        ({"input": "hi", "model": "m"}, {"input": "\0", "model": "m"}, "hi"),
        ({"messages": [{"role": "user", "content": "hi"}]}, {"messages": [{"role": "user", "content": "\0"}]}, "hi"),
        (
            {"messages": [{"role": "system", "content": "s"}, {"role": "user", "content": [{"text": "hi", "x": 1}]}]},
            {"messages": [{"role": "system", "content": "s"}, {"role": "user", "content": [{"text": "\0", "x": 1}]}]},
            "hi",
        ),
    ],
)
def test_the_last_thing_a_user_says_is_compared(body: Any, rest: Any, text: str) -> None:
    assert split_question(body) == (rest, text)


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"messages": []},
        {"messages": [{"role": "tool", "content": "42"}]},
        {"messages": [{"role": "user", "content": [{"type": "image"}]}]},
        {"messages": [{"role": "user", "content": [{"text": "a"}, {"text": "b"}]}]},
        {"input": ["many", "texts"]},
    ],
)
def test_what_does_not_end_with_a_users_text_is_not_compared(body: Any) -> None:
    assert split_question(body) is None


def test_the_embedder_of_ours_gives_directions() -> None:
    one = embed("How do I reset my password?")
    assert len(one) == DIMENSIONS
    assert sum(number * number for number in one) == pytest.approx(1)
    assert embed("  how do I reset my   PASSWORD? ") == one
    assert embed("") != one


def test_the_nearest_question_is_found_in_its_own_kind_of_request() -> None:
    prompts = Prompts(Semantic(EMBEDDER, Decimal("0.5")))
    asked = {"a": "How do I reset my password?", "b": "Where are my invoices?"}
    for key, text in asked.items():
        prompts.add(b"kind", prompts.vector(text), text, key.encode())
    text = "Please, how do I reset the password?"
    near = prompts.nearest(b"kind", prompts.vector(text), text)
    assert near is not None
    assert (near.key, near.refused) == (b"a", None)
    assert prompts.nearest(b"other", prompts.vector(text), text) is None
    assert prompts.nearest(b"kind", prompts.vector("Tell a joke"), "Tell a joke") is None
    number = "How do I reset my password in 3 days?"
    assert prompts.nearest(b"kind", prompts.vector(number), number) == Near(
        b"a", float(prompts.vector(number) @ prompts.vector(asked["a"])), "numbers differ"
    )


def test_the_oldest_questions_make_room() -> None:
    prompts = Prompts(Semantic(EMBEDDER, Decimal("0.99"), entries=100))
    texts = [f"question {number} of many" for number in range(250)]
    for number, text in enumerate(texts):
        prompts.add(b"kind", prompts.vector(text), text, b"%d" % number)
    found = [prompts.nearest(b"kind", prompts.vector(text), text) for text in texts]
    assert [near.key if near is not None and near.similarity > 0.9999 else None for near in found] == [
        *[None] * 150,
        *(b"%d" % number for number in range(150, 250)),
    ]
