"""Errors of the command line.

spanledger.errors.SpanledgerError
├── MissingExtraError   a command needs packages that the bare install doesn't bring
├── FileError           a file or folder can't be used
└── StartError          a program can't be started
"""

from __future__ import annotations

from pathlib import Path

from spanledger.errors import SpanledgerError


class MissingExtraError(SpanledgerError):
    """A command needs packages that the bare install doesn't bring."""

    def __init__(self, command: str, module: str, extra: str) -> None:
        self.command = command
        self.module = module
        self.extra = extra
        super().__init__(
            f"`spanledger {command}` needs {module}, which is not installed here; install it with: "
            f"pip install 'spanledger[{extra}]'"
        )


class FileError(SpanledgerError):
    """A file or folder can't be used."""

    def __init__(self, path: Path, advice: str) -> None:
        self.path = path
        self.advice = advice
        super().__init__(f"{path} {advice}")


class StartError(SpanledgerError):
    """A program can't be started."""
