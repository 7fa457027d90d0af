"""`spanledger dead`: what could not become rows; looking at it, and sending it again."""

from __future__ import annotations

import json
import shutil
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from spanledger.lake_path import LakePath
from spanledger.settings import load

from . import lakes
from .errors import FileError
from .progress import counting, say

if TYPE_CHECKING:
    import pyarrow as pa

    from spanledger_collector.dead import Letter

FORMATS: Final = ("table", "csv", "json")


def _choosing(function: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options that choose letters."""
    for option in (
        click.option("--home", type=click.Path(path_type=Path), help=lakes.HOME_HELP),
        click.option("--reason", default="", help="Only those whose reason has these words."),
        click.option("--name", default="*", help="Only those whose name fits this pattern (* and ?)."),
    ):
        function = option(function)
    return function


@click.group("dead")
def command() -> None:
    """Look at what could not become rows, and send it again.

    What can't be converted goes whole into the folder dead/ of the home, with the reason beside it, and holds nothing
    else up. It is never deleted by itself: what lies there was acknowledged.

    \b
    Examples:
      spanledger dead list
      spanledger dead show 1f0c9d8e-0000000012-0000
      spanledger dead replay --reason 'a day ahead' --dry-run
      spanledger dead replay
    """


@command.command("list")
@_choosing
@click.option("--format", "form", type=click.Choice(FORMATS), default="table", show_default=True)
def list_(name: str, reason: str, home: Path | None, form: str) -> None:
    """List dead letters: name, when, signal, reason, items (spans, log records or metrics) and bytes.

    \b
      spanledger dead list
      spanledger dead list --reason 'days ago' --format csv
      spanledger dead list --format json | jq -r '.[].reason' | sort | uniq -c

    Totals by reason go to stderr.
    """
    from spanledger_collector.dead import dead_dir, letters

    from .answer import write

    folder = dead_dir(load(home=home).home)
    found = list(letters(folder, name, reason))
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    words = write(_table(found), form, sys.stdout.buffer, width)
    if words:
        say(words)
    items, size = Counter[str](), Counter[str]()
    for letter in found:
        items[letter.reason] += letter.items
        size[letter.reason] += letter.size
    say(f"{len(found)} dead letters, {items.total():,} items, {size.total():,} bytes in {folder}")
    for reason_found, count in items.most_common():
        say(f"  {count:,} items, {size[reason_found]:,} bytes: {reason_found}")


def _table(found: Sequence[Letter]) -> pa.Table:
    import pyarrow as pa

    return pa.table(
        {
            "name": pa.array([letter.name for letter in found], pa.string()),
            "when": pa.array([letter.buried_at for letter in found], pa.timestamp("us", tz="UTC")),
            "signal": pa.array([letter.signal for letter in found], pa.string()),
            "reason": pa.array([letter.reason for letter in found], pa.string()),
            "items": pa.array([letter.items for letter in found], pa.int64()),
            "bytes": pa.array([letter.size for letter in found], pa.int64()),
        }
    )


@command.command("show")
@click.argument("name")
@click.option("--home", type=click.Path(path_type=Path), help=lakes.HOME_HELP)
@click.option("--most", default=10, show_default=True, type=click.IntRange(1), help="Spans (or other items) shown.")
def show(name: str, home: Path | None, most: int) -> None:
    """Show one dead letter as JSON: its reason, and what is in it as OTLP's JSON has it.

    \b
      spanledger dead show 1f0c9d8e-0000000012-0000
      spanledger dead show 1f0c9d8e-0000000012-0000 | jq .body

    NAME may be a pattern (* and ?), of which the first is shown. Of bytes that can't be read, the first 256 are
    shown in hex.
    """
    from spanledger_collector.bodies import first_items
    from spanledger_collector.dead import body_of, dead_dir, letters
    from spanledger_collector.json_messages import document_of

    folder = dead_dir(load(home=home).home)
    letter = next(letters(folder, name), None)
    if letter is None:
        raise FileError(folder, f"has no letter {name}; `spanledger dead list` names them")
    body = body_of(letter)
    shown = {
        "name": letter.name,
        "when": letter.buried_at.isoformat(timespec="seconds").replace("+00:00", "Z"),
        "signal": letter.signal,
        "reason": letter.reason,
        "items": letter.items,
        "bytes": letter.size,
        "path": str(letter.path),
        "body": document_of(first_items(body, most)) if body else None,
        "hex": None if body else letter.path.read_bytes()[:256].hex(),
    }
    click.echo(json.dumps(shown, ensure_ascii=False, indent=1))


@command.command("replay")
@_choosing
@click.option("--lake", type=lakes.LAKE, help=lakes.HELP)
@click.option("--dry-run", is_flag=True, help="Only say what would be sent.")
def replay_(name: str, reason: str, home: Path | None, lake: LakePath | None, *, dry_run: bool) -> None:
    """Send again what can be converted by now: after an upgrade, or once a wrong clock's day has come.

    \b
      spanledger dead replay --dry-run
      spanledger dead replay
      spanledger dead replay --reason 'a day ahead'

    Through the collector that runs on the home, else into its log and the lake. A letter leaves dead/ after the
    acknowledgement; what is dead again stays there as it is, and is counted. Doing it twice, or being killed half-way,
    counts nothing twice.

    Exit codes: 0 done (also where something stays dead), 1 a letter could not be handed over.
    """
    from spanledger_collector.dead import dead_dir, letters
    from spanledger_collector.delivery import open_delivery
    from spanledger_collector.replay import replay

    settings = load(home=home, lake=lake)
    folder = dead_dir(settings.home)
    way = None if dry_run else lambda: open_delivery(settings.home, settings.lake, say)
    with counting("letters", None) as advance:
        done = replay(settings.home, letters(folder, name, reason), way, seen=lambda: advance(1))
    verb = "would be sent" if dry_run else "sent"
    say(f"{done.sent_items} items of {done.sent_letters} letters {verb}, {done.letters} letters looked at")
    for words, count in done.dead_again.most_common():
        say(f"  {count} stay dead: {words}")
