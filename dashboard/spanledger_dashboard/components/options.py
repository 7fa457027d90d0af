"""The words of the options of a box, no two alike: Streamlit sends the words back, and of equal ones takes the last.

A box is narrow and cuts what doesn't fit, so what differs stands first.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from os.path import commonprefix

from spanledger_dashboard.format import visible


def cut_apart(texts: Mapping[str, str], limit: int) -> dict[str, str]:
    """Return each option's words: its text, cut after so many characters where that leaves it unlike all others."""
    cut = {option: visible(text, limit) for option, text in texts.items()}
    alike = defaultdict[str, list[str]](list)
    for option, words in cut.items():
        alike[words].append(texts[option])
    begin = {words: _begin(several) for words, several in alike.items()}
    return unlike(cut, {option: _from(text, begin[cut[option]]) for option, text in texts.items()})


def _begin(texts: Sequence[str]) -> str:
    """Return the whole words that texts begin with."""
    return re.sub(r"\w*$", "", commonprefix(texts))  # noqa: RUF071 - these are no paths


def _from(text: str, begin: str) -> str:
    """Return a text in full, after what it has beyond what others begin with, too."""
    full, rest = visible(text, len(text)), text.removeprefix(begin)
    return f"…{visible(rest, len(rest))}  ·  {full}" if begin and rest else full


def unlike(short: Mapping[str, str], full: Mapping[str, str]) -> dict[str, str]:
    """Return each option's short words; the full ones where others have the same, with a number if they have those."""
    seen = Counter(short.values())
    told = {option: words if seen[words] == 1 else full[option] for option, words in short.items()}
    taken: set[str] = set()
    for option, words in told.items():
        number = 1
        while told[option] in taken:
            number += 1
            told[option] = f"{words} ({number})"
        taken.add(told[option])
    return told
