"""What the commands say about a lake before they use it: one sentence, in place of a child's last words.

A lake where nothing was collected is no error, because `up` and a first question may come in either order; but a
question to it is told so, or a wrong --lake would look like a company that spends nothing.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

import click

from spanledger.settings import user_data_dir

from .errors import FileError

HELP: Final = "Folder of the lake (SPANLEDGER_LAKE); default: spanledger/lake in the user-data folder."
HOME_HELP: Final = "Folder of the local state (SPANLEDGER_HOME); default: spanledger in the user-data folder."


def demo_folder() -> Path:
    """Return where the demo keeps its own lake and state."""
    return user_data_dir() / "spanledger" / "demo"


def check_readable(lake: Path) -> None:
    """Raise FileError if `lake` is there and is no folder."""
    if lake.exists() and not lake.is_dir():
        raise FileError(lake, "is a file; name the folder of a lake with --lake")


def make_folder(folder: Path, flag: str) -> None:
    """Make a folder that will be written to.

    Raises:
        FileError: it can't be made or written, with the flag that names another.
    """
    advice = f"; name another folder with {flag}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except FileExistsError:
        raise FileError(folder, f"is a file{advice}") from None
    except OSError as error:
        raise FileError(folder, f"can't be made: {error.strerror}{advice}") from None
    if not os.access(folder, os.W_OK | os.X_OK):
        raise FileError(folder, f"can't be written{advice}")


def say_empty(lake: Path) -> None:
    """Tell the user that a question went to a lake with nothing in it, and where there may be something."""
    demo = demo_folder() / "lake"
    other = f"; the demo's is --lake '{demo}'" if demo.is_dir() and demo != lake else ""
    click.echo(f"spanledger: nothing is collected in {lake} yet; `spanledger up` fills it{other}", err=True)
