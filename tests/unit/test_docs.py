"""The reference pages say what the code says, and README's links lead somewhere."""

from __future__ import annotations

import re
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TOOL = runpy.run_path(str(ROOT / "tools" / "reference_docs.py"))


def test_no_name_or_type_that_sql_relies_on_is_gone() -> None:
    assert TOOL["lost"]() == [], "columns and views are added, never renamed, retyped or taken away: bring them back"


def test_the_reference_pages_are_up_to_date() -> None:
    pages: dict[Path, str] = TOOL["pages"]()
    stale = [path.name for path, text in pages.items() if not path.exists() or path.read_text("utf-8") != text]
    assert stale == [], "run `make docs`, which also takes new columns into tests/fixtures/schema.txt"


def test_the_list_of_names_is_not_rewritten_where_one_is_gone(tmp_path: Path) -> None:
    for part in ("tools/reference_docs.py", "tools/figures.py", "tests/fixtures/schema.txt"):
        (tmp_path / part).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / part, tmp_path / part)
    names = tmp_path / "tests/fixtures/schema.txt"
    names.write_text(names.read_text("utf-8") + "spans.cost DOUBLE\n", "utf-8")
    (tmp_path / "docs").mkdir()
    program = [sys.executable, str(tmp_path / "tools/reference_docs.py")]
    done = subprocess.run(program, capture_output=True, text=True, timeout=180)
    assert (done.returncode, done.stderr) == (
        1,
        "renamed, retyped or gone, which breaks people's SQL: spans.cost DOUBLE; bring it back\n",
    )
    assert list((tmp_path / "docs").iterdir()) == []


def test_links_between_pages_lead_somewhere() -> None:
    broken = [
        f"{page.name}: {target}"
        for page in [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")]
        for target in re.findall(r"\]\(([^)#\s]+)", page.read_text("utf-8"))
        if "://" not in target and not (page.parent / target).exists()
    ]
    assert broken == []


def test_no_page_has_marks_of_an_unfinished_merge() -> None:
    marked = [
        f"{page.name}: {line}"
        for page in [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")]
        for line in page.read_text("utf-8").splitlines()
        if line.startswith(("<<<<<<<", ">>>>>>>"))
    ]
    assert marked == []
