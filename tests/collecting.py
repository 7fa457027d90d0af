"""A real collector for tests that care about what comes out of it, not about its processes."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import collector_process
from spanledger_analytics.connection import connect
from waiting import wait_until


@dataclass(frozen=True, slots=True)
class RealCollector:
    """A collector that runs."""

    endpoint: str
    """OTLP base address, for SPANLEDGER_ENDPOINT."""
    lake: Path

    def ask(self, query: str) -> list[tuple[object, ...]]:
        """Return the rows of a query over the lake's views."""
        with contextlib.closing(connect(self.lake)) as connection:
            return connection.execute(query).fetchall()

    def wait_for_spans(self, count: int) -> None:
        """Return when the lake holds `count` spans or more."""
        wait_until(
            lambda: self.ask(f"select count(*) >= {count} from spans") == [(True,)],
            timeout_s=100,
            what=f"{count} spans",
        )


@contextlib.contextmanager
def collecting(folder: Path) -> Iterator[RealCollector]:
    """Run a collector on free ports, with its home and lake under `folder`."""
    with collector_process.collecting(folder) as collector:
        yield RealCollector(f"http://127.0.0.1:{collector.http_port}", collector.lake)
