"""What pages ask of days that are over, kept before anybody asks: by the process that counts rollups."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import date, timedelta
from typing import Final

from spanledger_analytics.connection import Ledger
from spanledger_analytics.kept import DayQuestion, answered, lacking

from .avoided import CELLS as AVOIDED_CELLS
from .cache_breaks import line_cells
from .cache_health import prefix_cells
from .decisions import DECISION_DAYS
from .drivers import DRIVER_CELLS
from .efficiency import finding_cells
from .far_requests import REQUEST_COSTS
from .growth import growth_cells
from .hours_apart import HOURS_APART
from .loops import loop_cells
from .refusals import CELLS as REFUSAL_CELLS
from .routes import ROUTE_CELLS
from .tag_coverage import TAG_CELLS
from .totals import HOURS, PEOPLE, USER_HOURS
from .work import cells_of_work, traces_of_work

_FORTNIGHT: Final = 14
_WEEKS: Final = 35
_QUARTER: Final = 92
AHEAD: Final[tuple[tuple[DayQuestion, int], ...]] = (
    (HOURS, _QUARTER),
    (HOURS_APART, _QUARTER),
    (PEOPLE, _QUARTER),
    (REQUEST_COSTS, _WEEKS),
    (USER_HOURS, _WEEKS),
    (cells_of_work("session"), _FORTNIGHT),
    (traces_of_work("session"), _FORTNIGHT),
    (DECISION_DAYS, _WEEKS),
    *(
        (cells.of_days(), _WEEKS)
        for cells in (
            TAG_CELLS,
            DRIVER_CELLS,
            growth_cells(),
            loop_cells(),
            finding_cells(),
            line_cells(),
            prefix_cells(),
            REFUSAL_CELLS,
            AVOIDED_CELLS,
            ROUTE_CELLS,
        )
    ),
)
"""Each with how many days back it is kept."""


def keep_ahead(ledger: Ledger, today: date, seconds: float, clock: Callable[[], float] = time.monotonic) -> bool:
    """Keep what pages ask, the latest days first, for about so many seconds; says whether some of it is left."""
    until = clock() + seconds
    for back in range(1, _QUARTER + 1):
        day = today - timedelta(days=back)
        for asked in (asked for asked, most in AHEAD if back <= most):
            if lacking(ledger, asked, [day]):
                if clock() >= until:
                    return True
                answered(ledger, asked, day, day)
    return False
