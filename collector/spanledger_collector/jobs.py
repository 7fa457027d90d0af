"""What is done for a lake beside taking spans in, as a list of jobs: who has something to add puts it into `JOBS`.

Each job looks at one table and does what is due there. They run one after the other in a process that ends with them
(`python -m spanledger_collector.jobs`, started by `maintain`): what Parquet and Delta take of memory for a merge,
180 MB and more, they keep for as long as their process lives. A lock in the lake keeps two of one machine from doing
the same work; of two machines the second one's commit fails, and nothing is lost by that.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
import threading
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final

from deltalake.exceptions import DeltaError

from spanledger.lake_path import LakePath, lake_path
from spanledger.settings import Settings, load

from .catalog import TABLES
from .errors import LakeError
from .lake import DataFile, live_files, open_for_reading, open_table
from .maintain import lock_path, most_small_files, state_path
from .orphans import old_drafts, old_orphans
from .retention import drop_attributes, drop_days, full_files, old_files, why_unsure
from .rewrite import QUIET, days_to_rewrite, rewrite_day
from .storage import delete, read_bytes, write_bytes
from .tables import SPANS, LakeTable
from .upkeep import delete_replaced, groups_to_merge, merge_small_files, small_files
from .worker import LOG, if_free, in_a_sentence


@dataclass(frozen=True, slots=True)
class Terms:
    """What all jobs are told."""

    now: datetime = field(default_factory=lambda: datetime.now(UTC))
    keep_days: int = 0
    """UTC days before today that are kept; 0: all."""
    keep_attributes_days: int = 0
    """The same of `retention.LEFT_OUT`; 0: as long as the rows."""
    dry_run: bool = False
    """Say what would be done, and change nothing."""
    all_due: bool = False
    """Take everything for due that there is to do, as somebody who asks for it by hand expects."""
    trust_clock: bool = False
    """Delete what is too old by the clock, even where the lake makes it unlikely that the clock is right."""

    @classmethod
    def of(cls, settings: Settings) -> Terms:
        """Return what the settings say, now."""
        return cls(datetime.now(UTC), settings.keep_days, settings.keep_attributes_days or 0)

    def first_kept(self, days: int) -> date:
        """Return the first UTC day that is kept, if so many are."""
        today = self.now.date()
        return today - timedelta(days=min(days, today.toordinal() - 1)) if days else date.min


@dataclass(frozen=True, slots=True)
class Did:
    """What a job did for a table, or would do."""

    job: str
    table: str
    words: str
    failed: bool = False


Job = Callable[[LakePath, LakeTable, Terms], str]
"""Does what is due for a table that exists, and returns in words what that was; empty where nothing was."""


def merge(lake: LakePath, table: LakeTable, terms: Terms) -> str:
    """Merge small files where there are too many."""
    delta = open_table(lake, table)
    live = live_files(delta, table)
    if small_files(live) <= (0 if terms.all_due else most_small_files(table.name)):
        return ""
    if terms.dry_run:
        groups = groups_to_merge(live)
        return f"{sum(map(len, groups))} files to be merged into {len(groups)}"
    merged = merge_small_files(delta, table)
    if merged.gone:
        delta.create_checkpoint()
    return f"{len(merged.gone)} files merged into {len(merged.new)}"


def retention(lake: LakePath, table: LakeTable, terms: Terms) -> str:
    """Take out days that are too old, or what may go earlier of them."""
    first_kept = terms.first_kept(terms.keep_days)
    first_full = terms.first_kept(terms.keep_attributes_days) if table is SPANS else date.min
    delta = open_table(lake, table)
    old = old_files(delta, table, max(first_kept, first_full))
    if not old:
        return ""
    if not terms.trust_clock and (unsure := _why_unsure(lake, terms, first_kept)):
        LOG.warning("no day of `%s` is dropped, because %s: is the clock right?", table.name, unsure)
        return ""
    gone = [file for file in old if file.dt < first_kept]
    lean = full_files(delta, [file for file in old if first_kept <= file.dt < first_full])
    if not terms.dry_run:
        gone = drop_days(delta, table, first_kept) if gone else []
        lean = drop_attributes(delta, lean)
    will = "to be " if terms.dry_run else ""
    days = f"{_days(gone)} with {sum(file.rows for file in gone):,} rows {will}dropped" if gone else ""
    attributes = f"attributes of {_days(lean)} {will}dropped" if lean else ""
    return "; ".join(filter(None, (days, attributes)))


def _why_unsure(lake: LakePath, terms: Terms, first_kept: date) -> str:
    spans = open_for_reading(lake)
    return why_unsure({file.dt for file in live_files(spans)} if spans else (), terms.now, first_kept)


def _days(files: Collection[DataFile]) -> str:
    days = {file.dt for file in files}
    return f"{len(days)} days until {max(days)}"


def rewrite(lake: LakePath, table: LakeTable, terms: Terms) -> str:
    """Write the files of `spans` anew for the days that are over: sorted, with what was settled in the rows."""
    if table is not SPANS:
        return ""
    due = days_to_rewrite(lake, datetime.now(UTC), timedelta(0) if terms.all_due else QUIET)
    if terms.dry_run:
        return f"{len(due)} days to be written anew" if due else ""
    done = [day for day in (rewrite_day(lake, dt) for dt in due) if day is not None]
    gone, new = sum(len(day.gone) for day in done), sum(len(day.new) for day in done)
    return f"{len(done)} days written anew, {gone} files as {new}" if done else ""


def vacuum(lake: LakePath, table: LakeTable, terms: Terms) -> str:
    """Delete replaced files that no query has open any more, and what of Delta's log nobody reads."""
    if not terms.trust_clock and _why_unsure(lake, terms, date.max):
        return ""  # an hour by the clock may be none
    delta = open_table(lake, table)
    orphans = old_orphans(delta, table)
    count = delete_replaced(delta, dry_run=True)
    if count and not terms.dry_run:
        count = delete_replaced(delta)
        delta.cleanup_metadata()
    drafts = old_drafts(lake) if table is SPANS else []
    for path in (*orphans, *drafts) if not terms.dry_run else ():
        delete(path)
    will = "to be " if terms.dry_run else ""
    replaced = f"{count} replaced files {will}deleted" if count else ""
    left = f"{len(orphans)} files of no commit {will}deleted" if orphans else ""
    return "; ".join(filter(None, (replaced, left)))


JOBS: Final[Mapping[str, Job]] = {
    "merge": merge,
    "retention": retention,
    "rewrite": rewrite,
    "vacuum": vacuum,
}
"""All of them, in the order in which they are done."""


def run_jobs(lake: LakePath, terms: Terms, names: Collection[str] = tuple(JOBS)) -> Iterator[Did]:
    """Do each job for each table that is there, `spans` first, and say what was done as it is done."""
    for name, job in JOBS.items():
        for table in reversed(TABLES) if name in names else ():
            if open_for_reading(lake, table) is None:
                continue
            try:
                words = job(lake, table, terms)
            except (OSError, DeltaError, LakeError) as error:
                # Another machine was faster, or the disk is full: what isn't done now is due the next time.
                LOG.warning("%s of `%s` failed (%s); it is tried again later", name, table.name, error)
                yield Did(name, table.name, str(error), failed=True)
                continue
            if words:
                yield Did(name, table.name, words)


def note(lake: LakePath, names: Collection[str], done: Collection[Did]) -> None:
    """Keep when each job was last done, and what for, in the lake."""
    now = datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    noted = last_done(lake)
    for name in names:
        noted[name] = {"at": now, "did": [asdict(one) for one in done if one.job == name]}
    write_bytes(state_path(lake), json.dumps(noted, indent=1).encode())


def last_done(lake: LakePath) -> dict[str, Any]:
    """Return what `note` kept: job to when it was last done and what it did then."""
    try:
        noted: dict[str, Any] = json.loads(read_bytes(state_path(lake)))
    except (FileNotFoundError, ValueError):
        return {}
    return noted


def standing(lake: LakePath) -> dict[str, dict[str, int]]:
    """Return of each table the version and its small files, as `maintain` counts on from there."""
    tables = {table: open_for_reading(lake, table) for table in TABLES}
    return {
        table.name: {"version": delta.version(), "small": small_files(live_files(delta, table))}
        for table, delta in tables.items()
        if delta is not None
    }


def main() -> None:
    """Do what is due, and print how the tables stand then; empty where another process is at it."""
    parser = argparse.ArgumentParser(prog="spanledger-jobs")
    parser.add_argument("--lake", type=lake_path, required=True)
    parser.add_argument("--job", action="append", choices=tuple(JOBS))
    flags = parser.parse_args()
    logging.basicConfig(stream=sys.stderr, format="maintain: %(message)s", level=logging.INFO)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    names = flags.job or tuple(JOBS)
    with in_a_sentence(flags.lake), if_free(lock_path(flags.lake)) as free:
        if free:
            done = list(run_jobs(flags.lake, Terms.of(load(lake=flags.lake)), names))
            for one in done:
                LOG.info("%s of `%s`: %s", one.job, one.table, one.words)
            note(flags.lake, names, done)
        print(json.dumps(standing(flags.lake) if free else {}))


def _end_with_parent() -> None:
    """End at once when standard input does: whatever is left half done is nowhere in the log."""
    # Not by sys.stdin, whose lock this thread would hold when the interpreter ends, which is then fatal.
    while os.read(0, 4096):
        pass
    os._exit(1)


if __name__ == "__main__":
    main()
