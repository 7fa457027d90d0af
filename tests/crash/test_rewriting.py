"""Writing a day anew dies at the worst places, and goes on beside readers: every row is there once, all the time."""

from __future__ import annotations

import subprocess
import sys
import threading
from datetime import timedelta
from pathlib import Path

import pytest

from settled_rows import NOON, booked, metered, span
from spanledger_analytics.connection import connect
from spanledger_collector.folding import mark_in
from spanledger_collector.lake import add_files, live_files, open_table, write_days
from spanledger_collector.rewrite import rewrite_day
from waiting import wait_until

FILES, SPANS = 4, 50
DIES = """
import os, sys
from datetime import date
from pathlib import Path
from spanledger_collector import dayfiles, rewrite

def after(module, name):
    plain = getattr(module, name)
    setattr(module, name, lambda *args, **kwargs: (plain(*args, **kwargs), os._exit(9)))

exec(sys.argv[2])
rewrite.rewrite_day(Path(sys.argv[1]), date.fromisoformat(sys.argv[3]))
"""
WHOLE = "select count(*), count(distinct span_id), sum(cost_usd), min(user_id) from spans"


@pytest.fixture
def lake(tmp_path: Path) -> Path:
    for number in range(FILES):
        rows = [
            metered(number * SPANS + n, start_time=NOON + timedelta(seconds=n), user_id="u")
            for n in range(1, SPANS + 1)
        ]
        files = write_days(tmp_path, f"w-{number}", booked(rows))
        add_files(tmp_path, files, writer="w", version=number)
    return tmp_path


@pytest.mark.parametrize(
    "fault",
    ["after(rewrite, '_spill')", "after(dayfiles, 'publish')", "after(rewrite, 'replace_files')"],
    ids=["before a file is there", "before the commit", "after the commit"],
)
def test_who_dies_writing_a_day_anew_leaves_it_whole(lake: Path, fault: str) -> None:
    before = connect(lake).execute(WHOLE).fetchall()
    died = subprocess.run([sys.executable, "-c", DIES, str(lake), fault, NOON.date().isoformat()], check=False)
    assert died.returncode == 9
    assert connect(lake).execute(WHOLE).fetchall() == before == [(200, 200, before[0][2], "u")]
    assert rewrite_day(lake, NOON.date()) is not None
    assert connect(lake).execute(WHOLE).fetchall() == before
    assert not list(lake.glob(".rewrite-*"))


def test_readers_and_writers_beside_see_every_row_once(lake: Path) -> None:
    ended, seen = threading.Event(), set[tuple[int, int]]()

    def read() -> None:
        while not ended.is_set():
            ((count, distinct, *_),) = connect(lake).execute(WHOLE).fetchall()
            seen.add((count, distinct))

    reader = threading.Thread(target=read)
    reader.start()
    try:
        wait_until(lambda: bool(seen), timeout_s=60, what="a reader")
        for number in range(10):
            late = write_days(lake, f"late-{number}", booked([span(9000 + number, start_time=NOON)]))
            beside = threading.Thread(target=add_files, args=(lake, late), kwargs={"writer": "late", "version": number})
            beside.start()
            assert rewrite_day(lake, NOON.date()) is not None
            beside.join()
    finally:
        ended.set()
        reader.join()
    assert all(200 <= count <= 210 and count == distinct for count, distinct in seen)
    rewrite_day(lake, NOON.date())
    assert all(mark_in(file.path) for file in live_files(open_table(lake)))
    assert connect(lake).execute(WHOLE).fetchall()[0][:2] == (210, 210)
