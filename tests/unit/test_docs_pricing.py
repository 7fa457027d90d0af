"""The worked example of docs/pricing.md is what the command prints, and its figures are those of the fixture."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

from click.testing import CliRunner

from golden import GOLDEN
from spanledger_cli import cli

PAGE = (Path(__file__).parents[2] / "docs/pricing.md").read_text("utf-8")


def test_the_worked_example_is_what_the_command_prints(tmp_path: Path) -> None:
    found = re.search(r"^    \$ spanledger (.*?[^\\])\n((?:    [^\n]*\n)+)", PAGE, re.DOTALL | re.MULTILINE)
    assert found is not None
    command, shown = found.groups()

    result = CliRunner(env={"SPANLEDGER_HOME": str(tmp_path)}).invoke(cli, shlex.split(command.replace("\\\n", " ")))

    assert result.stdout.splitlines() == [line.removeprefix("    ") for line in shown.splitlines()]


def test_its_cost_was_worked_out_by_hand_too() -> None:
    (golden,) = (one for one in GOLDEN if one.what == "Bedrock: Claude Sonnet 4.5, regional profile, cached")

    assert golden.terms == "3*3.3 + 25*4.125 + 13216*0.33 + 12*16.5"
    assert f"${golden.cost_usd}" in PAGE


def test_it_says_how_many_sums_there_are() -> None:
    assert f"has {len(GOLDEN)} such sums" in PAGE
