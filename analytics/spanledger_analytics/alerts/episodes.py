"""Alerts as frames: what rules see now, and what fired when."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

import polars as pl

from spanledger_analytics.reports.question import WHO
from spanledger_analytics.scope import TEAM, Scope

from .evaluate import Seen
from .reading import Reading, fingerprint, label_name
from .silences import Silence
from .states import Alert
from .store import Store

_MOMENT: Final = pl.Datetime("us", "UTC")
_NUMBER: Final = pl.Decimal(38, 12)
EPISODES: Final[dict[str, pl.DataType | type[pl.DataType]]] = {
    "state": pl.String,
    "rule": pl.String,
    "scope": pl.String,
    "severity": pl.String,
    "fired_at": _MOMENT,
    "resolved_at": _MOMENT,
    "value": _NUMBER,
    "trip_level": _NUMBER,
    "unit": pl.String,
    "summary": pl.String,
}
"""Columns of `episodes`."""
_SEEN: Final[dict[str, pl.DataType | type[pl.DataType]]] = {
    "rule": pl.String,
    "scope": pl.String,
    "state": pl.String,
    "value": _NUMBER,
    "trip_level": _NUMBER,
    "unit": pl.String,
    "summary": pl.String,
}
_TEAM: Final = label_name(next(name for name, column in WHO.items() if column == TEAM))
_OWN: Final = frozenset({"alertname", "kind", "severity", "scope"})


def episodes(store: Store, scope: Scope, since: datetime | None = None) -> pl.DataFrame:
    """Return each time that an alert fired since a moment (None: as long as it is kept), and those that fire now.

    Those that fire come first, then the latest; of thresholds of a budget that are reached only the highest fires here.
    `state` is firing, resolved, or pending; value and trip level are those of now for what fires, of the end for what
    is over. An alert is inside of a scope if it is one team's: one of a rule by something else may be about calls of
    all.
    """
    alerts = [alert for alert in store.alerts().values() if _is_inside(alert.labels, scope)]
    made = [_open(alert, "pending") for alert in alerts if alert.state == "pending"]
    firing = {alert.fingerprint for alert in alerts if alert.state == "firing"}
    made += [_open(alert, "firing") for alert in alerts if alert.state == "firing" and not alert.quiet]
    ends: dict[str, Mapping[str, Any]] = {}
    for event in store.history():
        if not _is_inside(event["labels"], scope):
            continue
        if event["event"] == "resolved":
            ends[event["fingerprint"]] = event
        elif event["fingerprint"] in ends:
            made.append(_closed(event, ends.pop(event["fingerprint"])))
        elif event["fingerprint"] not in firing:
            made.append(_closed(event, event | {"at": None}))
    frame = pl.DataFrame(made, schema=EPISODES, orient="row")
    if since is not None:
        frame = frame.filter((pl.col("state") != "resolved") | (pl.col("resolved_at") >= since))
    order = pl.col("state").replace_strict({"firing": 0, "pending": 1, "resolved": 2}, return_dtype=pl.Int8)
    return frame.sort(order, pl.col("fired_at"), pl.col("rule"), descending=[False, True, False], maintain_order=True)


def seen_now(
    seen: Sequence[Seen], alerts: Mapping[str, Alert], silences: Sequence[Silence], now: datetime
) -> pl.DataFrame:
    """Return what rules see: a row a reading. `state` says what it would be: ok, tripped, firing, silenced."""
    made: list[tuple[object, ...]] = []
    for one in seen:
        if one.trouble:
            made.append((one.rule.name, "", "error", None, None, None, one.trouble))
        for reading in one.readings:
            labels = one.rule.labels_of(reading)
            silent = any(silence.holds(labels, now) for silence in silences)
            alert = alerts.get(fingerprint(labels))
            state = "silenced" if silent and reading.is_over else _state(reading, alert)
            cells = (reading.value, reading.trip, reading.unit, reading.summary)
            made.append((one.rule.name, scope_text(labels), state, *cells))
    return pl.DataFrame(made, schema=_SEEN, orient="row")


def _is_inside(labels: Mapping[str, str], scope: Scope) -> bool:
    if scope.is_everything:
        return True
    return scope.columns == (TEAM,) and labels["scope"] == _TEAM and labels.get(_TEAM) in scope.values(TEAM)


def _state(reading: Reading, alert: Alert | None) -> str:
    if alert is not None and alert.state == "firing":
        return "firing"
    return "tripped" if reading.is_over else "ok"


def scope_text(labels: Mapping[str, str]) -> str:
    """Return the labels that tell an alert from the rule's others, as text."""
    return ", ".join(f"{name}={value}" for name, value in sorted(labels.items()) if name not in _OWN)


def _open(alert: Alert, state: str) -> tuple[object, ...]:
    return (
        *(state, alert.rule, scope_text(alert.labels), alert.labels.get("severity", ""), alert.fired_at, None),
        *(alert.value, alert.trip, alert.unit, alert.summary),
    )


def _closed(began: Mapping[str, Any], ended: Mapping[str, Any]) -> tuple[object, ...]:
    labels = began["labels"]
    value: tuple[Decimal, Decimal] = (ended["value"], ended["trip"])
    return (
        *("resolved", began["rule"], scope_text(labels), labels.get("severity", ""), began["at"], ended["at"]),
        *(*value, ended["unit"], ended["summary"]),
    )
