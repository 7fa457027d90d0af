"""For tests of what is today: that it still is today when they end."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

_BEFORE_S = 60.0
"""As long as such a test may take on a machine that is busy."""
_AFTER_S = 5.0
"""For what such a test does a moment ago."""


def keep_off_midnight() -> None:
    """Wait until midnight UTC is over, where a test would begin shortly before it, or right after."""
    now = datetime.now(UTC)
    today = now.replace(hour=0, minute=0, second=0, microsecond=0)
    since_s, left_s = (now - today).total_seconds(), (today + timedelta(days=1) - now).total_seconds()
    if left_s < _BEFORE_S:
        time.sleep(left_s + _AFTER_S)
    elif since_s < _AFTER_S:
        time.sleep(_AFTER_S - since_s)
