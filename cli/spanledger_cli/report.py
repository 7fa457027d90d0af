"""`spanledger report`: the reports, each a command with the same options."""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Callable, Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal, InvalidOperation
from itertools import groupby
from pathlib import Path
from typing import Any, Final

import click
import polars as pl

from spanledger.lake_path import LakePath
from spanledger.settings import load
from spanledger_analytics.connection import Ledger
from spanledger_analytics.reports.answer import Answer, Option, Report, Value
from spanledger_analytics.reports.calendar import UNITS, Calendar, Period, check_reach
from spanledger_analytics.reports.question import TAG, WHO, Question, parse_by, parse_where
from spanledger_analytics.reports.registry import REPORTS
from spanledger_analytics.scope import EVERYTHING

from . import lakes
from .answer import FORMATS, write
from .errors import FileError

_DAY: Final = click.DateTime(["%Y-%m-%d"])
_PLACES: Final = 6
"""Of a dollar, in a table."""
_ITEM: Final = re.compile(r"[a-z_]+: ")


class _Amount(click.ParamType[Decimal]):
    name = "usd"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Decimal:
        try:
            return Decimal(str(value).removeprefix("$").replace(",", ""))
        except InvalidOperation:
            self.fail(f"{value!r} is no amount; write it as 1200 or 1200.50", param, ctx)


class _Reports(click.Group):
    """A command for each report."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(REPORTS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        return _command(REPORTS[cmd_name]) if cmd_name in REPORTS else None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Reports"):
            formatter.write_dl([(report.name, report.sentence) for report in REPORTS.values()])


@click.group(cls=_Reports)
def command() -> None:
    """Ask one of the reports. `spanledger report NAME --help` tells its columns.

    \b
    Examples:
      spanledger report spend --by day,model
      spanledger report spend --by team --from 2026-11-01 --format csv
    """


def _command(report: Report) -> click.Command:
    options: list[click.Parameter] = [
        click.Option(["--lake"], type=lakes.LAKE, help=lakes.HELP),
        click.Option(["--from", "first"], type=_DAY, help=f"First day; default: {report.days - 1} before the last."),
        click.Option(["--to", "last"], type=_DAY, help="Last day, inclusive; default: today."),
    ]
    if report.takes_by:
        default = f"; default: {','.join(report.by)}" if report.by else ""
        names = f"{', '.join((*UNITS, *WHO))}, {TAG}KEY"
        options.append(click.Option(["--by"], help=f"A row for each of these: {names}{default}."))
    where = "Only calls with team=search, model!=gpt-4o, user= (none), team=a,b (either); again for more conditions."
    options += [
        click.Option(["--where"], multiple=True, help=where),
        click.Option(["--zone"], help="Whose days these are, as Europe/Berlin (SPANLEDGER_ZONE); default: UTC."),
        *(_option(option) for option in report.options),
        click.Option(["--format", "form"], type=click.Choice(FORMATS), default="table", show_default=True),
        click.Option(["-o", "--output"], type=click.Path(path_type=Path), help="File to write; default: stdout."),
    ]
    return _Report(report, params=options, callback=_answering(report), help=report.sentence)


def _option(option: Option) -> click.Option:
    kind: Any = click.Choice(option.choices) if option.choices else option.type
    shown = option.default not in (None, "", False)
    return click.Option(
        [f"--{option.flag}", option.name],
        type=_Amount() if option.type is Decimal else kind,
        is_flag=option.type is bool,
        default=option.default,
        show_default=shown,
        help=option.sentence,
    )


class _Report(click.Command):
    """The command of a report, whose help fits the terminal."""

    def __init__(self, report: Report, **more: Any) -> None:
        super().__init__(report.name, **more)
        self._report = report

    def format_help_text(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        formatter.write_paragraph()
        with formatter.indentation():
            formatter.write_text(self._report.sentence)
        with formatter.section("Columns after those of --by" if self._report.takes_by else "Columns"):
            formatter.write_dl(list(self._report.columns.items()))
        for kind, lines in groupby(map(str.strip, self._report.details.splitlines()), _kind_of):
            formatter.write_paragraph()
            with formatter.indentation():
                _KINDS[kind](formatter, list(lines))


def _kind_of(line: str) -> str:
    """Return what a line of a report's details is."""
    if line.startswith("spanledger "):
        return "example"
    return "item" if _ITEM.match(line) else "words"


def _write_examples(formatter: click.HelpFormatter, lines: Sequence[str]) -> None:
    formatter.write("".join(f"{' ' * (formatter.current_indent + 2)}{line}\n" for line in lines))


_KINDS: Final[dict[str, Callable[[click.HelpFormatter, Sequence[str]], None]]] = {
    "example": _write_examples,
    "item": lambda formatter, lines: formatter.write_dl([_pair(line) for line in lines]),
    "words": lambda formatter, lines: formatter.write_text(" ".join(lines).strip()),
}


def _pair(line: str) -> tuple[str, str]:
    name, _, words = line.partition(": ")
    return name, words


def _answering(report: Report) -> Any:
    def answer(
        lake: LakePath | None,
        first: datetime | None,
        last: datetime | None,
        where: tuple[str, ...],
        zone: str | None,
        form: str,
        output: Path | None,
        by: str | None = None,
        **options: Value,
    ) -> None:
        settings = load(lake=lake, zone=zone)
        lakes.check_readable(settings.lake)
        calendar = Calendar(settings.zone, settings.billing_day)
        period = _period(report, calendar, first, last)
        asked = Question(period, parse_by(by) if by is not None else report.by, parse_where(where))
        ledger = Ledger(settings.lake, EVERYTHING)
        if ledger.version() < 0:
            lakes.say_empty(settings.lake)
        _show(report.answer(ledger, asked, **options), form, output)

    return answer


def _period(report: Report, calendar: Calendar, first: datetime | None, last: datetime | None) -> Period:
    end: date = last.date() if last is not None else calendar.today()
    check_reach(end)
    begin = first.date() if first is not None else end - timedelta(days=report.days - 1)
    return Period(begin, end, calendar)


def _show(answer: Answer, form: str, output: Path | None) -> None:
    table = (_shown(answer.frame) if form == "table" else answer.frame).to_arrow()
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() and output is None else None
    if output is None:
        words = write(table, form, sys.stdout.buffer, width)
    else:
        try:
            with output.open("wb") as target:
                words = write(table, form, target, width)
        except OSError as error:
            raise FileError(output, f"can't be written: {error.strerror}; name another with -o") from None
    for sentence in (*answer.notes, *([words] if words else [])):
        click.echo(f"spanledger: {sentence}", err=True)


def _shown(frame: pl.DataFrame) -> pl.DataFrame:
    """Round money for people; the other formats have all twelve places."""
    return frame.with_columns(pl.col(pl.Decimal).round(_PLACES).cast(pl.Decimal(38, _PLACES)))
