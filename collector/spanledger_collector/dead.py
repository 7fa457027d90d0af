"""The folder `dead/`: what will never become rows, kept whole with its reason: nothing is thrown away unseen."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from .disk import publish


def bury(folder: Path, name: str, dead: Sequence[tuple[bytes, str]]) -> None:
    """Keep what can't be converted: the bytes, and beside them why."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, (data, reason) in enumerate(dead):
        publish(folder / f"{name}-{number:04d}.pb", data)
        publish(folder / f"{name}-{number:04d}.json", json.dumps({"reason": reason}).encode())
