"""Scripts that end while no collector is there: the next collector has all their spans, once, and whatever dies."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from collector_process import collecting, span_ids
from spanledger.spool import backlog
from waiting import wait_until

SCRIPTS = 8
SCRIPT = """
import spanledger, sys
for number in range(int(sys.argv[1])):
    with spanledger.span(f"step {number}", kind="step"):
        pass
"""
DIES_BEFORE_IT_DELETES = """
import os, sys
from pathlib import Path
from spanledger_collector import serve
plain = Path.unlink

def unlink(path, missing_ok=False):
    if path.parent.name == "spool":
        os._exit(9)
    plain(path, missing_ok)

Path.unlink = unlink
serve.main(sys.argv[1:])
"""


def _run_script(home: Path, steps: int) -> None:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("SPANLEDGER_", "OTEL_"))}
    # A port that nobody listens on, below those that are given out.
    switched = {"SPANLEDGER_ENABLED": "1", "SPANLEDGER_ENDPOINT": "http://127.0.0.1:9", "SPANLEDGER_HOME": str(home)}
    ran = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(steps)],
        env={**kept, **switched},
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert (ran.returncode, ran.stdout) == (0, "")


def _run_scripts(home: Path) -> int:
    """Run scripts, several at a time, that make 1, 2, 3... spans; return how many spans that is."""
    with ThreadPoolExecutor(4) as runners:
        list(runners.map(lambda steps: _run_script(home, steps), range(1, SCRIPTS + 1)))
    return SCRIPTS * (SCRIPTS + 1) // 2


def test_the_spans_of_scripts_that_found_no_collector_are_there_once_it_starts(tmp_path: Path) -> None:
    made = _run_scripts(tmp_path / "home")
    waiting = backlog(tmp_path / "home" / "spool")
    with collecting(tmp_path) as collector:
        wait_until(lambda: backlog(collector.home / "spool").files == 0, timeout_s=60, what="an empty spool")
        collector.wait_for_commit()
        ids = span_ids(collector.lake)

    assert waiting.files >= SCRIPTS
    assert len(ids) == len(set(ids)) == made


def test_a_collector_that_dies_before_it_deletes_what_it_took_counts_nothing_twice(tmp_path: Path) -> None:
    home, lake = tmp_path / "home", tmp_path / "lake"
    made = _run_scripts(home)
    flags = ["--home", str(home), "--lake", str(lake), "--grpc-port", "0", "--http-port", "0"]
    died = subprocess.run([sys.executable, "-c", DIES_BEFORE_IT_DELETES, *flags], timeout=180, check=False)
    taken, waiting = list((home / "wal").glob("*.wal*")), backlog(home / "spool")
    with collecting(tmp_path) as collector:
        wait_until(lambda: backlog(home / "spool").files == 0, timeout_s=60, what="an empty spool")
        collector.wait_for_commit()
        counted = Counter(span_ids(collector.lake))

    assert died.returncode == 9
    assert taken
    assert waiting.files >= SCRIPTS
    assert (len(counted), set(counted.values())) == (made, {1})
