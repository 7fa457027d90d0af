"""A lake of two teams, with words in every column that nobody else has, to see what a viewer of one of them is shown.

They share traces, sessions and models, and some calls say no team. Whatever a column may hold of a team has its word in
it: `amber` or `birch`; of nobody's, `stray`.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterable, Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import pyarrow as pa

from guarded_rows import cached, decision, dollars, refused, told
from ledger_rows import Row, call, make_lake, span
from spanledger.contract import NONE
from spanledger_analytics.alerts.states import Alert
from spanledger_analytics.alerts.store import Store
from spanledger_analytics.counting import refresh
from spanledger_analytics.snapshot import Snapshots
from spanledger_collector.lake import add_files, write_days
from spanledger_collector.revenue import read_revenue, take_revenue
from spanledger_collector.rewrite import rewrite_day
from spanledger_collector.tables import CORRECTIONS, OUTCOMES, READINGS, SETTLED, SETTLEMENTS, LakeTable

TEAMS: Final = ("amber", "birch")
NOBODY: Final = "stray"
DAYS: Final = 16
_FIRST_TRACE: Final = {"amber": 0xA3BE_0000, "birch": 0xB1BC_0000, NOBODY: 0x0B0D_0000}
_SHARED: Final = 0x5A5A_0000
HIDDEN: Final = ("birch", "stray", "000b1bc", "0000b0d")
"""What is in no answer to a viewer of amber; ids have hexadecimal words, long enough that no checksum has them."""
MINUTE: Final = timedelta(minutes=1)
_DAY: Final = timedelta(days=1)


def two_teams(folder: Path, last: datetime, only: str | None = None) -> Path:
    """Write the lake, up to `last` (UTC); with `only`, what it would be if there were that team alone."""
    lake = folder / "lake"
    _settlements(lake, last, only)
    spans = [row for row in _spans(last) if only in (None, row["team_id"])]
    _add(lake, OUTCOMES, [row for row in _outcomes(last) if only is None or _is_of(row, only)])
    if only is None:
        reading = {"metric": "stray.tokens", "service_name": "birch-service", "model": "birch-model", "value": 77}
        times = dict.fromkeys(("since", "time", "ingested_at"), last - _DAY)
        _add(lake, READINGS, [reading | times | {"series": "s", "side": "input", "temporality": "delta"}])
    _add(lake, CORRECTIONS, [_corrected(row) for row in spans if row["span_id"].endswith("00001")])
    make_lake(lake, spans, version=1)
    teams = [team for team in TEAMS if only in (None, team)]
    lines = [f"{team}-customer,{team}-user,{team},{team}-feature,{last:%Y-%m},30" for team in teams]
    nobodys = [f"stray-customer,,,,{last:%Y-%m},50"] if only is None else []
    text = "\n".join(["customer,user,team,feature,month,amount", *lines, *nobodys])
    take_revenue(lake, read_revenue(text, "invoices.csv", NONE))
    snapshot = Snapshots(lake).now()
    refresh(snapshot, [day for day in _days(snapshot.spans) if day.day % 3 and day < last.date()])
    return lake


def with_alerts(home: Path, last: datetime) -> Path:
    """Let an alert of each team fire in a home, one of a user and one of all calls; return the home."""
    store = Store(home)
    scopes = [{"scope": "team", "team": team} for team in TEAMS]
    scopes += [{"scope": "user", "user": "birch-user"}, {"scope": "total"}]
    alerts = {}
    for number, scope in enumerate(scopes):
        word = scope.get("team", "stray")
        labels = {"alertname": f"{word}-rule", "kind": "velocity", "severity": "warning"} | scope
        words = f"{word} spends $12"
        begun = last - timedelta(hours=number + 1)
        alert = Alert(f"{word}-rule", labels, "firing", begun, Decimal(12), Decimal(2), "USD", words, fired_at=begun)
        alerts[alert.fingerprint] = alert
        over = begun - timedelta(days=1)
        for event, at in (("firing", over - MINUTE), ("resolved", over)):
            store.note(alert, event, at)
        store.note(alert, "firing", begun)
    store.put_alerts({}, alerts)
    store.close()
    return home


def words_in(text: str, words: Iterable[str] = HIDDEN) -> set[str]:
    """Return those of some words that are in a text, in whatever case."""
    return {word for word in words if word in text.lower()}


def _spans(last: datetime) -> list[Row]:
    draw = random.Random(11)
    rows: list[Row] = []
    for back in range(DAYS, -1, -1):
        day = last - back * _DAY
        for team in (*TEAMS, NOBODY):
            for number in range(2):
                trace = _FIRST_TRACE[team] + back * 16 + number
                start = day - timedelta(minutes=draw.randint(2, 50) + 60 * number)
                rows += _request(trace, start, team, draw)
            if back in (1, 2):
                rows += _controlled(_FIRST_TRACE[team] + 0x7000 + 16 * back, day, team)
            if back == 1:
                rows += _loop(_FIRST_TRACE[team] + 0x9000, day, team)
        shared = day - 90 * MINUTE
        rows += _request(_SHARED + back, shared, "birch", draw)
        rows += _request(_SHARED + back, shared + MINUTE, "amber", draw, first=10)
    return rows


def _request(trace: int, start: datetime, team: str, draw: random.Random, *, first: int = 0) -> list[Row]:
    tags = _tags(team, draw.randint(1, 3))
    above = span(
        trace,
        first,
        start,
        role="agent",
        **tags,
        operation="invoke_agent",
        agent_name=f"{team}-agent",
        duration_us=30_000_000,
    )
    above["name"] = f"{team}-run"
    inside = tags | {"parent_span_id": above["span_id"], "agent_name": f"{team}-agent"}
    rows = [above]
    for turn in range(3):
        model = ("gpt-5", "gpt-5-mini", "claude-haiku-4-5")[draw.randint(0, 2)]
        made = call(
            trace,
            first + 1 + turn,
            start + turn * timedelta(seconds=5),
            model,
            draw.randint(1, 9) * 10_000 * (turn + 1),
            draw.randint(1, 9) * 1_000,
            cache_read=20_000 * turn,
            reasoning=100,
            turn=turn,
            message_count=1 + 2 * turn,
            **inside,
        )
        if turn == 1:
            named = dict.fromkeys(("request_model", "response_model", "matched_model"), f"{team}-model")
            made |= named | {"price_id": f"overlay:{team}-model", "name": f"chat {team}-model"}
        if turn == 2 and draw.random() < 0.5:
            made |= {"status": "error", "error_type": f"{team}-error", "status_message": f"{team} is out of luck"}
        rows.append(made)
    return [*rows, *_others(trace, first, start, team, inside)]


def _loop(trace: int, start: datetime, team: str) -> list[Row]:
    """Return an agent that runs away with one prompt, the cache of which breaks after a while."""
    return [
        call(
            trace,
            number,
            start + number * 2 * MINUTE,
            uncached=2_000 if number < 15 else 90_000,
            output=90_000,
            cache_read=88_000 if number < 15 else 0,
            prompt_hash=f"{team}-prompt",
            agent_name=f"{team}-agent",
            **_tags(team, 1),
        )
        for number in range(25)
    ]


def _controlled(trace: int, start: datetime, team: str) -> list[Row]:
    """Return a call that was refused, one that a cache answered, and one that a router looked at."""
    said = decision(f"{team}-rule", "block", scope=f"team_id={team}", sentence=f"{team} is out of money")
    tags = _tags(team, 1)
    turned_away: Row = {**tags, "attributes": told(said | dollars("0.5"))}
    looked_at: Row = {
        **tags,
        "guard_action": "allow",
        "guard_policy": f"{team}-route",
        "attributes": told(rule=f"{team}-route", arm="shadow", model="gpt-5-mini") + tags["attributes"],
    }
    return [
        refused(trace, 1, start, said | dollars("0.5"), **turned_away),
        cached(trace, 2, start, "0.25", **tags | {"guard_policy": f"{team}-cache"}),
        call(trace, 3, start, **looked_at),
    ]


def _others(trace: int, first: int, start: datetime, team: str, inside: Row) -> list[Row]:
    """Return a tool, and a call without a price."""
    tool = {"role": "tool", "operation": "execute_tool", "tool_name": f"{team}-tool"}
    lost = call(trace, first + 5, start + timedelta(seconds=20), f"{team}-unknown", **inside)
    return [span(trace, first + 4, start + timedelta(seconds=17), **tool, **inside) | {"name": f"{team}-tool"}, lost]


def _tags(team: str, number: int) -> Row:
    return {
        **{f"{name}_id": f"{team}-{name}-{number}" for name in ("user", "customer", "session")},
        "team_id": None if team == NOBODY else team,
        "feature": f"{team}-feature-{number}",
        "session_id": f"{team}-session-{number}",
        **{name: f"{team}-{name}" for name in ("service_name", "environment", "release", "region", "request_type")},
        **{name: f"{team}-{name}" for name in ("provider_account", "provider_project", "endpoint_host", "prompt_name")},
        "tags": [("plan", f"{team}-plan"), (f"{team}-key", "yes")],
        "attributes": [(f"{team}.attribute", f'"{team}"')],
        "resource": [("host.name", f'"{team}-host"')],
        "events": json.dumps([{"name": f"{team}-event"}]),
        "response_id": f"{team}-response",
    }


def _settlements(lake: Path, last: datetime, only: str | None) -> None:
    """Book calls as one team's that are settled as another's, on two days; write one of them anew with that."""
    booked, said = [], []
    for number, (before, after) in enumerate([("birch", "amber"), ("amber", "birch"), (NOBODY, "amber")] * 2):
        trace = _FIRST_TRACE[after] + 0x8000 + number
        plain = {name: value for name, value in _tags(after, 1).items() if name not in SETTLED}
        row = call(trace, 1, last - (3 + number // 3) * _DAY, "gpt-5", 50_000, 5_000, **_tags(before, 1) | plain)
        now = {name: row.get(name) for name in SETTLED}
        now |= {name: value for name, value in _tags(after, 1).items() if name in SETTLED}
        key = {name: row[name] for name in ("trace_id", "span_id", "ingested_at", "start_time")}
        if only in (None, after):
            booked.append(row | now if only else row)
            said.append(key | now | {"settled_at": row["ingested_at"] + MINUTE, "reason": "inherited"})
    make_lake(lake, booked, version=0)
    if only is None:
        _add(lake, SETTLEMENTS, said)
        rewrite_day(lake, (last - 3 * _DAY).date())


def _outcomes(last: datetime) -> list[Row]:
    rows = []
    for back in range(DAYS, 3, -1):
        at = last - back * _DAY + MINUTE
        named: list[tuple[int, str | None, str]] = [(_SHARED + back, None, NOBODY)]
        named += [(_FIRST_TRACE[team] + back * 16, team, team) for team in TEAMS]
        named += [(_FIRST_TRACE[team] + back * 16 + 1, None, team) for team in TEAMS]
        for number, (trace, team, word) in enumerate(named):
            rows.append(
                {
                    "outcome_id": f"{word}-{back}-{number}",
                    "trace_id": f"{trace:032x}",
                    "team_id": team,
                    "name": f"{word}-resolved",
                    "label": "success" if number % 2 else "failure",
                    "occurred_at": at,
                    "ingested_at": at,
                }
            )
    return rows


def _is_of(outcome: Row, team: str) -> bool:
    return str(outcome["name"]) == f"{team}-resolved"


def _corrected(row: Row) -> Row:
    key = {name: row[name] for name in ("trace_id", "span_id", "ingested_at")}
    prices = {"old_price_id": row["price_id"], "price_id": row["price_id"], "cost_usd": row["cost_usd"]}
    return (
        key | prices | {"reason": "resent", "priced_at": row["ingested_at"] + MINUTE, "start_time": row["start_time"]}
    )


def _add(lake: Path, table: LakeTable, rows: Sequence[Row]) -> None:
    clock = {OUTCOMES: "occurred_at", READINGS: "time"}.get(table, "start_time")
    dated: list[dict[str, Any]] = [{"dt": row[clock].date(), **row} for row in rows]
    made = pa.Table.from_pylist(dated, schema=table.full_schema)
    add_files(lake, write_days(lake, "beside", made, table), writer="beside", version=0, table=table)


def _days(files: Iterable[Any]) -> list[date]:
    return sorted({file.dt for file in files})
