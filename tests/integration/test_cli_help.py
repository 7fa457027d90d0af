"""The command line explains itself: help that fits a terminal, and sentences where something is missing.

Commands of one kind are run one after the other in one process: what they import is gone or there for all of them.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import click
import pytest

from spanledger_cli import COMMANDS, EXTRAS, cli

BARE = ("run", "drain", "outcome", "price", "prices", "contract", "doctor", "breaker")
EVERYTHING = tuple({module for modules in EXTRAS.values() for module in modules})
SAY = """
import contextlib, io, json, sys

hidden, lines = json.loads(sys.argv[1])
sys.modules.update(dict.fromkeys(hidden))
from spanledger_cli import main

for sys.argv[1:] in lines:
    code, out, err = 0, io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            main()
        except SystemExit as end:
            code = end.code or 0
    print(json.dumps([code, out.getvalue(), err.getvalue()]))
"""


@dataclass(frozen=True, slots=True)
class Said:
    """How a command ended."""

    code: int
    out: str
    err: str


def run(lines: Iterable[list[str]], hidden: tuple[str, ...] = ()) -> list[Said]:
    """Run command lines in a Python that lacks the packages `hidden`."""
    done = subprocess.run(
        [sys.executable, "-c", SAY, json.dumps([hidden, [*lines]])],
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, "COLUMNS": "80"},
    )
    assert done.returncode == 0, done.stderr
    return [Said(*json.loads(line)) for line in done.stdout.splitlines()]


def below(command: click.Command, path: list[str]) -> Iterator[list[str]]:
    """Yield the words of a command and of all below it."""
    yield path
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            found = command.get_command(context, name)
            assert found is not None
            yield from below(found, [*path, name])


@pytest.fixture(scope="module")
def helps() -> dict[str, Said]:
    """What each command says of itself."""
    lines = [path for path in below(cli, []) if path]
    return dict(zip(map(" ".join, lines), run([*path, "--help"] for path in lines), strict=True))


@pytest.fixture(scope="module")
def bare() -> dict[str, Said]:
    """What each command says where nothing but the bare install is there; those that have it say it of themselves."""
    lines = ([command, *(["--help"] if command in BARE else [])] for command in COMMANDS)
    return dict(zip(COMMANDS, run(lines, EVERYTHING), strict=True))


@pytest.mark.parametrize("command", COMMANDS)
def test_help_has_an_example(command: str, helps: dict[str, Said]) -> None:
    assert {done.code for done in helps.values()} == {0}
    assert f"\n    spanledger {command}" in helps[command].out


def test_help_of_every_command_and_what_is_below_it_fits_a_terminal(helps: dict[str, Said]) -> None:
    assert len(helps) > 50
    wide = {name: [line for line in done.out.splitlines() if len(line) > 80] for name, done in helps.items()}
    assert {name: lines for name, lines in wide.items() if lines} == {}


def test_the_overview_names_every_command() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "spanledger_cli", "--help"], capture_output=True, text=True, timeout=300
    )
    assert [name for name in COMMANDS if f"\n  {name} " not in done.stdout] == []


@pytest.mark.parametrize("command", [name for name in COMMANDS if name not in BARE])
def test_a_bare_install_says_which_extra_a_command_needs(command: str, bare: dict[str, Said]) -> None:
    done = bare[command]
    extra = COMMANDS[command].extra
    assert (done.code, done.out) == (1, "")
    assert done.err.startswith(f"spanledger: `spanledger {command}` needs ")
    assert done.err.endswith(f"install it with: pip install 'spanledger[{extra}]'\n")
    assert done.err.count("\n") == 1


@pytest.mark.parametrize("command", BARE)
def test_a_bare_install_has_the_commands_of_an_application(command: str, bare: dict[str, Said]) -> None:
    assert bare[command].code == 0


def test_what_cannot_be_is_a_usage_error() -> None:
    wrong_port = "99999 is not in the range 0<=x<=65535"
    whole = {
        ("bill",): "No such command 'bill'",
        ("up", "--http-port", "99999"): wrong_port,
        ("collect", "--http-port", "99999"): wrong_port,
        ("demo", "--http-port", "99999"): wrong_port,
    }
    for words, done in zip(whole.values(), run(map(list, whole)), strict=True):
        assert (done.code, done.out) == (2, "")
        assert words in done.err
