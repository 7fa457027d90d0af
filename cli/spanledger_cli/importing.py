"""`spanledger import`: files of OTLP into the ledger, and revenue beside it.

`revenue` is a word of its own only as the first one; a file of that name is `./revenue`.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from spanledger.lake_path import LakePath
from spanledger.settings import load

from . import lakes
from .progress import counting, say

if TYPE_CHECKING:
    from spanledger_collector.history import Imported

_STDIN: Final = "-"
_REVENUE: Final = "revenue"


class _Import(click.Command):
    """The command for spans, which hands over to that for revenue where this is asked for."""

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        if args[:1] == [_REVENUE]:
            from .revenue import command as revenue

            return revenue.make_context(f"{info_name} {_REVENUE}", args[1:], parent, **extra)
        return super().make_context(info_name, args, parent, **extra)


@click.command("import", cls=_Import)
@click.argument("paths", nargs=-1, required=True, type=click.Path(path_type=Path, allow_dash=True))
@click.option("--home", type=click.Path(path_type=Path), help=lakes.HOME_HELP)
@click.option("--lake", type=lakes.LAKE, help=lakes.HELP)
def command(paths: tuple[Path, ...], home: Path | None, lake: LakePath | None) -> None:
    """Take spans from files: OTLP as the OpenTelemetry Collector's file exporter writes it.

    \b
      spanledger import traces.json
      spanledger import /var/lib/otelcol/export/
      zcat old.jsonl.gz | spanledger import -
      spanledger import revenue invoices.csv     (has a --help of its own)

    JSON (an object a line, or one document) and protobuf (bodies with four bytes of length before each, or one body),
    plain, gzip or zstd, told by content and not by name. Of a folder, all files below it. Traces, logs and metrics may
    be mixed.

    Through the collector that runs on the home, else into its log and the lake, priced as on any other way. Importing
    twice is importing once: spans that are in the lake are dropped. What is damaged is named with its file and line,
    and the rest is taken. Spans from more than 400 days ago go to dead/ with that reason.

    Exit codes: 0 all taken, 1 something could not be (stderr says what), 2 usage.
    """
    from spanledger_collector.delivery import open_delivery
    from spanledger_collector.history import Importer, stored_files

    settings = load(home=home, lake=lake)
    lakes.make_ready(settings.lake)
    files = list(stored_files(path for path in paths if str(path) != _STDIN))
    total = None if len(files) < len(paths) and _STDIN in map(str, paths) else sum(map(_size, files))
    with (
        open_delivery(settings.home, settings.lake, say) as delivery,
        counting("bytes read", total) as advance,
    ):
        importer = Importer(delivery, say)
        for file in files:
            importer.take_path(file, advance)
        if _STDIN in map(str, paths):
            importer.take(sys.stdin.buffer, "standard input")
        importer.flush()
    sys.exit(_summary(importer.done, settings.home))


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _summary(done: Imported, home: Path) -> int:
    """Say what came of it; return the exit code."""
    from spanledger_collector.bodies import ITEMS

    taken = [f"{count:,} {ITEMS[signal]}" for signal, count in done.items.items() if count]
    say(f"{', '.join(taken) or 'nothing'} from {done.bodies:,} bodies in {done.files:,} files")
    for count, words in (
        (done.too_old, f"are dated more than 400 days ago: kept in {home / 'dead'}, not in the lake"),
        (done.ahead, f"are dated more than a day ahead: kept in {home / 'dead'}, see `spanledger dead replay`"),
        (done.without_ids, "have no valid trace or span id: not in the lake"),
    ):
        if count:
            say(f"  {count:,} spans {words}")
    if done.faults:
        say(f"  {done.faults:,} places could not be read")
    return 1 if done.faults or done.without_ids else 0
