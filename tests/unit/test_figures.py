"""What the collector counts, and what a child publishes of it."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from spanledger_collector.figures import EDGES_S, FAMILIES, StageFigures, figures_dir, published

DOCS = Path(__file__).resolve().parents[2] / "docs" / "collector.md"


def test_a_child_that_starts_again_goes_on_counting(tmp_path: Path) -> None:
    for _ in range(2):
        figures = StageFigures(tmp_path, "convert")
        figures.add("unpriced_total", 3, "no_usage")
        figures.observe("lag_seconds", 0.3)
        figures.publish()
    found = published(tmp_path)
    assert found.values == {"unpriced_total": {("no_usage",): 6}}
    assert found.histograms["lag_seconds"].total_s == pytest.approx(0.6)
    assert found.histograms["lag_seconds"].counts == [2 * (edge == 0.5) for edge in EDGES_S] + [0]


def test_figures_of_all_children_are_seen(tmp_path: Path) -> None:
    for stage, table in (("convert", "spans"), ("other", "outcomes")):
        figures = StageFigures(tmp_path, stage)
        figures.add("rows_total", 1, table)
        figures.publish()
    assert published(tmp_path).values == {"rows_total": {("spans",): 1, ("outcomes",): 1}}


def test_a_busy_child_publishes_once_in_a_while_and_an_idle_one_at_once(tmp_path: Path) -> None:
    figures = StageFigures(tmp_path, "commit")
    seen = []
    for busy in (True, True, False):
        figures.add("duplicates_total", 1)
        figures.publish(busy=busy)
        seen.append(published(tmp_path).values["duplicates_total"][()])
    assert seen == [1, 1, 3]


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        "{}",
        '{"values": {"unpriced_total": [[1]]}, "histograms": {}}',
        '{"values": {"of_a_later_version": [["a", 1]]}, "histograms": {"lag_seconds": [1, 2]}}',
    ],
)
def test_what_is_not_of_this_version_is_left_out(tmp_path: Path, content: str) -> None:
    figures_dir(tmp_path).mkdir()
    (figures_dir(tmp_path) / "convert.json").write_text(content)
    found = published(tmp_path)
    assert {name: value for name, value in found.values.items() if value} == {}
    StageFigures(tmp_path, "convert").add("duplicates_total", 1)


def test_what_cannot_be_written_is_written_later(tmp_path: Path) -> None:
    figures = StageFigures(tmp_path, "commit")
    figures.add("duplicates_total", 1)
    figures_dir(tmp_path).rmdir()
    figures.publish()
    figures_dir(tmp_path).mkdir()
    figures.publish()
    assert json.loads((figures_dir(tmp_path) / "commit.json").read_text())["values"] == {"duplicates_total": [[1]]}


def test_the_docs_have_every_figure_as_the_code_has_it() -> None:
    rows = re.findall(r"^\| `(\w+)`(?: \(([\w, ]+)\))? \| (\w+) \| (.+) \|$", DOCS.read_text("utf-8"), re.MULTILINE)
    assert rows == [(one.name, ", ".join(one.labels), one.kind, one.sentence) for one in FAMILIES]
