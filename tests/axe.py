"""axe-core, the engine that finds what keeps people from reading a page: brought from npm once, then kept.

It is no dependency of anything that is shipped, and pip doesn't have it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tarfile
import tempfile
from functools import cache
from pathlib import Path
from typing import Any, Final

from playwright.sync_api import Page

PACKAGE: Final = "axe-core@4.14.1"
GRAVE: Final = ("serious", "critical")


@cache
def axe() -> str | None:
    """Return the script of axe-core, None where it is neither kept nor can be brought."""
    kept = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "spanledger-tests" / f"{PACKAGE}.js"
    if not kept.exists() and not _bring(kept):
        return None
    return kept.read_text("utf-8")


def _bring(kept: Path) -> bool:
    npm = shutil.which("npm")
    if npm is None:
        return False
    with tempfile.TemporaryDirectory() as folder:
        packed = subprocess.run([npm, "pack", PACKAGE, "--silent"], cwd=folder, capture_output=True, check=False)
        found = list(Path(folder).glob("*.tgz"))
        if packed.returncode or not found:
            return False
        with tarfile.open(found[0]) as archive:
            script = archive.extractfile("package/axe.min.js")
            assert script is not None
            kept.parent.mkdir(parents=True, exist_ok=True)
            part = kept.with_suffix(f".{os.getpid()}")
            part.write_bytes(script.read())
            part.replace(kept)
    return True


def grave_faults(page: Page) -> list[str]:
    """Return the serious and critical violations of a page, each with the element that has it."""
    script = axe()
    assert script is not None
    page.evaluate(f"{script}; 0")
    found: dict[str, Any] = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    return [
        f"{fault['impact']} {fault['id']}: {node['html'][:200]}"
        for fault in found["violations"]
        if fault["impact"] in GRAVE
        for node in fault["nodes"]
    ]
