"""All reports, by name; the command line, the documentation and the pages take them from here."""

from __future__ import annotations

from typing import Final

from .alerts import ALERTS
from .anomalies import ANOMALIES
from .answer import Report
from .avoided import AVOIDED
from .burn_down import BURN_DOWN
from .cache_breaks import CACHE_BREAKS
from .cache_health import CACHE_HEALTH
from .compare import COMPARE
from .concentration import CONCENTRATION
from .decisions import DECISIONS
from .drivers import DRIVERS
from .efficiency import EFFICIENCY
from .expected import EXPECTED
from .growth import GROWTH
from .loops import LOOPS
from .margin import MARGIN
from .month_end import FORECAST
from .movers import MOVERS
from .rate import RATE
from .refusals import REFUSALS
from .routes import ROUTES
from .spend import SPEND
from .spread import SPREAD
from .tag_coverage import TAG_COVERAGE
from .unit_cost import UNIT_COST

REPORTS: Final[dict[str, Report]] = {
    report.name: report
    for report in (
        SPEND,
        CONCENTRATION,
        TAG_COVERAGE,
        MARGIN,
        MOVERS,
        DRIVERS,
        LOOPS,
        FORECAST,
        BURN_DOWN,
        COMPARE,
        RATE,
        CACHE_HEALTH,
        CACHE_BREAKS,
        ANOMALIES,
        EXPECTED,
        UNIT_COST,
        EFFICIENCY,
        GROWTH,
        SPREAD,
        REFUSALS,
        DECISIONS,
        AVOIDED,
        ROUTES,
        ALERTS,
    )
}
