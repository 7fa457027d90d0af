"""Files that were changed a while ago: what was changed just now may not be whole, and is not read yet."""

from __future__ import annotations

import os
import time
from pathlib import Path


def age(path: Path, seconds: float) -> None:
    """Have a file look as if it was changed so long ago."""
    changed = time.time() - seconds
    os.utime(path, (changed, changed))
