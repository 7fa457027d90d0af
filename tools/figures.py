"""Tells docs/evidence as a table: what is promised of speed, size and accuracy, what was measured, and beside whom.

`tools/reference_docs.py` writes it as docs/figures.md and, the first of them, into README, so that a figure that is
measured again is right in both.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from operator import ge, le
from pathlib import Path
from typing import Any, Final

EVIDENCE: Final = Path(__file__).resolve().parent.parent / "docs" / "evidence"


@dataclass(frozen=True, slots=True)
class Promise:
    """One figure."""

    what: str
    """With its unit."""
    check: str
    """File of docs/evidence, and name for tools/prove.py."""
    ours: str
    """Where the figure stands: keys, with "/" between them."""
    target: float | None = None
    most: bool = True
    """The target is the most that it may be; else the least."""
    peers: Mapping[str, str] = field(default_factory=dict)
    """Name to where its figure stands, in the same run."""
    in_readme: str = ""
    """What README calls it; empty: it doesn't."""


def _call(name: str) -> dict[str, str]:
    peers = {"OpenTelemetry's own": "otel", "OpenInference": "openinference", "OpenLLMetry": "openllmetry"}
    return {peer: f"added_us_per_call/{key}/{name}" for peer, key in peers.items()}


def _asked(name: str, quantile: str) -> dict[str, str]:
    peers = {"Polars": "polars", "DataFusion": "datafusion", "chDB": "chdb"}
    return {peer: f"questions/{name}/{key}/{quantile}" for peer, key in peers.items()}


def _question(words: str, name: str, target: float) -> Promise:
    ours = f"questions/{name}/spanledger/p95_ms"
    return Promise(f"{words}, 101 million spans, ms (p95)", "queries", ours, target, peers=_asked(name, "p95_ms"))


def _step(name: str) -> Promise:
    return Promise(
        f"{name}, by click in Chromium, 10 million spans, ms (p95)", "dashboard", f"steps/{name}/p95_ms", 300
    )


def _beside_peers(words: str, name: str, in_readme: str = "") -> Promise:
    peers = {peer: f"beside_peers/steps/{name}/{key}/p50_ms" for peer, key in _PEERS.items()}
    ours = f"beside_peers/steps/{name}/spanledger/p50_ms"
    return Promise(f"{words}, in Chromium, ms (median)", "dashboard", ours, peers=peers, in_readme=in_readme)


_PEERS: Final = {"Phoenix": "arize-phoenix", "MLflow": "mlflow"}
PROMISES: Final = (
    Promise(
        "CPU added to a chat call, µs",
        "overhead",
        "added_us_per_call/spanledger/openai chat",
        peers=_call("openai chat"),
        in_readme="CPU added to a call of the OpenAI SDK, µs",
    ),
    Promise(
        "CPU added to a stream of 50 chunks, µs",
        "overhead",
        "added_us_per_call/spanledger/openai stream",
        peers=_call("openai stream"),
    ),
    Promise(
        "chat call, no budget on it, as a part of OpenTelemetry's own",
        "overhead",
        "spanledger_to_peer/otel/openai chat",
        0.6,
    ),
    Promise("stream of 50 chunks, the same", "overhead", "spanledger_to_peer/otel/openai stream", 0.4),
    Promise(
        "CPU to take 100,000 spans in, from OTLP to priced Parquet that can be asked, s",
        "ingest",
        "cpu_s_per_100k/total",
        1.6,
        peers={"MLflow": "peers/mlflow/cpu_s_per_100k", "Phoenix": "peers/arize-phoenix/cpu_s_per_100k"},
        in_readme="CPU to take 100,000 spans in, until they can be asked for, s",
    ),
    Promise(
        "spans acknowledged a second, after fsync, parsed", "ingest", "burst/parse/acknowledged_per_s", 120_000, False
    ),
    Promise("the same, framing only", "ingest", "burst/framing/acknowledged_per_s", 200_000, False),
    Promise(
        "bytes on disk of a span",
        "ingest",
        "cpu_s_per_100k/bytes_per_span",
        60,
        peers={"MLflow": "peers/mlflow/bytes_per_span", "Phoenix": "peers/arize-phoenix/bytes_per_span"},
        in_readme="Bytes on disk of a span",
    ),
    Promise(
        "90 days by day and model, 101 million spans, ms (p95)",
        "queries",
        "questions/days/spanledger/p95_ms",
        100,
        peers=_asked("days", "p95_ms"),
        in_readme="90 days of 101 million spans by day and model, ms",
    ),
    _question("hours of a day", "hours", 100),
    _question("users of an hour", "users", 100),
    _question("requests of a user", "requests", 100),
    _question("one trace", "trace", 100),
    _question("one trace without its date", "trace without date", 300),
    Promise(
        "price of one call, µs",
        "pricing-speed",
        "a_call/spanledger/us",
        peers={"genai-prices": "a_call/genai-prices/us", "LiteLLM": "a_call/litellm/us"},
        in_readme="Price of one call, µs",
    ),
    Promise(
        "spans priced a second of CPU in SQL",
        "pricing-speed",
        "in_sql_on_two_threads/summed/spans_per_s_by_cpu",
        2_500_000,
        False,
    ),
    _step("day -> hours"),
    _step("hours -> users"),
    _step("users -> requests"),
    _step("requests -> trace"),
    Promise("first load of the dashboard, ms (p95)", "dashboard", "first_load/p95_ms", 2500),
    _beside_peers("list of traces, first load of 10,000 traces", "first load of the list"),
    _beside_peers("a trace opened from the list", "open a trace", "A trace opened, in Chromium, ms"),
    _beside_peers("cost of each day", "cost by day"),
    Promise(
        "four budgets held and settled, in memory, µs (median)",
        "guard",
        "four_scopes/spanledger, memory/reserve and settle/us",
        5,
        peers={
            "`limits`, four hits": "four_scopes/limits, memory/four hits/us",
            "LiteLLM": "four_scopes/litellm, memory/reserve and reconcile/us",
        },
        in_readme="Four budgets held and settled, in memory, µs",
    ),
    Promise(
        "the same in SQLite, for the processes of a machine",
        "guard",
        "four_scopes/spanledger, sqlite/reserve and settle/us",
        60,
    ),
    Promise(
        "the same in Redis",
        "guard",
        "four_scopes/spanledger, redis/reserve and settle/us",
        200,
        peers={
            "`limits`, four hits": "four_scopes/limits, redis/four hits/us",
            "a PING": "floor/redis-py, a PING/one/us",
        },
    ),
    Promise(
        "anomalies, NAB's hourly series by NAB's scorer, points",
        "anomalies",
        "detectors/spanledger/all/nab",
        55.7,
        False,
        peers={
            "seasonal median and MAD": "detectors/seasonal median and MAD/all/nab",
            "150 % of the trailing mean": "detectors/150 % of the trailing mean/all/nab",
        },
    ),
    Promise(
        "forecast, M4's hourly series, MASE",
        "forecast",
        "hours/spanledger/all/mase",
        1.04,
        peers={"seasonal naive": "hours/seasonal naive/all/mase"},
    ),
)


def figures_table() -> list[str]:
    """Return all figures as lines of a table."""
    lines = ["| what | measured | promised | beside it | evidence |", "|---|---:|---:|---|---|"]
    for promise in PROMISES:
        ours, target = _ours(promise), promise.target
        met = target is None or (le if promise.most else ge)(ours, target)
        told = "" if target is None else f"{'at most' if promise.most else 'at least'} {_number(target)}"
        shown = _number(ours) if met else f"**{_number(ours)}**"
        lines.append(f"| {promise.what} | {shown} | {told} | {_beside(promise)} | {_evidence(promise)} |")
    return lines


def readme_table() -> list[str]:
    """Return the figures of README as lines of a table."""
    lines = ["| | spanledger | beside it, in the same run |", "|---|---:|---|"]
    chosen = (promise for promise in PROMISES if promise.in_readme)
    return lines + [f"| {one.in_readme} | {_number(_ours(one))} | {_beside(one)} |" for one in chosen]


def _ours(promise: Promise) -> float:
    return _find(promise.check, promise.ours)


def _beside(promise: Promise) -> str:
    ours = _ours(promise)
    found = {name: _find(promise.check, place) for name, place in promise.peers.items()}
    return ", ".join(f"{name} {_number(figure)} ({_number(figure / ours)}x)" for name, figure in found.items())


def _evidence(promise: Promise) -> str:
    date = _read(promise.check).get("date", "")
    return f"[{promise.check}](evidence/{promise.check}.json) {date}".rstrip()


def _find(check: str, place: str) -> float:
    found: Any = _read(check)
    found = found.get("measured", found)
    for key in place.split("/"):
        found = found[key]
    return float(found)


def _read(check: str) -> Any:
    return json.loads((EVIDENCE / f"{check}.json").read_text("utf-8"))


def _number(figure: float) -> str:
    """Return three digits of a figure, or all before the point."""
    if figure >= 100:
        return f"{figure:,.0f}"
    return f"{figure:.3g}"
