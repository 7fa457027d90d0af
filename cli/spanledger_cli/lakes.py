"""What the commands say about a lake before they use it: one sentence, in place of a child's last words.

A lake where nothing was collected is no error, because `up` and a first question may come in either order; but a
question to it is told so, or a wrong --lake would look like a company that spends nothing.
"""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path
from typing import Final

import click

from spanledger.lake_path import LakePath, StorePath, lake_path
from spanledger.settings import user_data_dir

from .errors import FileError, MissingExtraError

HELP: Final = (
    "Folder of the lake, or s3://bucket/prefix (SPANLEDGER_LAKE); default: spanledger/lake in the user-data folder."
)
HOME_HELP: Final = "Folder of the local state (SPANLEDGER_HOME); default: spanledger in the user-data folder."


def demo_folder() -> Path:
    """Return where the demo keeps its own lake and state."""
    return user_data_dir() / "spanledger" / "demo"


class _Lake(click.Path):
    """A folder, or an address in a store."""

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> LakePath:
        """Return where it says that a lake is."""
        return lake_path(str(super().convert(str(value), param, ctx)))


LAKE: Final = _Lake()


def check_readable(lake: LakePath) -> None:
    """Look whether a lake can be read, where it is there.

    Raises:
        FileError: it is a file.
        LakeError: its store can't be reached, or doesn't let us.
    """
    if isinstance(lake, StorePath):
        if importlib.util.find_spec("fsspec") is None:
            raise MissingExtraError(f"... --lake {lake}", "fsspec", "s3")
        from spanledger_collector.store import store

        store().check(lake)
    elif lake.exists() and not lake.is_dir():
        raise FileError(lake, "is a file; name the folder of a lake with --lake")


def make_ready(lake: LakePath) -> None:
    """Make the folder of a lake that will be written to, or see that its store can be used.

    A store that is away is no reason not to begin: what comes waits in the log until it is back.

    Raises:
        FileError: it can't be made or written.
        LakeError: the store has no such bucket, or doesn't let us.
    """
    if isinstance(lake, Path):
        make_folder(lake, "--lake")
        return
    from spanledger_collector.errors import StoreAwayError

    try:
        check_readable(lake)
    except StoreAwayError as error:
        click.echo(f"spanledger: {error}; what comes waits in the home folder", err=True)


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


def say_empty(lake: LakePath) -> None:
    """Tell the user that a question went to a lake with nothing in it, and where there may be something."""
    demo = demo_folder() / "lake"
    other = f"; the demo's is --lake '{demo}'" if demo.is_dir() and demo != lake else ""
    click.echo(f"spanledger: nothing is collected in {lake} yet; `spanledger up` fills it{other}", err=True)
