"""What can be asked in SQL, as frames."""

from __future__ import annotations

from pathlib import Path

from spanledger_analytics.catalogue import columns, find, views

NAMES = (Path(__file__).parents[1] / "fixtures" / "schema.txt").read_text("utf-8").splitlines()


def test_every_column_that_a_confined_question_finds_is_there_with_its_type_and_sentence() -> None:
    confined = [name for name in NAMES if not name.startswith(("prices.", "charges."))]
    told = columns()
    assert [f"{view}.{column} {type_}" for view, column, type_, _ in told.iter_rows()] == confined
    assert not told.filter(comment="").height
    assert views()["view"].to_list() == told["view"].unique(maintain_order=True).to_list()
    assert views()["columns"].sum() == told.height


def test_sentences_have_no_links() -> None:
    assert not columns()["comment"].str.contains("](", literal=True).any()
    assert not views()["comment"].str.contains("](", literal=True).any()


def test_columns_are_found_by_words_of_their_name_view_and_sentence() -> None:
    found = find("Traces cache READ")
    assert found.select("view", "column").rows() == [("traces", "cache_read_tokens"), ("traces", "cost_cache_read")]
    assert find("no such thing %_(").is_empty()
