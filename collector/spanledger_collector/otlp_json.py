"""OTLP's JSON, turned into the protobuf message.

It is protobuf's JSON mapping but for the ids, which are hex where the mapping has base64. So the ids are
rewritten, and protobuf's own parser does the rest: lowerCamelCase names, enums as numbers, 64-bit numbers as
text or number, unknown fields ignored.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator
from typing import Final

from google.protobuf import json_format
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from .errors import MalformedError

_HEX: Final = re.compile(r"(?:[0-9a-fA-F]{2})*")
_ID_KEYS: Final = ("traceId", "spanId", "parentSpanId")
_UNREADABLE_ID: Final = "AA=="
"""One zero byte: not an id of any kind, so that the check of ids refuses the span."""


def read_json(body: bytes) -> ExportTraceServiceRequest:
    """Parse a request.

    Raises:
        MalformedError: it isn't JSON, or not that of an ExportTraceServiceRequest.
    """
    try:
        document = json.loads(body)
        if not isinstance(document, dict):
            raise MalformedError("the JSON is not an object with `resourceSpans`")
        for span in _spans(document):
            _rewrite_ids(span)
            for link in _objects(span, "links"):
                _rewrite_ids(link)
        return json_format.ParseDict(document, ExportTraceServiceRequest(), ignore_unknown_fields=True)
    except json_format.ParseError as error:
        raise MalformedError(f"not an ExportTraceServiceRequest in JSON: {error}") from error
    except RecursionError as error:  # of the JSON parser, which has no limit of its own
        raise MalformedError("the JSON is nested too deeply") from error
    except ValueError as error:
        raise MalformedError(f"not valid JSON: {error}") from error


def _spans(document: dict[str, object]) -> Iterator[dict[str, object]]:
    for resource in _objects(document, "resourceSpans"):
        for scope in _objects(resource, "scopeSpans"):
            yield from _objects(scope, "spans")


def _objects(parent: dict[str, object], key: str) -> Iterator[dict[str, object]]:
    children = parent.get(key)
    if children is None:
        return
    if not isinstance(children, list) or not all(isinstance(child, dict) for child in children):
        raise MalformedError(f"`{key}` is not an array of objects")
    yield from children


def _rewrite_ids(item: dict[str, object]) -> None:
    for key in _ID_KEYS:
        value = item.get(key)
        if isinstance(value, str):
            readable = _HEX.fullmatch(value) is not None
            item[key] = base64.b64encode(bytes.fromhex(value)).decode("ascii") if readable else _UNREADABLE_ID
