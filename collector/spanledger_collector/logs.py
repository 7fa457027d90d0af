"""OTLP log bodies -> the spans that agents' events stand for, and outcomes.

All other log records are an application's own business, and dropped. The spans leave here as a trace request of their
own, so that there is one way only from a call to its price.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.proto.logs.v1.logs_pb2 import ResourceLogs
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, Span

from .agent_events import attributes_of, time_of, to_span
from .agents import CONTENT, Agent
from .outcomes import OutcomeRow, outcome_of_log
from .wanted import WantedLog, wanted_logs


@dataclass(slots=True)
class LogsRead:
    """What a log body holds for the ledger."""

    spans: ExportTraceServiceRequest = field(default_factory=ExportTraceServiceRequest)
    """The spans of agents' events, in the order of the wire."""
    outcomes: list[OutcomeRow] = field(default_factory=list)
    refused: list[bytes] = field(default_factory=list)
    """Outcomes dated outside of what is taken, each as a request of its own."""


def read_logs(body: bytes, received_ns: int, oldest_ns: int, newest_ns: int) -> LogsRead:
    """Read an ExportLogsServiceRequest; outcomes are taken if they are of this span of time, ends included.

    Raises:
        google.protobuf.message.DecodeError: it isn't one.
    """
    found = LogsRead()
    for wanted in wanted_logs(ExportLogsServiceRequest.FromString(body)):
        record, scope = wanted.record, wanted.scope_logs.scope
        own, resource = attributes_of(record.attributes), attributes_of(wanted.resource_logs.resource.attributes)
        if wanted.event is not None:
            agent, event = wanted.event
            span = to_span(agent, event, record, own, resource)
            found.spans.resource_spans.append(_alone(wanted, agent, span))
        elif oldest_ns <= time_of(record, own) <= newest_ns:
            found.outcomes.append(outcome_of_log(record, scope.name, own, resource, received_ns))
        else:
            found.refused.append(_request(wanted).SerializeToString())
    return found


def _alone(wanted: WantedLog, agent: Agent, span: Span) -> ResourceSpans:
    """Return the span under its own resource and scope."""
    kept = [
        KeyValue(key=agent.resource.get(pair.key, pair.key), value=pair.value)
        for pair in wanted.resource_logs.resource.attributes
        if pair.key not in CONTENT
    ]
    home = ResourceSpans(resource=Resource(attributes=kept), schema_url=wanted.resource_logs.schema_url)
    inside = home.scope_spans.add(scope=wanted.scope_logs.scope, spans=[span])
    inside.scope.name = agent.scope
    return home


def _request(wanted: WantedLog) -> ExportLogsServiceRequest:
    alone = ResourceLogs(resource=wanted.resource_logs.resource)
    alone.scope_logs.add(scope=wanted.scope_logs.scope, log_records=[wanted.record])
    return ExportLogsServiceRequest(resource_logs=[alone])
