"""The command line explains itself: help that fits a terminal, and sentences where something is missing."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from spanledger_cli import COMMANDS, EXTRAS

BARE = ("run", "outcome", "price", "prices", "contract", "doctor")


def run(*arguments: str, hidden: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    """Run the command line in a Python that lacks the packages `hidden`."""
    code = f"import sys; sys.modules.update(dict.fromkeys({hidden!r})); from spanledger_cli import main; main()"
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "COLUMNS": "80"},
    )


@pytest.mark.parametrize("command", COMMANDS)
def test_help_fits_a_terminal_and_has_an_example(command: str) -> None:
    done = run(command, "--help")
    assert done.returncode == 0
    assert [line for line in done.stdout.splitlines() if len(line) > 80] == []
    assert f"\n    spanledger {command}" in done.stdout


def test_the_overview_names_every_command() -> None:
    done = run("--help")
    assert [name for name in COMMANDS if f"\n  {name} " not in done.stdout] == []


@pytest.mark.parametrize("command", [name for name in COMMANDS if name not in BARE])
def test_a_bare_install_says_which_extra_a_command_needs(command: str) -> None:
    everything = tuple({module for modules in EXTRAS.values() for module in modules})
    done = run(command, hidden=everything)
    extra = COMMANDS[command].extra
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"spanledger: `spanledger {command}` needs ")
    assert done.stderr.endswith(f"install it with: pip install 'spanledger[{extra}]'\n")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("command", BARE)
def test_a_bare_install_has_the_commands_of_an_application(command: str) -> None:
    everything = tuple({module for modules in EXTRAS.values() for module in modules})
    assert run(command, "--help", hidden=everything).returncode == 0


def test_an_unknown_command_is_a_usage_error() -> None:
    done = run("bill")
    assert (done.returncode, done.stdout) == (2, "")
    assert "No such command 'bill'" in done.stderr


@pytest.mark.parametrize("command", ["up", "collect", "demo"])
def test_a_port_that_cannot_be_is_a_usage_error(command: str) -> None:
    done = run(command, "--http-port", "99999")
    assert (done.returncode, done.stdout) == (2, "")
    assert "99999 is not in the range 0<=x<=65535" in done.stderr
