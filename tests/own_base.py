"""A base of the user's own, for tests: the shipped one, where GPT-4 Turbo costs half and a line more may stand."""

from __future__ import annotations

from pathlib import Path

from spanledger.base_file import FORMAT, Header, write_base
from spanledger.book import BASE, shipped_text

_TURBO = '{"input_tokens":10000000000000,"output_tokens":30000000000000}'
_HALF = '{"input_tokens":5000000000000,"output_tokens":15000000000000}'


def half_turbo() -> str:
    """Return the lines below the header."""
    lines = shipped_text(BASE).partition("\n")[2].splitlines(keepends=True)
    (turbo,) = (line for line in lines if line.startswith('{"model":"gpt-4-turbo",'))
    assert _TURBO in turbo
    return "".join(line.replace(_TURBO, _HALF) if line == turbo else line for line in lines)


def write_half_turbo(path: Path, release: str = "0.9.1", *, forced: bool = False) -> None:
    """Write it as `spanledger prices update` would."""
    write_base(path, Header(f"genai-prices {release}", FORMAT, forced=forced), half_turbo())
