"""The command that prints what a card shows, so that a reader can check it and a script can take it."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence

from spanledger_analytics.reports.answer import Value
from spanledger_analytics.reports.question import Question
from spanledger_analytics.reports.registry import REPORTS
from spanledger_analytics.scope import EVERYTHING, TEAM, Scope


def command_of(name: str, asked: Question, options: Mapping[str, Value], scope: Scope = EVERYTHING) -> str:
    """Return the `spanledger report` that asks the same, quoted for a shell; of a scope, about its teams."""
    report = REPORTS[name]
    words = ["spanledger", "report", name]
    if report.takes_by and asked.by != report.by:
        words += ["--by", ",".join(asked.by)]
    words += ["--from", f"{asked.period.first}", "--to", f"{asked.period.last}"]
    for condition in _conditions(asked):
        words += ["--where", condition]
    if not scope.is_everything and report.of_lake:
        words += ["--where", f"team={_listed(scope.values(TEAM))}"]
    if not asked.period.calendar.is_utc:
        words += ["--zone", asked.period.calendar.zone]
    for option in report.options:
        value = options.get(option.name, option.default)
        if value != option.default:
            words += [f"--{option.flag}"] if option.type is bool else [f"--{option.flag}", str(value)]
    return shlex.join(words)


def _conditions(asked: Question) -> Iterator[str]:
    for sign, named in (("=", asked.where.only), ("!=", asked.where.but)):
        for name, values in named.items():
            yield f"{name}{sign}{_listed(values)}"


def _listed(values: Sequence[str]) -> str:
    """Write values as `--where` reads them: all in quotes where one of them would be read as several."""
    if all("," not in value and value == value.strip() for value in values):
        return ",".join(values)
    return ",".join(f"'{value}'" if '"' in value else f'"{value}"' for value in values)
