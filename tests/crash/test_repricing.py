"""Repricing that is killed at its worst places: the next run ends where one that was left alone would have."""

from __future__ import annotations

import subprocess
import sys
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from ledger_rows import make_lake
from settled_rows import NOON, booked, metered
from spanledger_analytics.connection import connect

PRICE = Decimal("0.00225")
DYING = """
import os, signal, sys
from pathlib import Path
from spanledger import contract
from spanledger.contract_file import read_contract
from spanledger_collector import repricing
from spanledger_collector.candidates import Wanted

lake, agreed, place, when = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], int(sys.argv[4])
plain, calls = getattr(repricing, place), []

def deadly(*args, **kwargs):
    calls.append(1)
    if len(calls) == when:
        os.kill(os.getpid(), signal.SIGKILL)
    return plain(*args, **kwargs)

setattr(repricing, place, deadly)
contract.use(read_contract(agreed))
print(sum(day.changes.num_rows for day in repricing.reprice(lake, Wanted())))
"""


@pytest.mark.parametrize("place", ["write_file", "append_files", "append_unless_changed"])
def test_a_run_that_is_killed_is_finished_by_the_next(tmp_path: Path, place: str) -> None:
    lake, agreed = tmp_path / "lake", tmp_path / "contract.toml"
    agreed.write_text('[[discount]]\nname = "half"\nprovider = "openai"\npercent = 50\n', "utf-8")
    for day in range(4):
        rows = [metered(number, start_time=NOON + timedelta(days=day), trace=day + 1) for number in range(1, 4)]
        make_lake(lake, booked(rows).to_pylist(maps_as_pydicts="strict"), writer=f"w{day}")

    def run(when: int) -> subprocess.CompletedProcess[str]:
        argv = [sys.executable, "-c", DYING, str(lake), str(agreed), place, str(when)]
        return subprocess.run(argv, capture_output=True, text=True, timeout=120, check=False)

    assert run(2).returncode == -9
    assert run(1).returncode == -9
    ended = run(99)
    assert ended.returncode == 0, ended.stderr
    assert int(ended.stdout) > 0
    assert run(99).stdout == "0\n"
    assert connect(lake).execute("select count(*), sum(cost_usd) from llm_calls").fetchall() == [(12, 6 * PRICE)]
    assert connect(lake).execute("select count(*), sum(cost_usd) from corrections").fetchall() == [(12, 6 * PRICE)]
