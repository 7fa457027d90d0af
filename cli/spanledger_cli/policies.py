"""What the commands over a policy share: where it is, its store, and what they are asked about."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Final, NamedTuple

import click
import pyarrow as pa

from spanledger.guard import policy_path
from spanledger.guard.policy import WIRE_NAMES, Policy
from spanledger.guard.policy_file import read_policy
from spanledger.guard.store import Store
from spanledger.lake_path import LakePath
from spanledger.names import TAG_PREFIX
from spanledger.settings import Settings, load

from . import lakes
from .answer import write
from .errors import FileError
from .policy_store import shared_store
from .progress import say

FORMATS: Final = ("table", "csv", "json")
HOME: Final = click.option("--home", type=click.Path(path_type=Path), help=lakes.HOME_HELP)
LAKE: Final = click.option("--lake", type=lakes.LAKE, help=lakes.HELP)
POLICY: Final = click.option(
    "--policy",
    type=click.Path(path_type=Path),
    help="File of rules (SPANLEDGER_POLICY); default: policy.toml in the home folder.",
)
FORM: Final = click.option("--format", "form", type=click.Choice(FORMATS), default="table", show_default=True)
_ONE_PROCESS: Final = (
    'accounts of store = "memory" are inside the application, each process with its own, where nobody else sees them; '
    'with store = "sqlite" they can be shown, and `spanledger budget history` tells what the lake has'
)


class Cell(NamedTuple):
    """A value as programs get it, and as people read it."""

    exact: object
    shown: str
    right: bool = False


def load_policy(home: Path | None, policy: Path | None, lake: LakePath | None = None) -> tuple[Settings, Policy]:
    """Read the settings and the policy that they name.

    Raises:
        FileError: there is none.
        PolicyError: it can't be used.
    """
    settings = load(home=home, lake=lake, policy=None if policy is None else str(policy))
    path = policy_path(settings)
    if path is None or not path.exists():
        path = path or settings.home / "policy.toml"
        raise FileError(path, "isn't there, so nothing is held up; `spanledger policy init` writes one to begin with")
    return settings, read_policy(path, settings)


def accounts_of(settings: Settings, policy: Policy) -> AbstractContextManager[Store]:
    """Open the store of a policy, where others than the application can; raises as `shared_store`."""
    return shared_store("budget", settings, policy, _ONE_PROCESS)


def parse_values(words: Sequence[str]) -> dict[str, str]:
    """Read `user_id=ann,model=gpt-4o`, in one word or several.

    Raises:
        click.UsageError: it is not written so.
    """
    found = {}
    for part in (part for word in words for part in word.split(",")):
        key, equals, value = part.strip().partition("=")
        if not equals or not key or not value:
            raise click.UsageError(f"{part!r} is no tag and value; write user_id=ann, several with commas between")
        found[key] = value
    return found


def by_wire(values: Mapping[str, str]) -> dict[str, str]:
    """Return values by the names that rules look them up by."""
    return {WIRE_NAMES.get(key) or TAG_PREFIX + key: value for key, value in values.items()}


def print_rows(names: Sequence[str], rows: Sequence[Sequence[Cell]], form: str) -> None:
    """Write rows: as people read them, lined up and without columns that say nothing, or exactly."""
    if form == "table":
        columns = [_aligned([row[place] for row in rows]) for place in range(len(names))]
        told = {
            name: column for name, column in zip(names, columns, strict=True) if not rows or any(map(str.strip, column))
        }
        found = pa.table({name: pa.array(column, pa.string()) for name, column in told.items()})
    else:
        exact = [[row[place].exact for row in rows] for place in range(len(names))]
        found = pa.table(dict(zip(names, map(pa.array, exact), strict=True)))
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    if words := write(found, form, sys.stdout.buffer, width):
        say(words)


def _aligned(cells: Sequence[Cell]) -> list[str]:
    width = max((len(cell.shown) for cell in cells), default=0)
    return [cell.shown.rjust(width) if cell.right else cell.shown for cell in cells]
