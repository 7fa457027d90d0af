"""The thread that SQL runs in: no writes, or no SQL."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from spanledger_analytics import sandbox
from spanledger_analytics.errors import UnprotectedError
from spanledger_analytics.sandbox import read_only


def write(path: Path) -> str:
    path.write_text("written", "utf-8")
    return "done"


@pytest.mark.skipif(sys.platform != "linux", reason="Landlock is Linux's; elsewhere the files' modes protect them")
def test_a_task_can_read_but_not_write_and_its_caller_can(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write(path)
    assert read_only(lambda: path.read_text("utf-8")) == "written"
    with pytest.raises(PermissionError):
        read_only(lambda: write(path))
    assert write(path) == "done"


def test_root_without_landlock_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sandbox, "forbid_writes", lambda **_: False)
    monkeypatch.setattr(sandbox, "is_root", lambda: True)
    with pytest.raises(UnprotectedError, match="run it as another user"):
        read_only(lambda: 1)


def test_others_have_the_files_modes_for_protection(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sandbox, "forbid_writes", lambda **_: False)
    monkeypatch.setattr(sandbox, "is_root", lambda: False)
    assert read_only(lambda: 1) == 1
