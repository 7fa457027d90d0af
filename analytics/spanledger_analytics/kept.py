"""Answers about days that are over, kept on disk: what takes seconds to ask of spans is read again in milliseconds.

A kept answer is a cache and nothing else: a Parquet file a question and UTC day, in `kept/` beside the lake. Deleting
it loses nothing. It holds while the rollups of its day do, which say by their names what they were counted from: so
late spans, settling and repricing make it be asked again, and nobody has to follow what changed. What else an answer
hangs on, the text of its SQL, the prices, its options, whose rows it may see, is a digest in the name of its folder.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import time
import uuid
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cache
from importlib import resources
from itertools import groupby
from pathlib import Path, PurePath
from typing import Final

import polars as pl

from spanledger import book, contract
from spanledger.lake_path import LakePath
from spanledger_collector.lake import table_path
from spanledger_collector.rollups import DAILY_CUBE
from spanledger_collector.storage import beside, files_in

from .connection import Ledger, load_query, note

FOLDER: Final = "kept"
DAY: Final = "dt"
"""The column of an answer that says which UTC day a row is of."""
MAKE: Final = 1
"""Raised whenever Python makes another answer of what the same SQL says."""
MOST_BYTES: Final = 1 << 30
"""Of all that is kept of a lake."""
_END: Final = b"PAR1"
_UNUSED_S: Final = 30 * 86_400
_AT_ONCE: Final = timedelta(days=7)
"""So many days are asked in one go, which bounds memory."""


@dataclass(frozen=True, slots=True)
class DayQuestion:
    """A question whose answer about some UTC days is those about each of them, one below the other."""

    name: str
    queries: tuple[str, ...]
    """The files of SQL that it asks, `sql/<query>.sql`."""
    ask: Callable[[Ledger, date, date], pl.DataFrame]
    """Answers for the days from one to another; a row says in DAY of which it is, and columns never differ."""
    options: tuple[object, ...] = ()
    """What else it was told."""
    prices: bool = False
    """Whether prices matter that aren't booked."""


def answered(ledger: Ledger, asked: DayQuestion, first: date, last: date) -> pl.LazyFrame:
    """Return the answer about the days `first` to `last`; what is missing is asked, and kept of counted days."""
    note(*asked.queries)
    folder = _folder(ledger, asked)
    counted = ledger.counted(first, last)
    kept = {dt: path for dt, name in counted.items() if _is_whole(path := folder / _name(dt, name))}
    with contextlib.suppress(OSError):
        os.utime(folder)
    frames: list[pl.LazyFrame] = []
    for begin, end in _stretches(first, last, kept):
        frame = asked.ask(ledger, begin, end)
        keep(folder, frame, {dt: name for dt, name in counted.items() if begin <= dt <= end})
        frames.append(frame.lazy())
    if kept:
        frames.append(pl.scan_parquet([kept[dt] for dt in sorted(kept)], glob=False))
    return pl.concat(frames)


def keep(folder: Path, frame: pl.DataFrame, counted: Mapping[date, str]) -> None:
    """Write the rows of each counted day to a file of its own; where there is no room for it, it isn't kept."""
    days = frame.partition_by(DAY, as_dict=True)
    for dt, name in counted.items():
        path = folder / _name(dt, name)
        draft = path.with_name(f"{path.name}.{uuid.uuid4().hex}.tmp")
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with draft.open("wb") as handle:
                days.get((dt,), frame.clear()).write_parquet(handle, compression="zstd")
                handle.flush()
                os.fsync(handle.fileno())  # or a power cut could leave a name without what it stands for
            draft.replace(path)
        except OSError:
            with contextlib.suppress(OSError):
                draft.unlink()


def is_kept(ledger: Ledger, asked: DayQuestion, first: date, last: date) -> bool:
    """Say whether the answer about every counted day is kept, and there is one."""
    counted = ledger.counted(first, last)
    return bool(counted) and not lacking(ledger, asked, counted)


def lacking(ledger: Ledger, asked: DayQuestion, days: Iterable[date]) -> list[date]:
    """Return those of the counted ones among `days` whose answer isn't kept."""
    wanted = sorted(days)
    if not wanted:
        return []
    folder, counted = _folder(ledger, asked), ledger.counted(wanted[0], wanted[-1])
    return [dt for dt in wanted if dt in counted and not _is_whole(folder / _name(dt, counted[dt]))]


def tidy_kept(lake: LakePath) -> None:
    """Delete answers that hold no longer, those of questions that nobody asks any more, and what is too much.

    An answer stays as long as the count beside which it was asked is on disk, an hour longer than that holds: so none
    is taken away from a question that has just begun.
    """
    root = beside(lake) / FOLDER
    counts = {PurePath(str(path)).stem for path, _ in files_in(table_path(lake, DAILY_CUBE), "dt=*/*.parquet")}
    files: list[tuple[float, int, Path]] = []
    for folder in root.iterdir() if root.is_dir() else ():
        if time.time() - folder.stat().st_mtime > _UNUSED_S:
            shutil.rmtree(folder, ignore_errors=True)
            continue
        for path in folder.iterdir():
            if _is_over(path, counts):
                path.unlink(missing_ok=True)
            else:
                found = path.stat()
                files.append((found.st_mtime, found.st_size, path))
    room = MOST_BYTES
    for _, size, path in sorted(files, reverse=True):
        room -= size
        if room < 0:
            path.unlink(missing_ok=True)


def _is_whole(path: Path) -> bool:
    """Say whether a file is there, with the end that a Parquet file has; one that isn't whole is made again."""
    try:
        with path.open("rb") as handle:
            handle.seek(-len(_END), os.SEEK_END)
            return handle.read() == _END
    except OSError:
        return False


def _is_over(path: Path, counts: Collection[str]) -> bool:
    if path.suffix == ".tmp":
        return time.time() - path.stat().st_mtime > _AT_ONCE.total_seconds()
    return path.stem.partition("_")[2] not in counts


def _stretches(first: date, last: date, kept: Collection[date]) -> Iterator[tuple[date, date]]:
    """Yield the days that aren't kept, as (first, last) of stretches without a gap."""
    days = [first + timedelta(days=count) for count in range((last - first).days + 1)]
    for is_kept, run in groupby(days, kept.__contains__):
        stretch = list(run)
        for place in range(0, 0 if is_kept else len(stretch), _AT_ONCE.days):
            part = stretch[place : place + _AT_ONCE.days]
            yield part[0], part[-1]


def _name(dt: date, counted: str) -> str:
    return f"{dt}_{counted}.parquet"


def _folder(ledger: Ledger, asked: DayQuestion) -> Path:
    told: Sequence[object] = (
        MAKE,
        _macros(),
        ledger.scope,
        *(load_query(query) for query in asked.queries),
        *asked.options,
        *((book.current_book().digest, contract.in_force()) if asked.prices else ()),
    )
    digest = hashlib.blake2b(repr(told).encode(), digest_size=8).hexdigest()
    return beside(ledger.lake) / FOLDER / f"{asked.name}-{digest}"


@cache
def _macros() -> str:
    """Return a digest of what all SQL stands on."""
    views = resources.files("spanledger_analytics").joinpath("sql", "views")
    texts = sorted(file.read_text("utf-8") for file in views.iterdir())
    return hashlib.blake2b("".join(texts).encode(), digest_size=8).hexdigest()
