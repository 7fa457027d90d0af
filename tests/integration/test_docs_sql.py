"""The questions of docs/sql.md are answered by the views as they are."""

from __future__ import annotations

import re
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import pytest

from ledger_rows import make_lake, traffic
from spanledger_analytics.connection import connect
from spanledger_analytics.snapshot import files_now
from spanledger_cli.sql import ask

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "sql.md").read_text("utf-8")
QUESTIONS = re.findall(r"^## (\d+\. [^\n]+)\n+```sql\n(.*?)```", PAGE, re.DOTALL | re.MULTILINE)


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_lake(tmp_path_factory.mktemp("sql") / "lake", traffic(datetime.now(UTC), days=9))


def test_the_page_has_ten_questions_and_no_other_sql() -> None:
    assert [title.partition(".")[0] for title, _ in QUESTIONS] == [str(number) for number in range(1, 11)]
    assert PAGE.count("```sql") == len(QUESTIONS)


@pytest.mark.parametrize(("title", "query"), QUESTIONS, ids=[title for title, _ in QUESTIONS])
def test_a_question_has_an_answer(lake: Path, title: str, query: str) -> None:
    answer = ask(files_now(lake), query)
    assert answer is not None, title
    assert answer.num_rows > 0, title


def test_the_views_can_be_asked_every_query_of_every_page(lake: Path) -> None:
    asked, refused = 0, []
    connection = connect(lake)
    for page in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]:
        text = page.read_text("utf-8")
        blocks = re.findall(r"^```sql\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
        for query in blocks + re.findall(r'spanledger sql "([^"]{4,})"', text):
            asked += 1
            try:
                connection.execute(query).fetchall()
            except duckdb.Error as error:
                refused.append(f"{page.name}: {error}")
    assert refused == []
    assert asked > len(QUESTIONS)


def test_the_lake_can_be_read_without_us(lake: Path) -> None:
    (program,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    done = subprocess.run([sys.executable, "-c", program], cwd=lake.parent, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert "user_id" in done.stdout
