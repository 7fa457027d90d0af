"""A judge of dead letters that dies of one of them, as the converter does of what is here for that reason."""

from __future__ import annotations

import os

from spanledger_collector.dead import Letter
from spanledger_collector.replay import Verdict, judge_letter


def fragile(letter: Letter) -> Verdict:
    """Judge, but die of the letter `poison`."""
    if letter.name == "poison":
        os.abort()
    return judge_letter(letter)
