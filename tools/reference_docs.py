"""Writes the generated pages of docs/, the figures of README, and the list of the views' columns (`make docs`).

A test compares them. The list only grows: what it has and the code hasn't is in somebody's SQL.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from figures import figures_table, readme_table

from spanledger.settings import SETTINGS, Setting
from spanledger_analytics.reports.answer import Report
from spanledger_analytics.reports.calendar import UNITS
from spanledger_analytics.reports.question import TAG, WHO
from spanledger_analytics.reports.registry import REPORTS
from spanledger_analytics.views import MARKS, SPANS, VIEWS, View, signatures, sql_type
from spanledger_collector.catalog import SIDE_TABLES
from spanledger_collector.row import COLUMNS, Column

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
NAMES = ROOT / "tests" / "fixtures" / "schema.txt"
"""A line a column of every view: names and types that people's SQL relies on."""
SECTIONS = {
    "trace_id": "Identity",
    "role": "What it was",
    "user_id": "Who and why",
    "input_tokens": "Tokens",
    "cost_usd": "Money",
    "max_tokens": "How it went",
    "prompt_hash": "Fingerprints and sizes of the prompt",
    "guard_action": "Control",
    "attributes": "The rest",
}
"""First column of a section of docs/schema.md to its title."""
_HEAD = ("| column | type | meaning |", "|---|---|---|")
README = ROOT / "README.md"
_FIGURES = "<!-- Figures, made by tools/reference_docs.py (make docs) from docs/evidence. -->\n"
_FIGURES_END = "<!-- End of the figures. -->\n"
GENERATED = "<!-- Made by tools/reference_docs.py (make docs); edit the table in the code. -->\n"


def schema_page() -> str:
    """Return docs/schema.md."""
    lines = [
        GENERATED,
        "# Columns",
        "",
        "One row a span, in the Delta table `<lake>/spans`, partitioned by `dt` (UTC date of `start_time`). Names are",
        "a contract: columns are added, never renamed. Money is US dollars, times are UTC, unknown is NULL. Ask with",
        "[SQL](sql.md).",
        "",
        "| view | rows |",
        "|---|---|",
        *(f"| {_anchor(view)} | {_cell(view.sentence)} |" for view in VIEWS),
        "",
        f"{', '.join(f'`{table.name}`' for table in SIDE_TABLES)} are Delta tables of their own,",
        "`<lake>/<view>`, and empty until there is something in them. `comment` of DuckDB's `duckdb_views()` and",
        "`duckdb_columns()` has these sentences. Of rollups the tables hold days that are over and counted, and the",
        "views add the others, to the last second.",
    ]
    for column in COLUMNS:
        if column.name in SECTIONS:
            lines += ["", f"## {SECTIONS[column.name]}", "", *_HEAD]
        if column is COLUMNS[0]:
            lines.append(_column_row(SPANS[-1]))
        lines.append(_column_row(column))
    lines += ["", "## `llm_calls`", "", "All of the above, and", "", *_HEAD, *map(_column_row, MARKS)]
    for view in VIEWS:
        if view.columns[: len(SPANS)] != SPANS:
            lines += _view(view)
    return "\n".join(lines) + "\n"


def settings_page() -> str:
    """Return docs/settings.md."""
    lines = [
        GENERATED,
        "# Settings",
        "",
        "Flags win, then what your program says by `spanledger.configure(name=value)`, then the environment, then",
        "`spanledger.toml` in the working directory (or the file named by `SPANLEDGER_CONFIG`), then the default. In",
        'the file, the name is the key: `lake = "/data/lake"`.',
        "",
        "| name | variable | default | meaning |",
        "|---|---|---|---|",
    ]
    lines += [
        f"| `{setting.name}` | `{setting.env}` | {_default(setting)} | {_cell(setting.sentence)} |"
        for setting in SETTINGS
    ]
    return "\n".join(lines) + "\n"


def reports_page() -> str:
    """Return docs/reports.md."""
    lines = [
        GENERATED,
        "# Reports",
        "",
        "`spanledger report NAME` asks one of these questions; `--from`, `--to` (days, both inclusive), `--by`,",
        "`--where`, `--format table|csv|json|parquet` and `-o FILE` are the same for all. What a sum lacks is said",
        "beside it, on stderr: calls without a price, estimated ones, those that may still change.",
        "",
        f"- `--by`: a row for each of {_names(UNITS)}, {_names(WHO)}, or `{TAG}KEY`",
        "  for any other tag. Rows of calls that don't say one have nothing in its column; all add up to the total.",
        "- `--where`: `team=search`, `model!=gpt-4o`, `user=` (calls that don't say one), `team=a,b` (either). Several",
        "  conditions have to be fulfilled together.",
        "- Days, weeks (from Monday) and months are those of `SPANLEDGER_ZONE` (or `--zone`); a month begins on day",
        "  `SPANLEDGER_BILLING_DAY` and is named by its first day.",
        "",
        "In Python: `REPORTS[name].answer(ledger, Question(Period(first, last), by, parse_where([...])))` of",
        "`spanledger_analytics.reports` returns a Polars frame and sentences. `ledger` is a `Ledger(lake, EVERYTHING)`",
        "or a `Ledger(lake, scope_of_teams([...]))`, whose numbers have nothing of other teams in them.",
        "",
        "Reports that read spans read those of a day that is over once: what they say of it, told apart by team,",
        "feature, model and environment, is kept in `kept/` beside the lake, and holds until a span of the day, or a",
        "price that it hangs on, is another. So are the hours of users, what each piece of work has in a day, and the",
        "latest 200 decisions of each of those. A collector keeps the last 35 days before anybody asks, of work 14.",
        "Days are UTC's for that: in another zone, for a part of a day, or told apart by anything else, the spans are",
        "read each time. `kept/` may be deleted at any time.",
        "",
        "`cache-breaks` finds broken caches by what is kept, but what was lost is priced call by call, against what",
        "the line read before just that break, so it reads the calls of its days each time, 0.6 to 0.9 s at 100M.",
        "To keep those calls sorted by line would take 8.5 MB and 1.6 s of CPU a day of 500,000 calls, and those of",
        "today would have to be read all the same.",
        "",
        "| report | tells |",
        "|---|---|",
        *(f"| [`{report.name}`](#{report.name}) | {_cell(report.sentence)} |" for report in REPORTS.values()),
    ]
    for report in REPORTS.values():
        lines += _report(report)
    return "\n".join(lines) + "\n"


def figures_page() -> str:
    """Return docs/figures.md."""
    lines = [
        GENERATED.replace("the table in the code", "tools/figures.py, or measure again"),
        "# Figures",
        "",
        "What is promised of speed, size and accuracy, what was measured, and beside whom in the same run, with how",
        "many times ours that is. **Bold** is a promise that isn't met. Each was measured by",
        "`python tools/prove.py NAME`, the name being that of its evidence, where all other figures of the run are,",
        "with machine, load and versions: two cores that others use, too. Peers do other things besides: the evidence",
        "and the pages on each part say which.",
        "",
        *figures_table(),
    ]
    return "\n".join(lines) + "\n"


def readme() -> str:
    """Return README with its figures as they are now."""
    before, _, rest = README.read_text("utf-8").partition(_FIGURES)
    _, _, after = rest.partition(_FIGURES_END)
    return before + _FIGURES + "\n".join(readme_table()) + "\n" + _FIGURES_END + after


def _report(report: Report) -> list[str]:
    lines = ["", f"## `{report.name}`", "", report.sentence, ""]
    if report.details:
        lines += ["```", *(line.strip() for line in report.details.splitlines()), "```", ""]
    lines += ["| column | meaning |", "|---|---|"]
    if report.by:
        lines.append(f"| {_names(report.by)} | What `--by` asks for; these by default. |")
    lines += [f"| `{name}` | {_cell(sentence)} |" for name, sentence in report.columns.items()]
    if report.options:
        lines += ["", "| option | default | meaning |", "|---|---|---|"]
    for option in report.options:
        default = "" if option.default in (None, False, "") else f"`{option.default}`"
        lines.append(f"| `--{option.flag}` | {default} | {_cell(option.sentence)} |")
    return lines


def _names(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def pages() -> dict[Path, str]:
    """Return every generated page with its text."""
    names = "\n".join(signatures()) + "\n"
    made = {"schema.md": schema_page(), "settings.md": settings_page(), "reports.md": reports_page()}
    made["figures.md"] = figures_page()
    return {**{DOCS / name: text for name, text in made.items()}, NAMES: names, README: readme()}


def _anchor(view: View) -> str:
    return f"`{view.name}`" if view.columns == SPANS else f"[`{view.name}`](#{view.name})"


def _view(view: View) -> list[str]:
    head = ["", f"## `{view.name}`", "", f"{view.sentence[0].upper()}{view.sentence[1:]}.", ""]
    return [*head, *_HEAD, *map(_column_row, view.columns)]


def _default(setting: Setting) -> str:
    if isinstance(setting.default, bool):
        return "on" if setting.default else "off"
    return f"`{setting.default}`" if setting.default else ""


def _column_row(column: Column) -> str:
    return f"| `{column.name}` | {sql_type(column.type)} | {_cell(column.sentence)} |"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def lost() -> list[str]:
    """Return what the list has and the views haven't."""
    now = set(signatures())
    return [line for line in NAMES.read_text("utf-8").splitlines() if line not in now] if NAMES.exists() else []


if __name__ == "__main__":
    if gone := lost():
        sys.exit(f"renamed, retyped or gone, which breaks people's SQL: {', '.join(gone)}; bring it back")
    for path, text in pages().items():
        path.write_text(text, "utf-8")
