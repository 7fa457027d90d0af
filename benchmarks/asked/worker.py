"""One engine in one process: it answers each line of stdin, a question in JSON, and says what that took.

A line names the question, its arguments, and the files of its days. The answer comes in rows of plain values, money as
text with twelve places, so that answers of all engines can be compared; making that of it isn't part of the time. Peak
memory is that of the question alone where the kernel can reset it.

    python worker.py spanledger|duckdb-raw|chdb|polars|datafusion
"""

from __future__ import annotations

import contextlib
import json
import sys
import time
from collections.abc import Callable
from datetime import date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

Row = list[Any]
Ask = Callable[[dict[str, Any]], Callable[[], list[Row]]]
"""Takes a question; the time is over when it returns, and what it returned then makes the rows."""
_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 - as naive as what it is compared with


def main() -> None:
    """Answer until stdin ends."""
    ask = engine(sys.argv[1], Path(sys.argv[2]))
    for line in sys.stdin:
        question = json.loads(line)
        reset_peak()
        wall, cpu = time.perf_counter(), time.process_time()
        rows = ask(question)
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        answer = [[plain(value) for value in row] for row in rows()]
        print(json.dumps({"wall": wall, "cpu": cpu, "peak": peak_bytes(), "rows": answer}), flush=True)


def engine(name: str, lake: Path) -> Ask:
    """Return what answers; each is imported in its own process alone."""
    if name == "spanledger":
        from asked.ours import open_engine
    else:
        from asked.theirs import OPEN

        open_engine = OPEN[name]
    return open_engine(lake)


def plain(value: Any) -> Any:
    """Return a value as JSON has it, the same from every engine."""
    if isinstance(value, Decimal):
        return f"{value:.12f}"
    if isinstance(value, datetime):
        return (value.replace(tzinfo=None) - _EPOCH) // timedelta(microseconds=1)
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, float):
        raise TypeError(f"{value} is a float; no answer has one")
    return value


def reset_peak() -> None:
    """Forget the most memory so far, where that can be done."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", "ascii")


def peak_bytes() -> int:
    """Return the most resident memory since then."""
    for line in Path("/proc/self/status").read_text("ascii").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    return 0


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent.parent))
    main()
