"""Counting with the model's own vocabulary, where the extra is installed; never a reason to fail."""

from __future__ import annotations

from types import ModuleType

import pytest

from spanledger import faults, tokenizer
from spanledger.estimate import Estimates
from spanledger.evidence import Evidence
from spanledger.texts import asked_texts
from spanledger.tokenizer import count_tokens
from spanledger.usage import Usage

CORPORATE = [
    ("system", "You are a helpful, pattern-following assistant that translates corporate jargon into plain English."),
    ("system", "New synergies will help drive top-line growth."),
    ("system", "Things working well together will increase revenue."),
    (
        "system",
        "Let's circle back when we have more bandwidth to touch base on opportunities for increased leverage.",
    ),
    ("system", "Let's talk later when we're less busy about how to do better."),
    (
        "user",
        "This late pivot means we don't have time to boil the ocean for the client deliverable.",
    ),
]
"""Of OpenAI's cookbook, which states what its models report: gpt-4o 124, gpt-4 129, with four names of about 3 each."""


@pytest.fixture
def _installed() -> None:
    pytest.importorskip("bpe_openai")


@pytest.mark.usefixtures("_installed")
@pytest.mark.parametrize(
    ("model", "tokens"),
    [
        ("gpt-4o", 2),
        ("gpt-5.4-mini-2026-01-01", 2),
        ("o3-mini", 2),
        ("openai/gpt-oss-120b", 2),
        ("ft:gpt-4o-2024-08-06:acme::1", 2),
        ("gpt-4-turbo", 2),
        ("gpt-3.5-turbo", 2),
        ("text-embedding-3-small", 2),
        ("claude-haiku-4-5", None),
        ("llama-4", None),
        ("mono1", None),
    ],
)
def test_the_vocabulary_is_the_models(model: str, tokens: int | None) -> None:
    assert count_tokens(model, ["hello", " world"]) == tokens


@pytest.mark.usefixtures("_installed")
@pytest.mark.parametrize(("model", "reported"), [("gpt-4o", 124), ("gpt-4", 129)])
def test_a_chat_is_near_what_the_provider_reports(model: str, reported: int) -> None:
    asked = asked_texts({"messages": [{"role": role, "content": content} for role, content in CORPORATE]})
    found = Estimates().complete("openai", model, model, Usage(state="missing"), Evidence(asked, ("Hello", " world")))
    assert found is not None
    usage, method = found
    assert (method, usage.output_tokens) == ("tokenizer", 2)
    assert abs(usage.input_tokens + 12 - reported) <= 6


@pytest.mark.usefixtures("_installed")
@pytest.mark.parametrize("text", ["x" * 200_000, "\ud800", "<|endoftext|>", "", "Grüße " * 1000, "\0" * 100])
def test_odd_texts_are_counted_too(text: str) -> None:
    before = faults.counts()
    counted = count_tokens("gpt-4o", [text])
    assert counted is not None
    assert (counted > 0) == bool(text)
    assert faults.counts() == before


@pytest.mark.usefixtures("_installed")
def test_of_a_long_text_the_beginning_stands_for_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokenizer, "MAX_CHARACTERS", 600)
    assert count_tokens("gpt-4o", ["hello " * 10_000]) == pytest.approx(10_000, rel=0.02)


def test_without_the_extra_nothing_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokenizer, "MODULE", "not_installed")
    assert count_tokens("gpt-4o", ["hello"]) is None


def test_a_tokenizer_that_fails_is_done_without(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(name: str) -> ModuleType:
        raise OSError(f"{name} is broken")

    monkeypatch.setattr(tokenizer, "MODULE", "decimal")
    monkeypatch.setattr("importlib.import_module", broken)
    before = faults.counts()
    assert count_tokens("gpt-4o", ["hello"]) is None
    assert faults.counts() != before


def test_a_process_that_ends_while_it_loads_the_tokenizer_tells_of_no_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    def too_late(name: str) -> ModuleType:
        monkeypatch.setattr(tokenizer, "_is_ending", lambda: True)
        raise RuntimeError(f"can't load {name} after shutdown")

    tokenizer._encoding.cache_clear()
    monkeypatch.setattr(tokenizer, "MODULE", "fractions")
    monkeypatch.setattr("importlib.import_module", too_late)
    before = faults.counts()
    assert count_tokens("gpt-4o", ["hello"]) is None
    assert faults.counts() == before
