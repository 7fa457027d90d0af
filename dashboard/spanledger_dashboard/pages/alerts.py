"""Alerts: what fires, what has fired, and what cost more than it should have."""

from __future__ import annotations

from spanledger_dashboard.cards import firing, series, strange
from spanledger_dashboard.components.bar import show_bar
from spanledger_dashboard.data import shown_lake


def page() -> None:
    """Draw the page; alerts aren't calls, so there are no filters."""
    asked = show_bar(shown_lake(), {series.FOUND: ()}, filters=False)
    firing.show_firing(asked)
    series.show_series(asked)
    strange.show_strange(asked)
    firing.show_history(asked)
