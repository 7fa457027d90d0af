"""The dashboard as it is, on a clock that began in the evening of the generated lake's last day.

Pages count back from today, and a generated lake ends on a day of its own. `processes.py` starts this in place of the
dashboard's own script, with the moment at which it did.
"""

from __future__ import annotations

import sys
from datetime import UTC, datetime, time
from pathlib import Path
from typing import Final

sys.path.insert(0, str(Path(__file__).parents[1]))

from made.files import LAST
from spanledger_dashboard import data

STARTED: Final = datetime.fromtimestamp(float(sys.argv[sys.argv.index("--started") + 1]), UTC)
EVENING: Final = datetime.combine(LAST, time(20), UTC)


def _now() -> datetime:
    return EVENING + (datetime.now(UTC) - STARTED)


# Before pages take the name over.
data.now = _now

from spanledger_dashboard.application import main  # noqa: E402

main()
