"""The lexical guard: what may never differ between two prompts that are to have one answer, however alike they look.

Embeddings put "before" next to "after" and 3 next to 4, so two prompts have to agree on numbers, on words that turn a
sentence round, and on names; and what differs in one word only, or has the same words in another order, is refused.
English only: in other languages numbers and names still count.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import Final

_WORD: Final = re.compile(r"\d+(?:[.,:/-]\d+)*%?|[^\W\d_]+(?:['\u2019][^\W\d_]+)?|[€$£¥]")
_SENTENCE_END: Final = re.compile(r"[.!?:\n]\s*$")
_COUNTED: Final = """
zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen
nineteen twenty
"""
_NUMBERS: Final = {word: str(number) for number, word in enumerate(_COUNTED.split())} | {
    "once": "1",
    "twice": "2",
    "half": "1/2",
    "first": "1st",
    "second": "2nd",
    "third": "3rd",
    "last": "-1st",
}
_NEGATING: Final = """
not no never none neither nor nothing nobody without cannot except unless hardly refuse stop avoid lack
"""
_NEGATIONS: Final = frozenset(_NEGATING.split())
_TURNING: Final = """
before after above below over under up down off open close opened closed start end begin finish buy sell increase
decrease raise lower more less most least higher highest lowest maximum minimum max min enable disable allow deny accept
reject add remove include exclude encrypt decrypt encode decode import export upload download send receive incoming
outgoing from to left right north south east west early late earliest latest newest oldest new old cheap expensive
cheapest fast slow hot cold true false yes always best worst good bad big small large public private internal external
inside outside plus minus push pull lock unlock login logout yesterday today tomorrow daily weekly monthly yearly day
week month year hour minute morning evening am pm male female mother father husband wife
"""
_TURNS: Final = frozenset(_TURNING.split())
_EMPTY: Final = "a an the of is are was were be to do does did please can could would will i me my we our"
_SMALL: Final = frozenset(_EMPTY.split())


def disagreement(one: str, other: str) -> str | None:
    """Say in what two prompts differ that may not differ; None where they may have one answer."""
    first, second = _WORD.findall(one), _WORD.findall(other)
    for words, what in ((_numbers, "numbers"), (_negations, "negations"), (_turns, "words that turn the meaning")):
        if words(first) != words(second):
            return f"{what} differ"
    if _names(one) != _names(other):
        return "names differ"
    low, other_low = _lowered(first), _lowered(second)
    if low != other_low and Counter(low) == Counter(other_low):
        return "the same words in another order"
    return "one word differs" if _is_substitution(low, other_low) else None


def _numbers(words: list[str]) -> Counter[str]:
    found = (_NUMBERS.get(word.lower(), word) for word in words)
    return Counter(word for word in found if word[-1] in "€$£¥%" or any(letter.isdigit() for letter in word))


def _negations(words: list[str]) -> int:
    low = (word.lower().replace("\u2019", "'") for word in words)
    return sum(word in _NEGATIONS or word.endswith("n't") for word in low)


def _turns(words: list[str]) -> set[str]:
    # "to" and "from" only count as a pair: "how to" says nothing.
    found = {word.lower() for word in words} & _TURNS
    return found if {"to", "from"} <= found else found - {"to"}


def _names(text: str) -> set[str]:
    """Return words in capitals that no beginning of a sentence explains."""
    return {
        word[0].lower()
        for word in _WORD.finditer(text)
        if word[0][0].isupper()
        and word[0] != "I"
        and (word[0].isupper() or (word.start() > 0 and not _SENTENCE_END.search(text[: word.start()])))
    }


def _lowered(words: list[str]) -> list[str]:
    return [_NUMBERS.get(low, low) for word in words if (low := word.lower()) not in _SMALL]


def _is_substitution(one: list[str], other: list[str]) -> bool:
    if len(one) != len(other):
        return False
    return sum(left != right for left, right in zip(one, other, strict=True)) == 1
