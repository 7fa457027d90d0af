"""What of logs and metrics the ledger has a use for: agents' events, outcomes, and metrics that count what rows count.

The doors ask before they log a request, because most of what an exporter sends is an application's own business. So
nothing heavy is loaded here, and no more is looked at than it takes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord, ResourceLogs, ScopeLogs
from opentelemetry.proto.metrics.v1.metrics_pb2 import Metric
from opentelemetry.proto.resource.v1.resource_pb2 import Resource

from spanledger import names

from .agents import AGENTS, GEMINI_CLI, Agent, Event

_BY_DIALECT: Final = {agent.dialect: agent for agent in AGENTS}


class WantedLog(NamedTuple):
    """A log record that becomes a row."""

    resource_logs: ResourceLogs
    scope_logs: ScopeLogs
    record: LogRecord
    event: tuple[Agent, Event] | None
    """None for an outcome."""


@dataclass(frozen=True, slots=True)
class Counter:
    """A metric that counts what rows count, too."""

    kind_key: str
    """Attribute that says what is counted; empty where the metric has one kind only."""
    sides: Mapping[str, str]
    """Kind -> input, output or cost; kinds that are part of another one are left out."""


COUNTERS: Final[Mapping[str, Counter]] = {
    "claude_code.token.usage": Counter(
        "type", {"input": "input", "cacheRead": "input", "cacheCreation": "input", "output": "output"}
    ),
    "claude_code.cost.usage": Counter("", {"": "cost"}),
    "codex.turn.token_usage": Counter("token_type", {"input": "input", "output": "output"}),
    "gemini_cli.token.usage": Counter(
        "type", {"input": "input", "tool": "input", "output": "output", "thought": "output"}
    ),
    "gen_ai.client.token.usage": Counter("gen_ai.token.type", {"input": "input", "output": "output"}),
}
"""Name of a metric -> how it is read."""
_SAID_BETTER: Final = {GEMINI_CLI.scope: "gen_ai.client.token.usage"}
"""Scope -> a metric of it that counts less than another one of the same scope: Gemini's thoughts are left out of it."""


def wanted_logs(request: ExportLogsServiceRequest) -> Iterator[WantedLog]:
    """Yield the log records that become rows."""
    for resource_logs in request.resource_logs:
        for scope_logs in resource_logs.scope_logs:
            for record in scope_logs.log_records:
                name = _event_name(record, scope_logs.scope.name)
                if name == names.EVALUATION_EVENT:
                    yield WantedLog(resource_logs, scope_logs, record, None)
                elif (agent := _agent_of(name)) and (event := _kind_of(agent, name, record)):
                    yield WantedLog(resource_logs, scope_logs, record, (agent, event))


def wanted_metrics(request: ExportMetricsServiceRequest) -> Iterator[tuple[Resource, Metric]]:
    """Yield the metrics that are compared with rows, and what they are of."""
    for resource_metrics in request.resource_metrics:
        for scope_metrics in resource_metrics.scope_metrics:
            left_out = _SAID_BETTER.get(scope_metrics.scope.name)
            for metric in scope_metrics.metrics:
                if metric.name in COUNTERS and metric.name != left_out:
                    yield resource_metrics.resource, metric


def _event_name(record: LogRecord, scope: str) -> str:
    """Return the full name of an event, `claude_code.api_request`; empty for a log record that is none of ours.

    The attribute comes first: what Rust's bridge writes into the field is a place in the source.
    """
    told = (pair.value.string_value for pair in record.attributes if pair.key == "event.name")
    texts = [text for text in (*told, record.event_name, record.body.string_value) if text]
    for text in texts:
        if _agent_of(text) or text == names.EVALUATION_EVENT:
            return text
    agent = next((agent for agent in AGENTS if agent.scope == scope), None)
    return f"{agent.dialect}.{texts[0]}" if agent and texts else ""


def _agent_of(name: str) -> Agent | None:
    return _BY_DIALECT.get(name.partition(".")[0])


def _kind_of(agent: Agent, name: str, record: LogRecord) -> Event | None:
    """Return what kind of event it is, None for one that is neither call nor tool."""
    short = name.partition(".")[2]
    for event in agent.events:
        if event.name == short and (not event.needs or any(pair.key == event.needs for pair in record.attributes)):
            return event
    return None
