"""The application's own spans in the ledger, as parents without money: a web request, a chain, a step of an agent.

Only those are copied that had a ledger span below them while they were open: a service that answers a thousand requests
and asks a model in one of them has one of them in its ledger. A copy has the span's ids, so that the tree is whole, and
of its attributes only those named here, none of which holds what users or models said.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, Literal

import _spanledger_boot as switch

from . import faults, ledger, names, record
from .record import Attributes, Place, Record

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import SpanProcessor as _Base
else:
    _Base = object  # the SDK asks a processor for its methods only, and importing it here would cost 300 ms

MOST_OPEN: Final = 10_000
"""Open spans that are watched; of more than that, the later ones are not copied."""
_LONGEST_NAME: Final = 200
_KINDS: Final[Mapping[str, Literal["client", "internal", "server", "producer", "consumer"]]] = {
    "INTERNAL": "internal",
    "SERVER": "server",
    "CLIENT": "client",
    "PRODUCER": "producer",
    "CONSUMER": "consumer",
}
COPIED: Final = frozenset(
    {
        names.AGENT_NAME,
        names.ERROR_TYPE,
        names.HTTP_STATUS,
        names.SERVER_ADDRESS,
        names.TOOL_NAME,
        "gen_ai.agent.id",
        "gen_ai.conversation.id",
        "gen_ai.workflow.name",
        "graph.node.id",
        "graph.node.parent_id",
        "http.request.method",
        "http.route",
        "messaging.operation.name",
        "messaging.system",
        "rpc.method",
        "rpc.service",
        "tool.name",
        "traceloop.entity.name",
        "traceloop.span.kind",
        "traceloop.workflow.name",
        names.USER_ID,
        names.TEAM_ID,
        names.CUSTOMER_ID,
        names.FEATURE,
        names.SESSION_ID,
        names.REQUEST_TYPE,
    }
)
"""Attributes that are copied: names, routes and ids."""
_STEPS: Final = frozenset(
    {"create_agent", "execute_tool", "invoke_agent", "invoke_workflow", "plan", "retrieval", "search_memory"}
)
"""Operations that are copied. One that is a model's call is not: the copy would be counted as a call."""
_STEP_KINDS: Final = frozenset({"AGENT", "CHAIN", "EVALUATOR", "GUARDRAIL", "RERANKER", "RETRIEVER", "TOOL"})
_OPENINFERENCE_KIND: Final = "openinference.span.kind"


class LedgerSpanProcessor(_Base):
    """Add it to your TracerProvider to have your own spans above LLM calls in the ledger."""

    def __init__(self) -> None:
        self._open: dict[int, int | None] = {}
        """Span to its parent."""
        self._marked: set[int] = set()
        """Open spans with a ledger span below."""
        record.parent_seen.append(self._mark)

    def on_start(self, span: Any, parent_context: Any = None) -> None:
        """Watch a span."""
        if switch.on and len(self._open) < MOST_OPEN:
            parent = span.parent
            self._open[span.context.span_id] = parent.span_id if parent is not None else None

    def _on_ending(self, span: Any) -> None:
        """Do nothing: the SDK calls it."""

    def on_end(self, span: Any) -> None:
        """Copy a span that a ledger span stands below."""
        span_id = span.context.span_id
        self._open.pop(span_id, None)
        if span_id not in self._marked:
            return
        self._marked.discard(span_id)
        try:
            if switch.on and ledger.start():
                ledger.add(_copy(span))
        except Exception as error:
            faults.report("span of the application not copied", error)

    def shutdown(self) -> None:
        """Watch no more; what was copied is the ledger's to send."""
        if self._mark in record.parent_seen:
            record.parent_seen.remove(self._mark)
        self._open.clear()
        self._marked.clear()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Return True: the ledger is flushed by `spanledger.flush`."""
        return True

    def _mark(self, span_id: int) -> None:
        """Note that a ledger span starts below a span, and so below all that are open above it."""
        above: int | None = span_id
        while above is not None and above in self._open and above not in self._marked:
            self._marked.add(above)
            above = self._open.get(above)


def _copy(span: Any) -> Record:
    context, parent = span.context, span.parent
    attributes = _kept(span.attributes or {})
    failed = span.status.status_code.name == "ERROR"
    return Record(
        name=span.name[:_LONGEST_NAME],
        kind=_KINDS.get(span.kind.name, "internal"),
        place=Place(context.trace_id, context.span_id, parent.span_id if parent is not None else None),
        start_ns=span.start_time,
        end_ns=span.end_time,
        attributes=attributes,
        # Its description is the message of an exception, which may quote anything.
        error=str(attributes.get(names.ERROR_TYPE, "")) if failed else None,
    )


def _kept(attributes: Mapping[str, Any]) -> Attributes:
    kept: Attributes = {
        name: value for name, value in attributes.items() if name in COPIED and isinstance(value, str | int | float)
    }
    if attributes.get(names.OPERATION) in _STEPS:
        kept[names.OPERATION] = attributes[names.OPERATION]
    if str(attributes.get(_OPENINFERENCE_KIND)).upper() in _STEP_KINDS:
        kept[_OPENINFERENCE_KIND] = attributes[_OPENINFERENCE_KIND]
    return kept
