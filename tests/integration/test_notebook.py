"""The notebook of examples/ is whole, without outputs, and every question of it has an answer."""

from __future__ import annotations

import ast
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from ledger_rows import make_lake, outcome, traffic
from spanledger_analytics.saved_queries import examples

NOTEBOOK = json.loads((Path(__file__).resolve().parents[2] / "examples" / "ten_questions.ipynb").read_text("utf-8"))
CODE = ["".join(cell["source"]) for cell in NOTEBOOK["cells"] if cell["cell_type"] == "code"]
TITLES = [cell["source"][0].strip() for cell in NOTEBOOK["cells"] if cell["source"][0].startswith("## ")]


@pytest.fixture(scope="module")
def notebook(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the first cell makes, over a lake with outcomes in it."""
    now = datetime.now(UTC)
    rows = traffic(now, days=15)
    ended = [row for row in rows if row["name"].startswith("invoke_agent")]
    said = [
        outcome(int(row["trace_id"], 16), 99, row["start_time"] + timedelta(minutes=1), success=number % 3 > 0)
        for number, row in enumerate(ended)
    ]
    lake = make_lake(tmp_path_factory.mktemp("notebook") / "lake", [*rows, *said])
    made: dict[str, Any] = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SPANLEDGER_LAKE", str(lake))
        exec(CODE[0], made)
    assert made["lake"] == lake
    return made


def test_its_questions_are_the_examples_of_the_dashboard() -> None:
    texts = [ast.literal_eval(cell.removeprefix("ask(").removesuffix(")")).strip() for cell in CODE[1:]]
    shipped = [example.query.partition("\n")[2].removesuffix(";") for example in examples()]
    assert texts == shipped
    assert [title.partition(". ")[2] for title in TITLES] == [example.name for example in examples()]


def test_it_has_ten_questions_and_no_outputs() -> None:
    assert [title.split()[1] for title in TITLES] == [f"{number}." for number in range(1, 11)]
    assert len(CODE) == 1 + len(TITLES)
    assert [cell for cell in NOTEBOOK["cells"] if cell.get("outputs") or cell.get("execution_count")] == []


@pytest.mark.parametrize(("title", "cell"), [*zip(TITLES, CODE[1:], strict=True)], ids=TITLES)
def test_a_question_has_an_answer(notebook: dict[str, Any], title: str, cell: str) -> None:
    answer = eval(compile(ast.parse(cell, mode="eval"), title, "eval"), notebook)
    assert isinstance(answer, pl.DataFrame)
    assert answer.height > 0, title
