"""Queries that people keep, and those that ship."""

from __future__ import annotations

from pathlib import Path

import pytest

from spanledger_analytics.errors import SavedQueryError
from spanledger_analytics.saved_queries import (
    FOLDER,
    MOST_CHARACTERS,
    SavedQuery,
    examples,
    remove,
    save,
    saved,
    unread,
)


def test_a_kept_query_is_a_file_and_comes_back_by_name(tmp_path: Path) -> None:
    path = save(tmp_path, " Spend by plan ", "select 1\n\n")
    save(tmp_path, "A (second), one", "select 'é'")

    assert path == tmp_path / FOLDER / "Spend by plan.sql"
    assert path.read_text("utf-8") == "select 1\n"
    assert saved(tmp_path) == [SavedQuery("A (second), one", "select 'é'"), SavedQuery("Spend by plan", "select 1")]


def test_a_name_that_is_there_takes_the_new_query_and_a_removed_one_is_gone(tmp_path: Path) -> None:
    save(tmp_path, "one", "select 1")
    save(tmp_path, "one", "select 2")
    assert saved(tmp_path) == [SavedQuery("one", "select 2")]
    remove(tmp_path, "one")
    assert saved(tmp_path) == []
    with pytest.raises(SavedQueryError, match=r"can't be removed: No such file"):
        remove(tmp_path, "one")


@pytest.mark.parametrize("name", ["", "  ", "../one", "a/b", "a\\b", ".hidden", "a\nb", "x" * 61, "con\0", "-rf"])
def test_a_name_that_leads_elsewhere_is_refused(tmp_path: Path, name: str) -> None:
    for keep in (lambda: save(tmp_path, name, "select 1"), lambda: remove(tmp_path, name)):
        with pytest.raises(SavedQueryError, match="no query can be called"):
            keep()
    assert list(tmp_path.iterdir()) == []


def test_nothing_and_too_much_are_not_kept(tmp_path: Path) -> None:
    with pytest.raises(SavedQueryError, match="no query to save"):
        save(tmp_path, "one", " \n")
    with pytest.raises(SavedQueryError, match="longer than 100,000"):
        save(tmp_path, "one", "x" * (MOST_CHARACTERS + 1))
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / FOLDER).write_text("a file")
    with pytest.raises(SavedQueryError, match="can't be written"):
        save(tmp_path, "one", "select 1")


def test_a_file_that_is_no_text_is_left_out_and_told(tmp_path: Path) -> None:
    save(tmp_path, "good", "select 1")
    (tmp_path / FOLDER / "bad.sql").write_bytes(b"\xff\xfe\x00")
    assert [one.name for one in saved(tmp_path)] == ["good"]
    assert unread(tmp_path) == [(tmp_path / FOLDER / "bad.sql", "it is no text in UTF-8")]


def test_examples_are_named_by_the_question_that_they_answer() -> None:
    found = examples()
    assert len(found) == 10
    assert found[0].name == "What did each day cost, and how sure is it?"
    assert all(one.name.endswith("?") and one.query.startswith(f"-- {one.name}\n") for one in found)
