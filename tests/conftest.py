"""In CI a skipped test is a failure: green means that all of it ran."""

from __future__ import annotations

import os
import sys
from collections.abc import Generator, Iterator

import pytest

IN_CI = os.environ.get("CI") == "true"


@pytest.fixture(autouse=True)
def own_main() -> Iterator[None]:
    """Streamlit leaves a tested page as the main module, and processes that are spawned later would run it again."""
    before = sys.modules["__main__"]
    yield
    sys.modules["__main__"] = before


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Turn a skipped test into a failure in CI."""
    report = yield
    if IN_CI and report.skipped and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"skipped in CI: {report.longrepr}"
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Turn a module that skips itself into a failure in CI."""
    report = yield
    if IN_CI and report.skipped:
        report.outcome = "failed"
    return report
