"""The demo's policy and its rules on alerts: files to look at and to change, in the home that it works in."""

from __future__ import annotations

from pathlib import Path


def write_starting_file(name: str, home: Path) -> None:
    """Put a file into the demo's home; one that is there stays as it is."""
    path = home / name
    if not path.exists():
        path.write_text(Path(__file__).with_name(name).read_text("utf-8"), "utf-8")
