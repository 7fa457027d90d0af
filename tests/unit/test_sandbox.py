"""The thread for SQL that somebody typed: what it hands back, and how it is stopped."""

from __future__ import annotations

import os
import signal
import threading

import polars as pl
import pytest

from spanledger_analytics.sandbox import read_only


def test_a_result_and_an_error_come_back() -> None:
    assert read_only(lambda: 7) == 7
    with pytest.raises(ZeroDivisionError):
        read_only(lambda: 1 // 0)


def test_ctrl_c_stops_the_task_and_is_raised() -> None:
    """With polars imported, because its handler of SIGINT keeps a blocking wait from being interrupted."""
    assert pl.__version__
    told, ended = threading.Event(), threading.Event()

    def task() -> None:
        os.kill(os.getpid(), signal.SIGINT)
        assert told.wait(60)
        ended.set()

    with pytest.raises(KeyboardInterrupt):
        read_only(task, told.set)
    assert ended.is_set()
