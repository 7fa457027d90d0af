"""The settler dies at its worst places; the next one goes on, and every decision is there once."""

from __future__ import annotations

import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest

from ledger_rows import make_lake
from settled_rows import NOON, Row, agent, booked, metered, span
from spanledger_analytics.connection import connect
from spanledger_collector.lake import read_rows
from spanledger_collector.settling import Settled, settle_new
from spanledger_collector.tables import SETTLEMENTS

AT_ONCE = timedelta(0)
STAGE = """
import os, sys
from datetime import timedelta
from pathlib import Path
from spanledger_collector import lake, settling
settling.MOST_ROWS = 3

def before(name, times=1):
    plain, left = getattr(settling, name), [times]
    def dying(*args, **kwargs):
        left[0] -= 1
        return plain(*args, **kwargs) if left[0] else os._exit(9)
    setattr(settling, name, dying)

def after(name, times=1):
    plain, left = getattr(settling, name), [times]
    def dying(*args, **kwargs):
        result = plain(*args, **kwargs)
        left[0] -= 1
        return result if left[0] else os._exit(9)
    setattr(settling, name, dying)

exec(sys.argv[2])
settling.settle_new(Path(sys.argv[1]), timedelta(0))
"""


def commit(lake: Path, version: int, rows: list[Row]) -> None:
    make_lake(lake, booked(rows).to_pylist(maps_as_pydicts="strict"), version=version)


def as_settled(lake: Path) -> list[tuple[object, ...]]:
    query = "select span_id, user_id, cost_usd, duplicate_of, unpriced_reason from spans order by span_id"
    return connect(lake).execute(query).fetchall()


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param("before('settle')", id="before anything is decided"),
        pytest.param("before('write_days')", id="before the files"),
        pytest.param("after('write_days')", id="after the files, before the commit"),
        pytest.param("after('append_marked')", id="after the first commit of several"),
        pytest.param("before('append_marked', 3)", id="between two commits"),
        pytest.param("after('append_marked', 3)", id="after the last commit"),
    ],
)
def test_a_settler_that_dies_leaves_nothing_undone_and_nothing_twice(tmp_path: Path, fault: str) -> None:
    same: Row = {"response_id": "chatcmpl-0123456789"}
    batches: list[list[Row]] = [
        [agent(1), agent(2, trace=2), metered(3, 9, trace=3, dialect="litellm", **same)],
        [metered(4, 1, start_time=NOON + timedelta(days=1)), span(9, trace=3, user_id="u")],
        [metered(5, trace=4, **same), agent(6, trace=6)],
        [agent(7, 6, trace=6), metered(8, 7, trace=6, start_time=NOON + timedelta(days=2))],
    ]
    clean, lake = tmp_path / "clean", tmp_path / "lake"
    for version, rows in enumerate(batches):
        commit(clean, version, rows)
        commit(lake, version, rows)
    settle_new(clean, AT_ONCE)
    done = subprocess.run([sys.executable, "-c", STAGE, str(lake), fault], capture_output=True, text=True, timeout=180)
    assert done.returncode == 9, done.stderr
    settle_new(lake, AT_ONCE)
    assert as_settled(lake) == as_settled(clean)
    decided = read_rows(lake, SETTLEMENTS).select(["span_id", "replaces"]).to_pylist()
    assert len({tuple(row.items()) for row in decided}) == len(decided)
    assert settle_new(lake, AT_ONCE) == Settled(0, 0, False)
