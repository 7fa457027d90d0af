"""A trace request by its frames alone: resources, scopes and how many spans, but nothing of what is in a span.

For whoever trusts his exporters and wants the CPU: what turns out to be unreadable later goes to `dead/` instead of
being refused, and so do spans whose ids can't be used.
"""

from __future__ import annotations

from functools import cache
from typing import Any, Final

from google.protobuf.descriptor_pb2 import FieldDescriptorProto, FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message import DecodeError
from google.protobuf.message_factory import GetMessageClass

from .errors import MalformedError

_PACKAGE: Final = "spanledger.framing"
_FIELDS: Final = (
    ("Scope", 2, "spans", None),
    ("Resource", 2, "scope_spans", "Scope"),
    ("Request", 1, "resource_spans", "Resource"),
)
"""Message, number and name of its repeated field, and the message in it; None is bytes."""


def count_frames(body: bytes) -> int:
    """Return how many spans the frames of an ExportTraceServiceRequest hold.

    Raises:
        MalformedError: they aren't sound.
    """
    try:
        request = _request_class().FromString(body)
    except DecodeError as error:
        raise MalformedError(f"not the frames of an ExportTraceServiceRequest in protobuf: {error}") from error
    return sum(len(scope.spans) for resource in request.resource_spans for scope in resource.scope_spans)


@cache
def _request_class() -> Any:
    file = FileDescriptorProto(name="spanledger_framing.proto", package=_PACKAGE, syntax="proto3")
    for message, number, name, inner in _FIELDS:
        field = file.message_type.add(name=message).field.add(name=name, number=number)
        field.label = FieldDescriptorProto.LABEL_REPEATED
        field.type = FieldDescriptorProto.TYPE_MESSAGE if inner else FieldDescriptorProto.TYPE_BYTES
        if inner:
            field.type_name = f".{_PACKAGE}.{inner}"
    pool = DescriptorPool()
    pool.Add(file)
    return GetMessageClass(pool.FindMessageTypeByName(f"{_PACKAGE}.Request"))
