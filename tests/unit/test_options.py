"""The words of a box's options: Streamlit tells options by them."""

from __future__ import annotations

import pytest

from spanledger_dashboard.components.options import cut_apart, unlike


@pytest.mark.parametrize(
    ("texts", "words"),
    [
        ({"a": "search", "b": "support team"}, {"a": "search", "b": "suppor…"}),
        (
            {"a": "support 1", "b": "support 2", "c": "supply side"},
            {"a": "…1  ·  support 1", "b": "…2  ·  support 2", "c": "supply…"},
        ),
        ({"": "(none)", "(none)": "(none)", "x": "(none) (2)"}, {"": "(none)", "(none)": "(none) (2)", "x": "(none)…"}),
        (
            {"a": "to pay now", "b": "to pay now or later"},
            {"a": "…now  ·  to pay now", "b": "…now or later  ·  to pay now or later"},
        ),
        ({"a": "longest word", "b": "longest-day"}, {"a": "longest word", "b": "longest-day"}),
        ({"a": "a\u200b", "b": "a\\u200b"}, {"a": "a\\u200b", "b": "a\\u200b (2)"}),
    ],
)
def test_a_text_is_cut_where_that_leaves_it_unlike_all_others(texts: dict[str, str], words: dict[str, str]) -> None:
    assert cut_apart(texts, 7) == words


def test_words_that_are_numbered_are_not_those_of_another_option() -> None:
    short = {"1": "a", "2": "a", "3": "a (2)"}
    assert unlike(short, short) == {"1": "a", "2": "a (2)", "3": "a (2) (2)"}
