"""`spanledger run`: one command with tracing switched on.

It becomes the command where the system lets it, so signals, exit code and terminal are the command's own.
"""

from __future__ import annotations

import os
import subprocess
import sys

import click

from .errors import StartError


@click.command(context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@click.option("--endpoint", metavar="URL", help="Where spans go (SPANLEDGER_ENDPOINT).")
@click.argument("arguments", nargs=-1, required=True, type=click.UNPROCESSED, metavar="-- COMMAND...")
def command(endpoint: str | None, arguments: tuple[str, ...]) -> None:
    """Run COMMAND with tracing switched on; its exit code is the answer.

    \b
      spanledger run -- python app.py
      spanledger run --endpoint http://10.0.0.5:4318 -- pytest tests/agents
      SPANLEDGER_ENVIRONMENT=staging spanledger run -- python app.py

    It sets SPANLEDGER_ENABLED=1 for COMMAND and what COMMAND starts, and nothing else. The Python that runs must have
    spanledger installed; `spanledger doctor` says what is traced there. A command that can't be started is exit
    code 1.
    """
    environment = {**os.environ, "SPANLEDGER_ENABLED": "1"}
    if endpoint:
        environment["SPANLEDGER_ENDPOINT"] = endpoint
    try:
        if sys.platform == "win32":
            # exec there returns to the shell at once and leaves the command running beside it.
            sys.exit(subprocess.run(arguments, env=environment, check=False).returncode)  # noqa: S603
        os.execvpe(arguments[0], arguments, environment)  # noqa: S606
    except OSError as error:
        raise StartError(f"can't run {arguments[0]}: {error.strerror}; check its name and PATH") from error
