"""OTLP log bodies -> the spans that agents' events stand for, and outcomes.

All other log records are an application's own business: they are counted and dropped. The spans leave here as a
trace request of their own, so that there is one way only from a call to its price.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord, ResourceLogs, ScopeLogs
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, Span

from spanledger import names

from .agent_events import Attributes, agent_of, attributes_of, event_kind, event_name, time_of, to_span
from .agents import CONTENT, Agent, Event
from .outcomes import OutcomeRow, outcome_of_log


@dataclass(slots=True)
class LogsRead:
    """What a log body holds for the ledger."""

    spans: ExportTraceServiceRequest = field(default_factory=ExportTraceServiceRequest)
    """The spans of agents' events, in the order of the wire."""
    outcomes: list[OutcomeRow] = field(default_factory=list)
    refused: list[bytes] = field(default_factory=list)
    """Outcomes dated outside of what is taken, each as a request of its own."""
    others: int = 0
    """Log records that are nothing of these."""


@dataclass(frozen=True, slots=True)
class _Ours:
    """A log record that the ledger has a use for, an outcome or an agent's event."""

    resource_logs: ResourceLogs
    scope_logs: ScopeLogs
    record: LogRecord
    own: Attributes
    resource: Attributes
    event: tuple[Agent, Event] | None
    """None for an outcome."""


def read_logs(body: bytes, received_ns: int, oldest_ns: int, newest_ns: int) -> LogsRead:
    """Read an ExportLogsServiceRequest; outcomes are taken if they are of this span of time, ends included.

    Raises:
        google.protobuf.message.DecodeError: it isn't one.
    """
    request = ExportLogsServiceRequest.FromString(body)
    found = LogsRead(others=count_records(request))
    for ours in _ours(request):
        found.others -= 1
        if ours.event is not None:
            agent, event = ours.event
            span = to_span(agent, event, ours.record, ours.own, ours.resource)
            found.spans.resource_spans.append(_alone(ours, agent, span))
        elif oldest_ns <= time_of(ours.record, ours.own) <= newest_ns:
            scope = ours.scope_logs.scope.name
            found.outcomes.append(outcome_of_log(ours.record, scope, ours.own, ours.resource, received_ns))
        else:
            found.refused.append(_request(ours).SerializeToString())
    return found


def count_records(request: ExportLogsServiceRequest) -> int:
    """Return how many log records a request has."""
    return sum(len(scope.log_records) for resource in request.resource_logs for scope in resource.scope_logs)


def count_ours(request: ExportLogsServiceRequest) -> int:
    """Return how many log records of a request the ledger has a use for."""
    return sum(1 for _ in _ours(request))


def _ours(request: ExportLogsServiceRequest) -> Iterator[_Ours]:
    for resource_logs in request.resource_logs:
        resource: Attributes | None = None
        for scope_logs in resource_logs.scope_logs:
            for record in scope_logs.log_records:
                # Most records are an application's own, and doors look at them before they answer.
                name = event_name(record, scope_logs.scope.name)
                agent = agent_of(name)
                if agent is None and name != names.EVALUATION_EVENT:
                    continue
                own = attributes_of(record.attributes)
                event = event_kind(agent, name, own) if agent else None
                if event is not None or agent is None:
                    resource = attributes_of(resource_logs.resource.attributes) if resource is None else resource
                    told = (agent, event) if agent and event else None
                    yield _Ours(resource_logs, scope_logs, record, own, resource, told)


def _alone(ours: _Ours, agent: Agent, span: Span) -> ResourceSpans:
    """Return the span under its own resource and scope."""
    kept = [
        KeyValue(key=agent.resource.get(pair.key, pair.key), value=pair.value)
        for pair in ours.resource_logs.resource.attributes
        if pair.key not in CONTENT
    ]
    home = ResourceSpans(resource=Resource(attributes=kept), schema_url=ours.resource_logs.schema_url)
    inside = home.scope_spans.add(scope=ours.scope_logs.scope, spans=[span])
    inside.scope.name = agent.scope
    return home


def _request(ours: _Ours) -> ExportLogsServiceRequest:
    alone = ResourceLogs(resource=ours.resource_logs.resource)
    alone.scope_logs.add(scope=ours.scope_logs.scope, log_records=[ours.record])
    return ExportLogsServiceRequest(resource_logs=[alone])
