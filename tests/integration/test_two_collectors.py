"""Two collectors over one lake take the same spans at the same time, and the views have each of them once."""

from __future__ import annotations

import contextlib
import http.client
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from collector_process import Collector, start_collector
from otlp_bodies import request, span
from receiving import PROTOBUF, request as post
from spanledger_analytics.connection import connect
from spanledger_collector.lake import open_table

BATCHES, SPANS = 60, 40
TOGETHER = 12
"""Batches that are sent before the next wait for a commit, so that there are several."""
START_NS = time.time_ns() - 3600 * 10**9


@pytest.fixture
def collectors(tmp_path: Path) -> Iterator[list[Collector]]:
    with (tmp_path / "collectors.log").open("ab") as errors:
        started = [start_collector(tmp_path / name, tmp_path / "lake", errors) for name in ("a", "b")]
        try:
            yield started
        finally:
            for collector in started:
                collector.kill()


def send(collector: Collector, bodies: list[bytes]) -> None:
    for sent, body in enumerate(bodies, 1):
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", collector.http_port, timeout=60)) as connection:
            assert post(connection, body, PROTOBUF).status == 200
        if sent % TOGETHER == 0:
            collector.wait_for_commit()


def batch(number: int, *, ended: bool) -> bytes:
    """Build a body whose spans are under way, or have taken 5 microseconds."""
    spans = [
        span(
            number=1 + number * SPANS + place,
            start_time_unix_nano=START_NS + number,
            end_time_unix_nano=START_NS + number + 5_000 if ended else 0,
        )
        for place in range(SPANS)
    ]
    return request(*spans)


def test_a_span_that_two_collectors_take_at_once_counts_once_and_as_the_fuller_copy(
    collectors: list[Collector],
) -> None:
    # Every span goes to both; of every other batch one of them gets what was sent before the spans had ended.
    loads = [
        [batch(number, ended=number % 2 == 0 or number % 4 == 1 + 2 * which) for number in range(BATCHES)]
        for which in range(2)
    ]
    with ThreadPoolExecutor() as pool:
        list(pool.map(send, collectors, loads))
    counted = connect(collectors[0].lake).execute(
        "select count(*), count(distinct span_id), count(duration_us), sum(duration_us) from spans"
    )
    assert counted.fetchall() == [(BATCHES * SPANS, BATCHES * SPANS, BATCHES * SPANS, 5 * BATCHES * SPANS)]
    history = open_table(collectors[0].lake).history()
    assert sum(entry["operation"] == "WRITE" for entry in history) > 2
