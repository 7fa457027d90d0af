"""How far a long command is: a bar on a terminal, and a line now and then elsewhere; always on stderr."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

import click

_EVERY_S: Final = 10.0


def say(words: str) -> None:
    """Print a line of words."""
    click.echo(f"spanledger: {words}", err=True)


@contextmanager
def counting(what: str, total: int | None) -> Iterator[Callable[[int], None]]:
    """Give a function that counts things done towards `total` (None: nobody knows how many)."""
    if not sys.stderr.isatty():
        with _lines(what, total) as advance:
            yield advance
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(what, total=total)
        yield lambda count: progress.advance(task, count)


@contextmanager
def _lines(what: str, total: int | None) -> Iterator[Callable[[int], None]]:
    done, said_at = 0, time.monotonic()

    def advance(count: int) -> None:
        nonlocal done, said_at
        done += count
        if time.monotonic() - said_at > _EVERY_S:
            said_at = time.monotonic()
            say(f"{done:,} {'' if total is None else f'of {total:,} '}{what}")

    yield advance
