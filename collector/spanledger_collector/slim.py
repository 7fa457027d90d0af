"""OTLP messages as Arrow arrays, by a slim, wire-compatible description of them.

An attribute's value stays raw bytes, so that there is no recursion and values are read only where they are wanted. The
parser is ptars, which reads a batch without a Python object for each message.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, Final

import ptars
import pyarrow as pa
from google.protobuf.descriptor_pb2 import FieldDescriptorProto, FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool

_FILE: Final = "spanledger_slim.proto"
_PACKAGE: Final = "spanledger.slim"
_SLIM: Final[Mapping[str, tuple[tuple[int, str, str], ...]]] = {
    "KeyValue": ((1, "key", "string"), (2, "value", "bytes")),
    "Resource": ((1, "attributes", "*KeyValue"),),
    "Scope": ((1, "name", "string"), (2, "version", "string")),
    "Status": ((2, "message", "string"), (3, "code", "int32")),
    "Span": (
        (1, "trace_id", "bytes"),
        (2, "span_id", "bytes"),
        (4, "parent_span_id", "bytes"),
        (5, "name", "string"),
        (6, "kind", "int32"),
        (7, "start_ns", "fixed64"),
        (8, "end_ns", "fixed64"),
        (9, "attributes", "*KeyValue"),
        (11, "events", "*bytes"),
        (15, "status", "Status"),
    ),
    "ScopeSpans": ((1, "scope", "Scope"), (2, "spans", "*Span")),
    "ResourceSpans": ((1, "resource", "Resource"), (2, "scope_spans", "*ScopeSpans")),
    "Request": ((1, "resource_spans", "*ResourceSpans"),),
    "Array": ((1, "values", "*bytes"),),
}
"""Message -> its fields (number, name, type; * is repeated); what isn't named is skipped by the parser."""
_SCALARS: Final = {
    "string": FieldDescriptorProto.TYPE_STRING,
    "bytes": FieldDescriptorProto.TYPE_BYTES,
    "int32": FieldDescriptorProto.TYPE_INT32,
    "fixed64": FieldDescriptorProto.TYPE_FIXED64,
}


def requests(bodies: Sequence[bytes]) -> pa.Array:
    """Return the resource_spans of ExportTraceServiceRequests, a list of structs a request.

    Raises:
        ValueError: a body isn't one.
    """
    return _parser("Request").list_to_record_batch(list(bodies)).column(0)


def elements(arrays: pa.Array) -> pa.Array:
    """Return the raw AnyValues of raw ArrayValues, a list an array.

    Raises:
        ValueError: one isn't an ArrayValue.
    """
    return _parser("Array").array_to_record_batch(arrays).column(0)


@cache
def _parser(message: str) -> Any:
    handlers = ptars.HandlerPool(
        [_pool().FindFileByName(_FILE)],
        config=ptars.PtarsConfig(list_nullable=True, list_value_nullable=True),
    )
    return handlers.get_for_message(_pool().FindMessageTypeByName(f"{_PACKAGE}.{message}"))


@cache
def _pool() -> DescriptorPool:
    pool = DescriptorPool()
    file = FileDescriptorProto(name=_FILE, package=_PACKAGE, syntax="proto3")
    for message, fields in _SLIM.items():
        described = file.message_type.add(name=message)
        for number, name, kind in fields:
            label = FieldDescriptorProto.LABEL_REPEATED if kind[0] == "*" else FieldDescriptorProto.LABEL_OPTIONAL
            field = described.field.add(name=name, number=number, label=label)
            scalar = _SCALARS.get(kind.lstrip("*"))
            field.type = FieldDescriptorProto.TYPE_MESSAGE if scalar is None else scalar
            if scalar is None:
                field.type_name = f".{_PACKAGE}.{kind.lstrip('*')}"
    pool.Add(file)
    return pool
