"""The reference pages say what the code says, and README's links lead somewhere."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_the_reference_pages_are_up_to_date() -> None:
    pages: dict[Path, str] = runpy.run_path(str(ROOT / "tools" / "reference_docs.py"))["pages"]()
    stale = [path.name for path, text in pages.items() if not path.exists() or path.read_text("utf-8") != text]
    assert stale == [], "run `make docs`"


def test_reserved_columns_are_named_by_no_code_that_fills_rows() -> None:
    reserved: tuple[str, ...] = runpy.run_path(str(ROOT / "tools" / "reference_docs.py"))["RESERVED"]
    code = "".join(path.read_text("utf-8") for path in (ROOT / "collector").rglob("*.py") if path.name != "row.py")
    assert [name for name in reserved if f'"{name}"' in code] == [], (
        "take it out of RESERVED in tools/reference_docs.py"
    )


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
