"""What the page on alerts makes of the rows of reports."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import plotly.graph_objects as go
import polars as pl

from spanledger_analytics.alerts.episodes import EPISODES
from spanledger_dashboard.cards.strange import row_of
from spanledger_dashboard.charts.episodes import episodes_figure

BEGIN = datetime(2026, 11, 1, tzinfo=UTC)
UNTIL = datetime(2026, 11, 11, tzinfo=UTC)
DAY = timedelta(days=1)
LEAST_MS = 0.004 * 10 * 86_400_000


def episode(state: str, scope: str, fired: datetime | None, over: datetime | None, severity: str) -> tuple[object, ...]:
    return (state, "<b>", scope, severity, fired, over, Decimal(1), Decimal(2), "USD", "it is dear")


def test_an_alert_is_a_bar_from_firing_to_end_and_thresholds_of_a_budget_share_a_lane() -> None:
    rows = [
        episode("firing", "basis=actual, team=a, threshold=50", UNTIL, None, "critical"),
        episode("pending", "team=b", None, None, "critical"),
        episode("resolved", "team=a, threshold=80", BEGIN - DAY, BEGIN + DAY, "warning"),
        episode("resolved", "team=c", BEGIN + DAY, BEGIN + 2 * DAY, "warning"),
    ]
    figure = episodes_figure(pl.DataFrame(rows, schema=EPISODES, orient="row"), BEGIN, UNTIL)
    checked = go.Figure(figure.to_dict())
    critical, warning = checked.data
    assert (list(critical["y"]), list(critical["x"])) == ([0], [LEAST_MS])
    assert (list(warning["y"]), list(warning["x"])) == ([0, 1], [86_400_000.0, 86_400_000.0])
    assert list(warning["base"]) == ["2026-11-01 00:00:00", "2026-11-02 00:00:00"]
    assert list(checked.layout.yaxis.ticktext) == ["&lt;b&gt; · team=a", "&lt;b&gt; · team=c"]
    assert warning["customdata"][1][0].split("<br>") == [
        "<b>&lt;b&gt;</b> team=c",
        "fired Mon 2 Nov 00:00 UTC, over Tue 3 Nov 00:00 UTC",
        "it is dear",
    ]


def finding(**columns: Any) -> dict[str, Any]:
    row: dict[str, Any] = {"of": "team", "team": "search", "user": None, "kind": "hours", "trace_id": None}
    money = {
        "cost_usd": Decimal(9),
        "expected_usd": Decimal(2),
        "excess_usd": Decimal(7),
        "made_by": "user ann 100.0 %",
    }
    return row | money | {"since": BEGIN + 13 * DAY / 24, "until": BEGIN + 16 * DAY / 24} | columns


def test_hours_lead_to_the_first_of_them_with_what_they_are_of() -> None:
    row = row_of(finding())
    assert (row.amount, row.title) == ("$7.00", "team search, Sun 1 Nov 13:00 to 16:00 UTC")
    assert row.said == "$9.00 instead of $2.00. Made by user ann 100.0 %."
    assert row.parameters == {"d": "2026-11-01", "h": "13", "team": "search"}
    assert row_of(finding(of="total")).parameters == {"d": "2026-11-01", "h": "13"}


def test_a_new_user_leads_to_the_user_and_a_far_request_to_itself() -> None:
    new = row_of(finding(of="user", user="eve", kind="new", until=None))
    assert (new.title, new.parameters) == ("user eve is new", {"d": "2026-11-01", "h": "13", "u": "eve"})
    far = row_of(finding(of="feature", feature=None, kind="request", until=None, trace_id="ab" * 16, made_by="9 times"))
    assert (far.title, far.said) == ("a request of feature (none)", "Sun 1 Nov 13:00 UTC: $9.00. 9 times.")
    assert far.parameters == {"d": "2026-11-01", "t": "ab" * 16}
