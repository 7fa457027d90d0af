"""Addresses in a store, and what of a lake there is on this machine's disk."""

from __future__ import annotations

import importlib.util
import os
import time
from pathlib import Path

import pytest
from click.testing import CliRunner

from spanledger.lake_path import StorePath, lake_path
from spanledger.settings import load
from spanledger_cli import cli
from spanledger_cli.errors import MissingExtraError
from spanledger_collector.orphans import OLD_S, old_drafts
from spanledger_collector.storage import beside, draft_of

LAKE = "s3://bucket/one/lake"


@pytest.fixture(autouse=True)
def _own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPANLEDGER_HOME", str(tmp_path))


def test_the_parts_of_an_address_are_those_of_a_path() -> None:
    path = StorePath("s3://bucket/a") / "b" / "c.parquet"
    assert (str(path), path.key, path.name) == ("s3://bucket/a/b/c.parquet", "bucket/a/b/c.parquet", "c.parquet")
    assert str(path.parent) == "s3://bucket/a/b"
    assert str(path.relative_to(StorePath("s3://bucket/a"))) == "b/c.parquet"


def test_a_lake_is_where_the_setting_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPANLEDGER_LAKE", LAKE)
    assert load().lake == StorePath(LAKE)
    assert load(lake="~/lake").lake == Path.home() / "lake"
    assert [type(lake_path(text)) for text in (LAKE, "s3/bucket")] == [StorePath, type(Path())]


def test_drafts_that_somebody_died_over_are_deleted_after_a_day(tmp_path: Path) -> None:
    lake = StorePath(LAKE)
    old, new = (draft_of(lake, lake / "spans" / "dt=2026-11-03" / f"{name}.parquet") for name in ("old", "new"))
    assert beside(lake).parent == tmp_path / "stores"
    for draft, age_s in ((old, OLD_S + 60), (new, 0)):
        draft.touch()
        at = time.time() - age_s
        os.utime(draft, (at, at))
    assert old_drafts(lake) == [old]


def test_without_the_extra_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "fsspec" else find(name))
    result = CliRunner().invoke(cli, ["sql", "select 1", "--lake", LAKE])
    assert isinstance(result.exception, MissingExtraError)
    assert "pip install 'spanledger[s3]'" in str(result.exception)
