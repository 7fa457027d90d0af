"""A generated lake on disk, laid out as a maintained one is: closed days sorted in large files, the open day in a few.

Made once and kept: a stamp beside it says of what it was made. With `root_tags`, a share of the calls has its tags on
the root of the trace alone and gets them by settlements, as in lakes of applications that tag a request once.
"""

from __future__ import annotations

import json
import multiprocessing
import shutil
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from made.population import Population, populate
from made.rows import day_rows, who
from made.traces import Spans, day_shares, make_day, spans_a_trace
from spanledger_analytics.counting import refresh_rollups
from spanledger_collector.lake import DataFile, append_marked, open_table, write_file
from spanledger_collector.rewrite import rewrite_day
from spanledger_collector.row import PARTITION, TEXT, TIME
from spanledger_collector.tables import SETTLED_UNTIL, SETTLEMENTS, SETTLER, SPANS

GENERATOR: Final = 3
"""Goes up when what is generated changes, or how it is written: lakes of another number are made again."""
LAST: Final = date(2026, 10, 31)
"""The open day; all lakes end here."""
MOST_ROWS: Final = 3_000_000
"""In a file: some 200 MB."""
OPEN_FILES: Final = 8
PROCESSES: Final = 2
_FEW_DAYS: Final = 2
"""So few are made without processes of their own."""
WRITER: Final = "benchmark"


@dataclass(frozen=True, slots=True)
class Made:
    """What a lake is made of."""

    spans: int
    days: int = 180
    root_tags: float = 0.0
    """Share of all calls that get their tags by settlements."""
    fingerprints: bool = False
    maintained: bool = True
    """Whether the product has written its closed days anew and counted its days."""
    controlled: float = 0.0
    """Share of all calls that rules of a policy had to do with."""
    generator: int = GENERATOR

    @property
    def name(self) -> str:
        """What its folder is called."""
        more = f"-root-tags-{self.root_tags:g}" if self.root_tags else ""
        more += "-fingerprints" if self.fingerprints else ""
        more += f"-controlled-{self.controlled:g}" if self.controlled else ""
        return f"lake-{self.spans}-{self.days}{more}{'' if self.maintained else '-as-written'}"


@dataclass(frozen=True, slots=True)
class _Day:
    """The files of one day."""

    spans: list[DataFile]
    settlements: list[DataFile]


def made_lake(folder: Path, made: Made) -> Path:
    """Return the lake that is made of this, making it where there is none."""
    lake = folder / made.name
    stamp = lake / "made.json"
    wanted = {name: value for name, value in asdict(made).items() if value or name != "controlled"}  # came later
    if stamp.exists() and json.loads(stamp.read_text("utf-8"))["made"] == wanted:
        return lake
    shutil.rmtree(lake, ignore_errors=True)
    lake.mkdir(parents=True)
    start = time.monotonic()
    rows = _write(lake, made)
    took = time.monotonic() - start
    said = {"made": wanted, "rows": rows, "seconds": round(took, 1), "spans_per_s": round(rows / took)}
    if made.maintained:
        said["maintained_in_seconds"] = round(_maintain(lake, made), 1)
    stamp.write_text(json.dumps(said) + "\n", "utf-8")
    return lake


def about(lake: Path) -> dict[str, Any]:
    """Return what a generated lake is made of, and what making it took."""
    said: dict[str, Any] = json.loads((lake / "made.json").read_text("utf-8"))
    return said


def _write(lake: Path, made: Made) -> int:
    spans, settlements = open_table(lake), open_table(lake, SETTLEMENTS)
    shares = day_shares((LAST - timedelta(days=made.days - 1)).weekday(), made.days)
    days = list(_write_days(lake, made, [float(share) for share in shares]))
    files = [file for day in days for file in day.spans]
    append_marked(spans, files, {WRITER: 0}, SPANS)
    until = datetime.combine(LAST + timedelta(days=2), datetime.min.time(), UTC)
    marks = {SETTLER: 1, SETTLED_UNTIL: int(until.timestamp() * 1000)}
    append_marked(settlements, [file for day in days for file in day.settlements], marks, SETTLEMENTS)
    return sum(file.rows for file in files)


def _maintain(lake: Path, made: Made) -> float:
    """Do what the product does for days that are over; the files that were replaced go at once. Returns the seconds."""
    start = time.monotonic()
    for number in range(made.days - 1, 0, -1):
        rewrite_day(lake, LAST - timedelta(days=number))
        if number % 30 == 0:
            print(f"{lake.name}: {number} days are left to write anew", file=sys.stderr, flush=True)
    open_table(lake).vacuum(0, dry_run=False, enforce_retention_duration=False)
    refresh_rollups(lake)
    return time.monotonic() - start


def _write_days(lake: Path, made: Made, shares: list[float]) -> Iterator[_Day]:
    if made.days <= _FEW_DAYS:
        _start(lake, made)
        yield from map(_write_day, range(made.days), shares)
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(PROCESSES, context, _start, (lake, made)) as pool:
        for number, day in enumerate(pool.map(_write_day, range(made.days), shares), start=1):
            yield day
            if number % 30 == 0:
                print(f"{lake.name}: {number} of {made.days} days are made", file=sys.stderr, flush=True)


_work: tuple[Path, Made, Population, float]
"""Of a process of the pool."""


def _start(lake: Path, made: Made) -> None:
    global _work
    people = populate(made.spans * 180 // made.days)
    _work = (lake, made, people, spans_a_trace(people))


def _write_day(number: int, share: float) -> _Day:
    lake, made, people, a_trace = _work
    day = LAST - timedelta(days=made.days - 1 - number)
    spans = make_day(people, day.toordinal(), round(made.spans * share / a_trace), made.root_tags)
    spans = spans.take(_order(spans, closed=day != LAST))
    rows = day_rows(people, spans, day, fingerprints=made.fingerprints, controlled=made.controlled)
    size = MOST_ROWS if day != LAST else -(-rows.num_rows // OPEN_FILES)
    files = [
        write_file(lake, f"{day.isoformat()}-{place}", rows.slice(start, size))
        for place, start in enumerate(range(0, rows.num_rows, size))
    ]
    return _Day(files, _write_settlements(lake, people, spans, rows, day))


def _order(spans: Spans, *, closed: bool) -> Any:
    """Return the order of rows: by hour, user and time in closed days (none last), by end in the open one."""
    if not closed:
        return np.argsort(spans.start_us + spans.duration_us, kind="stable")
    unknown = spans.root_tags & (spans.place > 0)
    user = np.where(unknown, spans.user.max() + 1, spans.user)
    return np.lexsort((spans.start_us, user, spans.start_us // 3_600_000_000))


def _write_settlements(lake: Path, people: Population, spans: Spans, rows: pa.Table, day: date) -> list[DataFile]:
    """Write what calls inherit, in the order in which their traces are settled."""
    settled = np.flatnonzero(spans.is_call & spans.root_tags & (spans.place > 0))
    if not len(settled):
        return []
    settled = settled[np.argsort(spans.start_us[settled] // 60_000_000 * 1_000_000 + spans.trace[settled])]
    calls = rows.take(pa.array(settled))
    said = {name: words.take(pa.array(settled)) for name, words in who(people, spans, day).items()}
    minute = pc.floor_temporal(calls["ingested_at"], unit="minute")
    said["settled_at"] = pc.add(minute, pa.scalar(timedelta(minutes=11), pa.duration("us"))).cast(TIME)
    said["reason"] = pa.repeat(pa.scalar("inherited", TEXT), len(settled))
    columns = {name: calls[name] for name in calls.column_names} | said
    columns[PARTITION] = pa.repeat(pa.scalar(day, pa.date32()), len(settled))
    schema = SETTLEMENTS.full_schema
    made = pa.table([columns.get(field.name, pa.nulls(len(settled), field.type)) for field in schema], schema=schema)
    return [write_file(lake, f"{day.isoformat()}-settled", made, SETTLEMENTS)]
