"""Telling how far the demo is: a bar on a terminal, plain lines elsewhere; always on stderr."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn


def say(words: str) -> None:
    """Print a line of words."""
    click.echo(f"demo: {words}", err=True)


@contextmanager
def counting(what: str, total: int) -> Iterator[Callable[[int], None]]:
    """Give a function that counts things done towards `total`."""
    if not sys.stderr.isatty():
        say(f"{what} ({total:,})")
        yield lambda _count: None
        return
    columns = (TextColumn("demo: {task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task(what, total=total)
        yield lambda count: progress.advance(task, count)
