"""A made-up company's calls of two weeks, few enough to add up by hand; the tests of reports do.

Dollars: gpt-5 takes 1.25 a million input tokens, 0.125 from the cache and 10 of output, so 800k in is $1 and 100k out
is $1. claude-opus-4-5 takes 5, 0.50, 6.25 to write the cache and 25: 200k in is $1, 40k out is $1. gpt-5-mini takes
0.25 and 2: 4M in is $1, 500k out is $1. `local` has no price. A dash is nothing said. The days are November 2026, UTC,
from Monday the 2nd on; the clock is the start of the call. Numbers of tokens are thousands.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from ledger_rows import Row, call, make_lake, outcome
from spanledger_analytics.connection import Ledger
from spanledger_analytics.scope import EVERYTHING

CALLS: Final = """
day clock trace user team    customer feature session model           in   read write out  usd   more
 2  09:00     1 ann  search  acme     find    s1      gpt-5          800     0     0  100  2.00
 2  09:01     1 ann  search  acme     find    s1      gpt-5          800   800     0  100  2.10
 2  10:00     2 bob  search  acme     find    s2      gpt-5          800     0     0    0  1.00  error
 2  10:02     3 bob  search  acme     find    s2      gpt-5          800     0     0  100  2.00
 2  14:00     4 cat  support beta     answer  s3      gpt-5-mini    4000     0     0  500  2.00
 3  09:00     5 ann  search  acme     find    s4      gpt-5          800     0     0  100  2.00
 3  11:00     6 cat  support beta     answer  s5      gpt-5-mini    4000     0     0  500  2.00
 3  11:05     7 cat  support beta     answer  s5      local         1000     0     0  100  -
 4  09:30     8 dan  -       -        -       -       gpt-5          800     0     0  100  2.00
 5  16:00     9 ann  search  acme     find    s6      gpt-5         1600     0     0  200  4.00
 9  09:00    10 ann  search  acme     find    s7      gpt-5          800     0     0  200  3.00
 9  09:10    11 eve  growth  beta     draft   s8      claude-opus-4-5  0     0   400   40  3.50
 9  09:20    11 eve  growth  beta     draft   s8      claude-opus-4-5  0   400     0   40  1.20
 9  14:00    12 cat  support beta     answer  s9      gpt-5-mini    4000     0     0 1000  3.00
10  08:00    13 bob  search  acme     find    s10     gpt-5         1600     0     0    0  2.00  guess
10  12:00    14 eve  growth  beta     draft   s11     claude-opus-4-5 200    0     0   80  3.00
11  23:30    15 dan  -       -        -       -       gpt-5          800     0     0    0  1.00
12  10:00    16 eve  growth  beta     draft   s12     claude-opus-4-5 400    0     0  160  6.00
"""
"""`error` is a call that failed and was paid; the tokens of `guess` were estimated."""
OUTCOMES: Final = """
day clock trace session success
 2  12:00     - s1      yes
 3  12:00     - s2      yes
 2  15:00     - s3      no
 3  12:00     - s4      yes
 5  18:00     - s6      no
 9  10:00     - s8      yes
"""
"""How sessions ended, and when that was said."""
_KINDS: Final[dict[str, Row]] = {"error": {"status": "error"}, "guess": {"usage_state": "estimated"}}
_FIRST_OUTCOME: Final = 1000


def small_ledger(folder: Path) -> Ledger:
    """Write the calls and outcomes to a lake, and open it."""
    return Ledger(make_lake(folder, [*map(_call, table(CALLS)), *map(_outcome, table(OUTCOMES))]), EVERYTHING)


def table(text: str) -> list[dict[str, str]]:
    """Return the lines of a table, each with its number."""
    head, *lines = text.split("\n")[1:-1]
    return [
        dict(zip([*head.split(), "number"], [*_padded(line, head), str(number)], strict=True))
        for number, line in enumerate(lines)
    ]


def _padded(line: str, head: str) -> list[str]:
    cells = line.split()
    return cells + [""] * (len(head.split()) - len(cells))


def _call(said: dict[str, str]) -> Row:
    counts = {name: int(said[name]) * 1000 for name in ("in", "read", "write", "out")}
    tags: Row = {f"{name}_id": _told(said[name]) for name in ("user", "team", "customer", "session")}
    return (
        call(
            int(said["trace"]),
            int(said["number"]),
            _moment(said),
            said["model"],
            counts["in"],
            counts["out"],
            cache_read=counts["read"],
            cache_write=counts["write"],
        )
        | tags
        | {"feature": _told(said["feature"])}
        | _KINDS.get(said["more"], {})
    )


def _outcome(said: dict[str, str]) -> Row:
    number = _FIRST_OUTCOME + int(said["number"])
    return outcome(number, 1, _moment(said), success=said["success"] == "yes", session_id=_told(said["session"]))


def _told(cell: str) -> str | None:
    return None if cell == "-" else cell


def _moment(said: dict[str, str]) -> datetime:
    hour, minute = map(int, said["clock"].split(":"))
    return datetime(2026, 11, int(said["day"]), hour, minute, tzinfo=UTC)
